"""Small registers the steps read, and the statements by which an outcome changes them.

A `put_…` function changes nothing: it returns statements for `Outcome.statements`, which are executed in the transaction that ends the item.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date, datetime

from sqlalchemy import Executable, and_, delete, func, select, tuple_, update

from worker.store.ledger import Ledger
from worker.store.tables import bulk_job, closing, csql_key, cursor, dead_letter, flip, hold, resync_request, usage_file
from worker.store.work import CursorKey

#: Ids in one IN list. SQLite's most bound values are 32,766 (SQLITE_MAX_VARIABLE_NUMBER), PostgreSQL's 65,535.
IDS_PER_STATEMENT = 30_000


# --- reading -------------------------------------------------------------------------------------------------------------------------------------
def cursor_value(ledger: Ledger, key: CursorKey) -> str | None:
    """How far this source has been read; null = never."""
    c = cursor.c
    rows = ledger.rows(select(c.value).where(c.connection == key.connection, c.entity == key.entity, c.source == key.source))
    return rows[0].value if rows else None


@dataclass(frozen=True)
class UsageFileRow:
    """One version of one usage file. `id` is `file_id` in the lake. States: live | replaced | failed | vanished (its rows still count)."""

    id: str
    source: str
    path: str
    content_hash: str
    size: int
    modified_at: datetime
    state: str
    rows_in: int
    rows_done: int
    rows_set_aside: int
    first_day: date | None
    last_day: date | None
    run_id: str
    error: str | None = None


def usage_files(ledger: Ledger, source: str | None = None, states: Sequence[str] = ("live", "vanished")) -> list[UsageFileRow]:
    """Registered usage files of a source (null = all), by path. `live` and `vanished` are those whose rows count."""
    c = usage_file.c
    query = select(usage_file).where(c.state.in_(list(states))).order_by(c.source, c.path, c.id)
    if source is not None:
        query = query.where(c.source == source)
    return [UsageFileRow(**row._mapping) for row in ledger.rows(query)]


def put_usage_file(ledger: Ledger, row: UsageFileRow) -> list[Executable]:
    """Register a file version; as `live` it replaces the earlier versions of its path."""
    c = usage_file.c
    statements: list[Executable] = []
    if row.state == "live":
        earlier = and_(c.source == row.source, c.path == row.path, c.id != row.id, c.state.in_(["live", "vanished"]))
        statements.append(update(usage_file).where(earlier).values(state="replaced"))
    return [*statements, *ledger.upserts(usage_file, [asdict(row)])]


def put_usage_state(ids: Sequence[str], state: str) -> list[Executable]:
    """Change the state of registered files (live ↔ vanished)."""
    return [update(usage_file).where(usage_file.c.id.in_(list(ids))).values(state=state)] if ids else []


def handled_requests(ledger: Ledger, connection: str) -> dict[str, set[str]]:
    """Account id -> request values that a run has taken up already (canonical text). Pending = another value than these."""
    c = resync_request.c
    handled: dict[str, set[str]] = {}
    for row in ledger.rows(select(c.account_id, c.value).where(c.connection == connection)):
        handled.setdefault(row.account_id, set()).add(row.value)
    return handled


def put_requests(ledger: Ledger, connection: str, requests: Mapping[str, str], run_id: str, now: datetime) -> list[Executable]:
    """Take up requests for a run, in the transaction that starts it."""
    rows = [{"connection": connection, "account_id": a, "value": v, "run_id": run_id, "seen_at": now} for a, v in requests.items()]
    return list(ledger.inserts(resync_request, rows))


def put_requests_handled(run_id: str, now: datetime) -> list[Executable]:
    return [update(resync_request).where(resync_request.c.run_id == run_id).values(handled_at=now)]


# --- CSQL keys -----------------------------------------------------------------------------------------------------------------------------------
def csql_sequences(ledger: Ledger) -> list[tuple[str, str, int]]:
    """(account, product, highest sequence given out so far)."""
    c = csql_key.c
    query = select(c.account_id, c.product, func.max(c.sequence).label("top")).group_by(c.account_id, c.product)
    return [(row.account_id, row.product, row.top) for row in ledger.rows(query)]


@dataclass(frozen=True)
class CsqlKeyRow:
    external_key: str
    account_id: str
    product: str
    sequence: int
    rule: str
    run_id: str


def put_csql_keys(ledger: Ledger, keys: Sequence[CsqlKeyRow]) -> list[Executable]:
    """Give out keys; one that was given out before stays as it was."""
    return list(ledger.inserts(csql_key, [asdict(key) for key in keys]))


# --- holds ---------------------------------------------------------------------------------------------------------------------------------------
@dataclass(frozen=True)
class Hold:
    """A field that a person changed in one CRM: not overwritten there until released. `crm_value` is canonical text, null = emptied."""

    connection: str  # '' = from before it was noted; the record's id says which
    object: str
    record_id: str
    field: str
    crm_value: str | None
    since: datetime
    run_id: str


def holds(ledger: Ledger, object_name: str | None = None) -> list[Hold]:
    """Fields held now."""
    query = select(hold).where(hold.c.released_at.is_(None)).order_by(*hold.primary_key)
    if object_name is not None:
        query = query.where(hold.c.object == object_name)
    names = Hold.__dataclass_fields__
    return [Hold(**{name: row._mapping[name] for name in names}) for row in ledger.rows(query)]


def released(ledger: Ledger, since: datetime | None = None) -> list[Hold]:
    """Fields that were held and have been released at or after `since` (null = ever)."""
    names = Hold.__dataclass_fields__
    query = select(hold).where(hold.c.released_at.is_not(None)).order_by(*hold.primary_key)
    rows = ledger.rows(query if since is None else query.where(hold.c.released_at >= since))
    return [Hold(**{name: row._mapping[name] for name in names}) for row in rows]


def put_holds(ledger: Ledger, found: Sequence[Hold]) -> list[Executable]:
    """Hold fields; one that is held already keeps its beginning and takes the newest CRM value. A released one is held anew. The row
    takes the place of one that did not name its connection."""
    c, keys = hold.c, [(one.object, one.record_id, one.field) for one in found]
    parts = (keys[start : start + IDS_PER_STATEMENT // 3] for start in range(0, len(keys), IDS_PER_STATEMENT // 3))
    unnamed = [delete(hold).where(c.connection == "", tuple_(c.object, c.record_id, c.field).in_(part)) for part in parts]
    return [*unnamed, *ledger.upserts(hold, [{**asdict(one), "released_at": None} for one in found], keep=("since", "run_id"))]


def put_released(
    ledger: Ledger, connection: str, object_name: str, record_ids: Sequence[str], fields: Sequence[str], now: datetime
) -> list[Executable]:
    """Release these fields of these records of one CRM (an admin's word, or the person put our value back)."""
    c = hold.c
    which = and_(
        c.connection == connection, c.object == object_name, c.record_id.in_(list(record_ids)), c.field.in_(list(fields)), c.released_at.is_(None)
    )
    return [update(hold).where(which).values(released_at=now)] if record_ids and fields else []


# --- dead letters --------------------------------------------------------------------------------------------------------------------------------
@dataclass(frozen=True)
class DeadLetter:
    """A record or field set aside. `field` '' = the whole record. Not sent again while `value_hash` is the same, until `next_at` or a retry."""

    connection: str
    object: str
    record_key: str  # record id, or external key where there is no record yet
    field: str
    account_id: str | None
    value_hash: str
    code: str
    text: str
    remedy: str
    attempts: int
    next_at: datetime | None  # null = only by hand, or when the value changes
    state: str  # open | retry | closed
    run_id: str
    id: int | None = None


def value_hash(values: Mapping[str, str | None]) -> str:
    """Of what was to be written: field key -> canonical text."""
    return hashlib.sha256(json.dumps(dict(sorted(values.items())), ensure_ascii=False).encode()).hexdigest()


def dead_letters(ledger: Ledger, states: Sequence[str] = ("open", "retry"), connection: str | None = None) -> list[DeadLetter]:
    query = select(dead_letter).where(dead_letter.c.state.in_(list(states))).order_by(dead_letter.c.id)
    if connection is not None:
        query = query.where(dead_letter.c.connection == connection)
    names = DeadLetter.__dataclass_fields__
    return [DeadLetter(**{name: row._mapping[name] for name in names}) for row in ledger.rows(query)]


def put_dead_letters(ledger: Ledger, letters: Sequence[DeadLetter], now: datetime) -> list[Executable]:
    """Set records aside; one letter per connection, object, record and field, the newest refusal counts."""
    rows = [{**{k: v for k, v in asdict(one).items() if k != "id"}, "created_at": now, "updated_at": now} for one in letters]
    return ledger.upserts(dead_letter, rows, on=("connection", "object", "record_key", "field"), keep=("created_at",))


def put_closed(ids: Sequence[int], now: datetime) -> list[Executable]:
    """These letters are settled: their records went through, or nothing differs any more."""
    parts = (ids[start : start + IDS_PER_STATEMENT] for start in range(0, len(ids), IDS_PER_STATEMENT))
    return [update(dead_letter).where(dead_letter.c.id.in_(list(part))).values(state="closed", updated_at=now) for part in parts]


def retry_due(ledger: Ledger) -> int:
    """Letters whose backoff has ended are tried again by the next run; how many."""
    due = and_(dead_letter.c.state == "open", dead_letter.c.next_at <= ledger.now())
    with ledger.transaction() as tx:
        return tx.execute(update(dead_letter).where(due).values(state="retry", updated_at=ledger.now(tx))).rowcount


def retry_letters(ledger: Ledger, ids: Sequence[int] | None, now: datetime) -> int:
    """An admin asks for another try of these letters (null = all open ones); how many."""
    which = dead_letter.c.state == "open"
    if ids is not None:
        which = and_(which, dead_letter.c.id.in_(list(ids)))
    with ledger.transaction() as tx:
        return tx.execute(update(dead_letter).where(which).values(state="retry", updated_at=now)).rowcount


# --- bulk jobs -----------------------------------------------------------------------------------------------------------------------------------
@dataclass(frozen=True)
class BulkJobRow:
    item_id: int
    job_id: str
    connection: str
    object: str
    state: str  # open | uploaded | complete | failed | aborted
    created_at: datetime
    updated_at: datetime


def bulk_jobs(ledger: Ledger, connection: str | None = None, item_id: int | None = None) -> list[BulkJobRow]:
    """Jobs we started, oldest first."""
    query = select(bulk_job).order_by(bulk_job.c.created_at)
    if connection is not None:
        query = query.where(bulk_job.c.connection == connection)
    if item_id is not None:
        query = query.where(bulk_job.c.item_id == item_id)
    return [BulkJobRow(**row._mapping) for row in ledger.rows(query)]


def put_bulk_job(ledger: Ledger, row: BulkJobRow) -> list[Executable]:
    """Register a job or its new state. The id must be committed (`commit`) before the upload."""
    return ledger.upserts(bulk_job, [asdict(row)], keep=("created_at",))


# --- flips and closings --------------------------------------------------------------------------------------------------------------------------
@dataclass(frozen=True)
class Flip:
    """An alert's answer changed for an account (or one of its products) on a date."""

    run_id: str
    rule: str
    account_id: str
    product: str  # '' = of the account
    on_: date
    value: str
    channel: str
    text: str
    also: str = ""  # further channels, joined by '+'
    recipient: str | None = None  # CRM user it is meant for
    routed: str | None = None  # csm | owner | partner
    id: int | None = None


def put_flips(ledger: Ledger, flips: Sequence[Flip]) -> list[Executable]:
    """Register flips; the same flip on the same date is one, whichever run saw it first."""
    rows = [{k: v for k, v in asdict(one).items() if k != "id"} for one in flips]
    return list(ledger.inserts(flip, rows, on=("rule", "account_id", "product", "on_", "value")))


def told_flips(ledger: Ledger, accounts: Sequence[str] | None = None) -> list[Flip]:
    """Beginnings of alerts (value `true`) that anybody was to be told, newest day last; of these accounts, or of all."""
    query = select(flip).where(flip.c.value == "true").order_by(flip.c.on_, flip.c.id)
    if accounts is not None:
        query = query.where(flip.c.account_id.in_(accounts))
    return [Flip(**row._mapping) for row in ledger.rows(query)]


def closings(ledger: Ledger, before: date | None = None) -> list[date]:
    """Dates closed by full runs, ascending; `before` is exclusive."""
    query = select(closing.c.on_).order_by(closing.c.on_)
    if before is not None:
        query = query.where(closing.c.on_ < before)
    return [row.on_ for row in ledger.rows(query)]


def put_closing(ledger: Ledger, on_: date, run_id: str, as_of: datetime) -> list[Executable]:
    """A full run closed this date; a later one of the same date takes its place."""
    return ledger.upserts(closing, [{"on_": on_, "run_id": run_id, "as_of": as_of}])


def commit(ledger: Ledger, statements: Sequence[Executable]) -> None:
    """Execute statements in a transaction of their own, for facts that must be there before the item ends (a bulk job's id before its upload)."""
    with ledger.transaction() as tx:
        for statement in statements:
            tx.execute(statement)
