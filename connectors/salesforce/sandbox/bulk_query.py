"""Works off a query job: the answer is written once, as CSV with an index of row positions, and served from there by any process."""

import base64
import binascii
from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path

from connectors.salesforce.sandbox.bulk_csv import header_line, result_writer
from connectors.salesforce.sandbox.bulk_jobs import Job, Jobs
from connectors.salesforce.sandbox.errors import SalesforceError
from connectors.salesforce.sandbox.soql import ChildQuery, Query, SelectField, SoqlError, TypeOf, parse
from connectors.salesforce.sandbox.soql_result import csv_headers, csv_rows, prepare
from connectors.salesforce.sandbox.soql_sql import Plan
from connectors.salesforce.sandbox.state import State, User

PAGE = 50_000  # records of a result page unless maxRecords says otherwise
PAGES_LISTED = 5  # resultPages per answer (vendor)
_COPY = 1 << 20
# Objects whose records Bulk cannot query (they are read with REST)
_NOT_IN_BULK = (
    "CaseStatus ContractStatus OrderStatus TaskStatus TaskPriority SolutionStatus PartnerRole AcceptedEventRelation DeclinedEventRelation "
    "UndecidedEventRelation EventWhoRelation TaskWhoRelation RecentlyViewed AttachedContentNote QuoteTemplateRichTextData AssetTokenEvent"
)
NOT_IN_BULK = frozenset(_NOT_IN_BULK.lower().replace(" ", "\n").splitlines())


def check(state: State, user: User, soql: str, *, all_rows: bool) -> Plan:
    """The plan of a statement Bulk can run; raises the refusal that answers the creation of the job."""
    query = parse(soql)
    _refuse_unsupported(query)
    if query.object.lower() in NOT_IN_BULK:
        raise SalesforceError("INVALIDENTITY", f"Entity '{query.object}' is not supported by the Bulk API.")
    plan = prepare(state, user, soql, all_rows=all_rows)
    if not plan.scope.object.bulk_queryable:
        raise SalesforceError("INVALIDENTITY", f"Entity '{plan.scope.object.name}' is not supported by the Bulk API.")
    if plan.aggregate:
        raise SoqlError("API_ERROR", "Aggregate Relationships not supported in Bulk Query")
    if any(cell.value.type in ("address", "location") for cell in plan.cells):
        raise SoqlError("API_ERROR", "Selecting compound data not supported in Bulk Query")
    return plan


def _refuse_unsupported(query: Query) -> None:
    if any(isinstance(item, ChildQuery) for item in query.select):
        raise SoqlError("API_ERROR", "Aggregate Relationships not supported in Bulk Query")
    if any(isinstance(item, TypeOf) for item in query.select):
        raise SoqlError("API_ERROR", "TYPEOF expressions not supported in Bulk Query")
    if query.group:
        raise SoqlError("API_ERROR", "GROUP BY not supported in Bulk Query")
    if query.offset is not None:
        raise SoqlError("API_ERROR", "OFFSET not supported in Bulk Query")
    if not any(isinstance(item, SelectField) for item in query.select):
        raise SoqlError("API_ERROR", "A Bulk Query needs at least one field")


def process(state: State, job: Job, claim: str) -> None:
    """Runs the statement as the job's user and ends the job."""
    jobs = Jobs(state)
    fault = next(iter(state.faults.take("bulk_job", object=job.object)), None)
    if fault is not None:
        if fault.get("state") == "InProgress":
            jobs.hang(job, claim)
        else:
            jobs.finish(job, claim, str(fault.get("state", "Failed")), error=fault.get("message"))
        return
    try:
        state.settle()
        plan = check(state, state.user(job.user_id), job.spec["query"], all_rows=job.operation == "queryAll")
        count = _write(state, jobs, job, claim, plan)
    except SalesforceError as error:
        jobs.finish(job, claim, "Failed", error=f"{error.code} : {error.message}")
        return
    jobs.finish(job, claim, "JobComplete", processed=count)


