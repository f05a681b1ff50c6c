"""Alerts to a Slack channel by incoming webhook (https://api.slack.com/messaging/webhooks)."""

from collections.abc import Sequence

import requests

from worker.alerts.base import Alert
from worker.errors import AlertError
from worker.items import StepContext

#: Slack cuts a message's text at 40,000 characters (https://api.slack.com/changelog/2018-04-truncating-really-long-messages).
TEXT_MOST = 39_000


class SlackChannel:
    def __init__(self, webhook: str, timeout_s: float) -> None:
        self._webhook, self._timeout_s = webhook, timeout_s

    def send(self, key: str, alerts: Sequence[Alert]) -> None:
        lines = [f"*{escape(one.rule)}* `{escape(one.account_id)}` {one.on_}: {escape(one.text)} {escape(one.whom)}".rstrip() for one in alerts]
        body = {"text": "\n".join([*lines, f"_{key[:12]}_"])[:TEXT_MOST]}
        try:
            answer = requests.post(self._webhook, json=body, timeout=self._timeout_s)
        except requests.RequestException as error:
            # the error's own text holds the webhook, which is a secret
            raise AlertError(f"Slack could not be reached ({type(error).__name__}).", permanent=False) from None
        if answer.status_code == 429 or answer.status_code >= 500:
            raise AlertError(f"Slack answered {answer.status_code}.", permanent=False)
        if answer.status_code >= 400:
            raise AlertError(f"Slack refused the message ({answer.status_code} {answer.text[:60]}): check SCORESYNC_SLACK_WEBHOOK.", permanent=True)


def escape(text: str) -> str:
    """Slack reads these three as markup (https://api.slack.com/reference/surfaces/formatting#escaping): `a<b` becomes `a&lt;b`."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def open_channel(ctx: StepContext) -> SlackChannel:
    settings = ctx.settings
    if settings.slack_webhook is None:
        raise AlertError("SCORESYNC_SLACK_WEBHOOK is not set.", permanent=False)
    return SlackChannel(settings.slack_webhook.get_secret_value(), settings.alert_timeout_s)
