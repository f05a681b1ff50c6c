"""Alerts as tasks in the CRM, for the account's CSM, else its owner; of a partner-managed account for the partner's owner.

Exactly once in effect: a task carries its alert's key; those that are there are not made again. An alert's end makes no task: the task it began with
belongs to the person who has it.
"""

from collections.abc import Sequence
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from connectors.base import RecordWrite, WriteState
from connectors.errors import ConnectorError, Misfit, NotAllowed, Refused
from mappings.models import CrmMapping
from mappings.tasks import KEY, task_fields
from worker.alerts.base import Alert
from worker.errors import AlertError
from worker.items import StepContext
from worker.steps._calendar import business_days

_REMEDY = "`scoresync provision` makes its field; the integration user needs the right to create tasks."


class TaskChannel:
    def __init__(self, ctx: StepContext, mapping: CrmMapping) -> None:
        self._ctx, self._mapping = ctx, mapping

    def send(self, key: str, alerts: Sequence[Alert]) -> None:
        begun = {task_key(one): one for one in alerts if not one.over}
        fields = task_fields(self._ctx.mappings, self._mapping.vendor)
        crm = self._ctx.crm(self._mapping.connection)
        try:
            there = crm.find_by_key([KEY], KEY, list(begun))
            writes = [RecordWrite(None, name, one.account_id, self._values(name, one)) for name, one in begun.items() if name not in there]
            results = crm.write(fields, writes, key_field=KEY) if writes else []
        except (Misfit, NotAllowed, Refused) as error:
            raise AlertError(f"Tasks could not be created in {self._mapping.connection} ({error.code}). {_REMEDY}", permanent=False) from None
        except ConnectorError as error:
            raise AlertError(f"Tasks could not be created in {self._mapping.connection} ({type(error).__name__}).", permanent=False) from None
        bad = [result for result in results if result.state != WriteState.OK]
        if bad:
            refused = all(result.state in (WriteState.REJECTED, WriteState.GONE) for result in bad)
            codes = ", ".join(sorted({result.code for result in bad}))
            text = f"{len(bad)} of {len(writes)} tasks were not created in {self._mapping.connection} ({codes}). {_REMEDY}"
            raise AlertError(text, permanent=refused)

    def _values(self, name: str, one: Alert) -> dict[str, str | None]:
        due = self._due(one)
        zone = ZoneInfo(self._ctx.mappings.calendar.timezone)
        evening = datetime.combine(due, time(18), zone).astimezone(UTC)
        values: dict[str, str | None] = {
            KEY.key: name, "subject": one.text[:255], "body": f"{one.text}\n\nscoresync: {one.rule}, {one.on_}",
            "due_on": due.isoformat(), "due_at": evening.strftime("%Y-%m-%dT%H:%M:%SZ"), "account": one.account_id, "assignee": one.recipient,
        }  # fmt: skip
        known = {f.key for f in task_fields(self._ctx.mappings, self._mapping.vendor)}
        # without a recipient the CRM's default owner has it: an empty owner would be refused
        return {field: value for field, value in values.items() if field in known and not (field == "assignee" and value is None)}

    def _due(self, one: Alert) -> date:
        """`due_business_days` business days after the alert's day; with 0 that day, or the next business day."""
        alert = self._ctx.mappings.alerts.get(one.rule)
        ahead = alert.due_business_days if alert is not None else 1
        days = business_days(self._ctx.mappings.calendar, one.on_, one.on_ + timedelta(days=60))
        open_days = [day for day, business in days if business and (day > one.on_ or ahead == 0)]
        return open_days[max(ahead - 1, 0)] if open_days else one.on_


def task_key(one: Alert) -> str:
    """`usage_anomaly|001…|2026-12-01`: of the alert itself, not of a ledger that may be made anew."""
    return f"{one.rule}|{one.account_id}|{one.on_}"


def open_channel(ctx: StepContext) -> TaskChannel:
    mapping = next((m for m in ctx.mappings.crm.values() if m.supplies("account")), None)
    if mapping is None:
        raise AlertError("No connection brings accounts: there is no CRM to make tasks in.", permanent=True)
    return TaskChannel(ctx, mapping)
