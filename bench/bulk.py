"""Bulk pull of accounts through the connector against plain requests and pyarrow.csv over the same result pages: CPU of the reading process.

    python -m bench bulk --pulled 200000

The sandbox serves both from a process of its own. Ours logs in, describes, counts, runs the job through the one door for calls, checks the number of
rows, and leaves synced Parquet pages; the baseline is handed a session, runs the job, downloads the pages and parses them.
"""

import io
import json
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq
import requests
from pydantic import SecretStr

from bench.measure import Measure, cpu_s, own_peak_mib, run_child
from connectors.base import Window
from connectors.calls import Budget
from connectors.salesforce.auth import Credentials
from connectors.salesforce.client import Org
from connectors.salesforce.connector import Salesforce
from connectors.sandbox_kit import SandboxProcess
from mappings.models import CrmMapping, Source

VERSION = "64.0"
COLUMNS = {
    "name": "Name", "kind": "Type", "industry": "Industry", "employees": "NumberOfEmployees", "region": "BillingState", "domain": "Website",
    "owner_id": "OwnerId", "parent_id": "ParentId", "created_at": "CreatedDate",
}  # fmt: skip
FIELDS = ["Id", "SystemModstamp", "IsDeleted", "MasterRecordId", *COLUMNS.values()]
BATCH = 5_000


def fill(box: SandboxProcess, accounts: int, say: Callable[[str], None]) -> None:
    for first in range(0, accounts, BATCH):
        if first % 50_000 == 0:
            say(f"filling the sandbox, {first:,} of {accounts:,} accounts")
        box.control.seed("Account", [_account(i) for i in range(first, min(first + BATCH, accounts))])


def _account(i: int) -> dict[str, Any]:
    return {
        "Name": f"Customer {i}", "Type": "Customer", "Industry": ("Retail", "Technology", "Other")[i % 3], "NumberOfEmployees": 10 + i % 2000,
        "BillingState": ("Tokyo", "Osaka", "Fukuoka")[i % 3], "Website": f"https://www.customer-{i}.example",
    }  # fmt: skip


def ours(box: dict[str, str], into: Path) -> int:
    credentials = Credentials(flow="client_credentials", url=box["url"], client_id=box["client_id"], client_secret=SecretStr(box["client_secret"]))
    source = Source(object="Account", columns=dict(COLUMNS))
    mapping = CrmMapping(connection="salesforce", vendor="salesforce", entities={"account": [source]})
    crm = Salesforce(mapping, Org("salesforce", credentials, VERSION, budget=Budget(1, 0)), bulk_above=0)
    found = crm.read(source, [], Window(None, datetime.now(UTC) + timedelta(days=1)), into, None)
    if found.method != "bulk":
        raise SystemExit(f"the connector read by {found.method}")
    return found.rows


def baseline(box: dict[str, str], into: Path) -> int:
    into.mkdir()
    session = requests.Session()
    session.trust_env = False
    answer = session.post(
        f"{box['url']}/services/oauth2/token",
        data={"grant_type": "client_credentials", "client_id": box["client_id"], "client_secret": box["client_secret"]},
    )
    session.headers["Authorization"] = f"Bearer {answer.json()['access_token']}"
    jobs = f"{box['url']}/services/data/v{VERSION}/jobs/query"
    job = session.post(jobs, json={"operation": "queryAll", "query": f"SELECT {', '.join(FIELDS)} FROM Account"}).json()
    while session.get(f"{jobs}/{job['id']}").json()["state"] != "JobComplete":
        time.sleep(1)
    rows, locator = 0, ""
    while locator != "null":
        page = session.get(f"{jobs}/{job['id']}/results", params={"locator": locator} if locator else {})
        table = pacsv.read_csv(
            io.BytesIO(page.content),
            pacsv.ReadOptions(use_threads=False),
            pacsv.ParseOptions(newlines_in_values=True),
            pacsv.ConvertOptions(column_types=dict.fromkeys(FIELDS, pa.string()), strings_can_be_null=True),
        )
        pq.write_table(table, into / f"{rows}.parquet", compression="zstd")
        rows, locator = rows + table.num_rows, page.headers["Sforce-Locator"]
    return rows


def child(side: str, box: dict[str, str], into: Path) -> None:
    """One measurement, printed as JSON."""
    began, before = cpu_s(), time.perf_counter()
    rows = {"ours": ours, "baseline": baseline}[side](box, into)
    found = {"rows": rows, "wall_s": time.perf_counter() - before, "cpu_s": cpu_s() - began}
    print(json.dumps(found | {"peak_mib": own_peak_mib()}))


def measure(accounts: int, rounds: int, say: Callable[[str], None]) -> dict[str, Any]:
    """Both sides, alternating, against one sandbox. SystemExit if they read different records."""
    turns: dict[str, list[dict[str, Any]]] = {"baseline": [], "ours": []}
    with tempfile.TemporaryDirectory(prefix="bench-bulk-") as name, SandboxProcess(Path(name) / "org.db") as box:
        fill(box, accounts, say)
        given = json.dumps({"url": box.url, "client_id": box.client_id, "client_secret": box.client_secret})
        read: list[list[Any]] = []
        for turn in range(rounds):
            for side, found in turns.items():
                say(f"{side}, turn {turn + 1} of {rounds}")
                into = Path(name) / f"{side}-{turn}"
                found.append(run_child("bench.bulk", side, given, str(into)))
                read.append(_ids(into, "Id" if side == "baseline" else "_id"))
        if any(ids != read[0] for ids in read) or len(read[0]) < accounts:
            raise SystemExit("the two sides read different accounts")
    sides = {side: Measure.of(found) for side, found in turns.items()}
    return {
        "accounts": len(read[0]), "sides": {side: vars(found) for side, found in sides.items()},
        "cpu_ratio": sides["ours"].cpu_s / sides["baseline"].cpu_s, "ratio": sides["ours"].wall_s / sides["baseline"].wall_s,
    }  # fmt: skip


def _ids(folder: Path, column: str) -> list[Any]:
    return sorted(pq.read_table(folder, columns=[column])[column].to_pylist())


if __name__ == "__main__":
    child(sys.argv[1], json.loads(sys.argv[2]), Path(sys.argv[3]))