def _write(state: State, jobs: Jobs, job: Job, claim: str, plan: Plan) -> int:
    """Writes rows and row positions; files get their names last, so that a second worker cannot mix its own with them."""
    suffix = claim.replace(":", "-")
    rows_path, index_path = jobs.path(job.id, f"rows.{suffix}"), jobs.path(job.id, f"index.{suffix}")
    positions, position = array("Q", [0]), 0
    lines: list[str] = []
    writer = result_writer(_Sink(lines), job.delimiter, job.line_ending)
    with rows_path.open("wb") as file:
        for rows in csv_rows(state, plan):
            writer.writerows(rows)
            encoded = [line.encode() for line in lines]
            lines.clear()
            ends = list(accumulate(map(len, encoded), initial=position))[1:]
            positions.extend(ends)
            position = ends[-1]
            file.write(b"".join(encoded))
    with index_path.open("wb") as file:
        positions.tofile(file)
    jobs.path(job.id, "header.csv").write_bytes(header_line(csv_headers(plan), (), job.delimiter, job.line_ending))
    rows_path.rename(jobs.path(job.id, "rows.csv"))
    index_path.rename(jobs.path(job.id, "rows.index"))
    return len(positions) - 1


class _Sink:
    """A text sink that keeps every written line apart."""

    def __init__(self, lines: list[str]) -> None:
        self.write = lines.append


@dataclass(frozen=True, slots=True)
class ResultPage:
    """One page: `locator` names the next one (None after the last), `records` counts its rows."""

    locator: str | None
    records: int
    first: int


def page_size(state: State, max_records: str | None) -> int:
    """Rows of a page; a bad maxRecords is refused."""
    if max_records is None:
        return int(state.side.setting("bulk_page_records", str(PAGE)))
    if not max_records.isdigit() or int(max_records) < 1:
        raise SalesforceError("API_ERROR", f"Invalid value for maxRecords: {max_records}")
    return int(max_records)


def page(job: Job, locator: str | None, size: int) -> ResultPage:
    """The page a locator names; the first one without."""
    first = _decode(locator) if locator is not None else 0
    if first > job.processed or (first == job.processed and first):
        raise SalesforceError("INVALID_QUERY_LOCATOR", "invalid query locator")
    records = min(size, job.processed - first)
    following = first + records
    return ResultPage(encode(following) if following < job.processed else None, records, first)


def page_stream(state: State, job: Job, found: ResultPage) -> Iterator[bytes]:
    """The CSV of one page in pieces, with the header."""
    jobs = Jobs(state)
    yield jobs.path(job.id, "header.csv").read_bytes()
    start = _position(jobs.path(job.id, "rows.index"), found.first)
    left = _position(jobs.path(job.id, "rows.index"), found.first + found.records) - start
    with jobs.path(job.id, "rows.csv").open("rb") as file:
        file.seek(start)
        while left > 0 and (piece := file.read(min(_COPY, left))):
            left -= len(piece)
            yield piece


def result_pages(job: Job, base: str, locator: str | None, size: int) -> dict[str, object]:
    """The `resultPages` answer: up to five URLs that may be fetched in parallel."""
    first = _decode(locator) if locator is not None else 0
    starts = list(range(first, max(job.processed, 1), size))
    listed = [{"resultUrl": f"{base}/results?locator={encode(start)}"} for start in starts[:PAGES_LISTED]]
    body: dict[str, object] = {"resultPages": listed, "done": len(starts) <= PAGES_LISTED}
    if len(starts) > PAGES_LISTED:
        body["nextRecordsUrl"] = f"{base}/resultpages?locator={encode(starts[PAGES_LISTED])}"
    return body


def encode(row: int) -> str:
    """A row number as an opaque locator (`MTAwMDA`)."""
    return base64.urlsafe_b64encode(str(row).encode()).decode().rstrip("=")


def _decode(locator: str) -> int:
    try:
        text = base64.urlsafe_b64decode(locator + "=" * (-len(locator) % 4)).decode()
    except (binascii.Error, UnicodeDecodeError, ValueError):
        text = ""
    if not text.isdigit():
        raise SalesforceError("INVALID_QUERY_LOCATOR", "invalid query locator")
    return int(text)


def _position(path: Path, row: int) -> int:
    with path.open("rb") as file:
        file.seek(row * 8)
        found = array("Q")
        found.frombytes(file.read(8))
    return int(found[0])
