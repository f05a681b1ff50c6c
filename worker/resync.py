"""Resync from the record: which accounts ask to be scored at once."""

from datetime import timedelta

from connectors.base import Crm
from mappings.models import Mappings
from worker.store import registers
from worker.store.ledger import Ledger

#: The field a person (or the quick action) sets; its key in writeback.yml.
REQUESTED = "resync_requested_at"
#: Requests older than this are not looked for: a full run has answered them since. Chosen: a week of outage.
LOOK_BACK = timedelta(days=7)


def pending_requests(ledger: Ledger, mappings: Mappings, connection: str, crm: Crm) -> dict[str, str]:
    """Account id -> value of its request, where no run has taken up that value. We never clear a person's field, so the value tells old from new."""
    field = next((f for f in mappings.writeback.of("account") if f.key == REQUESTED), None)
    sources = mappings.crm[connection].entities.get("account", [])
    if field is None or not sources:
        return {}
    handled = registers.handled_requests(ledger, connection)
    found: dict[str, str] = {}
    for source in sources:
        asked = crm.requests(source, field, crm.server_now() - LOOK_BACK)
        found |= {account: value for account, value in asked.items() if value not in handled.get(account, set())}
    return found
