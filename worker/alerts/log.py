"""Alerts as log lines, for a start without any chat: which rule, which account, which day. What the text says of the customer stays out of logs;
`scoresync explain ACCOUNT` has it."""

from collections.abc import Sequence

from worker import log
from worker.alerts.base import Alert
from worker.items import StepContext


class LogChannel:
    def send(self, key: str, alerts: Sequence[Alert]) -> None:
        for alert in alerts:
            facts = {"rule": alert.rule, "account_id": alert.account_id, "on": str(alert.on_), "over": alert.over, "recipient": alert.recipient}
            log.get().warning("alert.raised", delivery=key, **facts)


def open_channel(_ctx: StepContext) -> LogChannel:
    return LogChannel()
