"""HubSpot: changed companies written against drt-core and against a plain hubspot-api-client loop, and companies pulled against such a loop.

    python -m bench hubspot --companies 1000 --companies-pulled 50000

All sides speak to one sandbox account without limits, in turn, each in a process of its own. drt-core is installed into var/bench-rival on
first use (`--rival-python` names another that has it); where that fails the other sides are measured all the same.
Ours re-reads each company before it writes, since a person may have changed it; the others do not.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from hubspot import Client  # type: ignore[import-untyped]
from pydantic import SecretStr

from bench.measure import Measure, cpu_s, own_peak_mib, run_child
from connectors.base import RecordWrite, Window, WriteState
from connectors.calls import Budget
from connectors.hubspot.auth import Credentials
from connectors.hubspot.client import Portal
from connectors.hubspot.connector import HubSpot
from connectors.sandbox_kit import SandboxProcess
from mappings.load import load
from mappings.models import CrmMapping, Source, WriteField

RIVAL = "drt-core==1.2.1"
RIVAL_FOLDER = Path("var/bench-rival")
WRITTEN = ("health_score", "health_tier", "main_reason", "next_action", "csql_flag", "notice_on")
PULLED = ["name", "domain", "industry", "numberofemployees", "state", "lifecyclestage", "createdate"]
BATCH, PAGE = 5_000, 100
Say = Callable[[str], None]


# --- the account ---------------------------------------------------------------------------------------------------------------------------------
@cache
def fields() -> list[WriteField]:
    found = {f.key: f for f in load(None).writeback.of("account")}
    return [found[key] for key in WRITTEN]


def prepare(box: SandboxProcess, companies: int, say: Say) -> list[str]:
    """An account with our properties and these companies; their ids."""
    box.control.settings(limits=False)
    connection(box.url, box.control.info()["access_token"]).provision(fields(), dry_run=False, say=lambda _step: None)
    tenant = {"name": "tenant_id", "label": "Tenant", "type": "string", "fieldType": "text", "hasUniqueValue": True}
    box.control.call("fields", {"object": "companies", "properties": [tenant]})
    ids: list[str] = []
    for first in range(0, companies, BATCH):
        if first % 25_000 == 0:
            say(f"filling the sandbox, {first:,} of {companies:,} companies")
        ids += box.control.seed("companies", [_company(i) for i in range(first, min(first + BATCH, companies))])
    return ids


def _company(i: int) -> dict[str, Any]:
    return {
        "name": f"Customer {i}", "domain": f"customer-{i}.example", "industry": ("RETAIL", "EDUCATION_MANAGEMENT", "MACHINERY")[i % 3],
        "numberofemployees": str(10 + i % 2000), "state": ("Tokyo", "Osaka", "Fukuoka")[i % 3], "lifecyclestage": "customer", "tenant_id": f"t-{i}",
    }  # fmt: skip


def wanted(i: int, turn: int) -> dict[str, str]:
    """Our values of a company: other ones at each turn."""
    score = (i + 7 * turn) % 100
    return {
        "health_score": str(score), "health_tier": str(1 + (score + turn) % 5), "main_reason": f"{score} of 100 seats in use ({turn})",
        "next_action": f"Call about the {turn} new modules", "csql_flag": "true" if (i + turn) % 2 else "false",
        "notice_on": f"2027-0{1 + turn % 9}-15",
    }  # fmt: skip


def connection(url: str, token: str) -> HubSpot:
    portal = Portal(
        "hubspot", Credentials(token=SecretStr(token)), "2026-03", budget=Budget(1, 0), url=url, window_calls=1_000_000, searches=1_000_000
    )
    source = Source(object="companies", columns={name: name for name in PULLED})
    return HubSpot(CrmMapping(connection="hubspot", vendor="hubspot", entities={"account": [source]}), portal)


# --- the sides: what each process does -----------------------------------------------------------------------------------------------------------
def write_ours(url: str, token: str, path: str) -> int:
    crm, ours = connection(url, token), fields()
    rows = json.loads(Path(path).read_text(encoding="utf-8"))
    done = 0
    live = crm.reread(ours, [row["id"] for row in rows])
    writes = [RecordWrite(row["id"], None, row["id"], {k: v for k, v in row["values"].items() if live[row["id"]].get(k) != v}) for row in rows]
    for first in range(0, len(writes), 2_000):
        done += sum(result.state is WriteState.OK for result in crm.write(ours, writes[first : first + 2_000], key_field=None))
    return done


def write_client(url: str, token: str, path: str) -> int:
    """As its README shows it: models, batches of 100, nothing read before or counted after."""
    from hubspot.crm.companies import BatchInputSimplePublicObjectBatchInput, SimplePublicObjectBatchInput  # type: ignore[import-untyped]

    client = Client.create(access_token=token, host=url)
    rows = json.loads(Path(path).read_text(encoding="utf-8"))
    done = 0
    for first in range(0, len(rows), PAGE):
        inputs = [SimplePublicObjectBatchInput(id=row["id"], properties=row["properties"]) for row in rows[first : first + PAGE]]
        done += len(client.crm.companies.batch_api.update(BatchInputSimplePublicObjectBatchInput(inputs=inputs)).results)
    return done


def pull_ours(url: str, token: str, into: str) -> int:
    source = Source(object="companies", columns={name: name for name in PULLED})
    return connection(url, token).read(source, [], Window(None, datetime.now(UTC) + timedelta(days=1)), Path(into), None).rows


def pull_client(url: str, token: str, into: str) -> int:
    """Page after page as models, a Parquet file for each 5,000."""
    client, rows, after, count = Client.create(access_token=token, host=url), [], None, 0
    Path(into).mkdir()
    while True:
        page = client.crm.companies.basic_api.get_page(limit=PAGE, after=after, properties=PULLED)
        rows += [{"_id": one.id, **{name: one.properties.get(name) for name in PULLED}} for one in page.results]
        after = page.paging.next.after if page.paging else None
        if len(rows) >= BATCH or after is None:
            pq.write_table(pa.Table.from_pylist(rows), Path(into) / f"{count:09d}.parquet", compression="zstd")
            count, rows = count + len(rows), []
        if after is None:
            return count


SIDES = {"write_ours": write_ours, "write_client": write_client, "pull_ours": pull_ours, "pull_client": pull_client}


def child(side: str, url: str, where: str) -> None:
    """One measurement, printed as JSON. The token comes from the environment. Reading the mappings is not timed: a worker has them."""
    if side == "write_ours":
        fields()
    began, before = cpu_s(), time.perf_counter()
    rows = SIDES[side](url, os.environ["HUBSPOT_TOKEN"], where)
    print(json.dumps({"rows": rows, "wall_s": time.perf_counter() - before, "cpu_s": cpu_s() - began, "peak_mib": own_peak_mib()}))


# --- measuring -----------------------------------------------------------------------------------------------------------------------------------
def rival_python(given: str | None, install: bool, say: Say) -> tuple[str | None, str]:
    """A Python that has drt-core, installing it if need be; or null and why there is none."""
    here = str((RIVAL_FOLDER / "bin/python").absolute())
    python = given or here
    if not given and not Path(here).exists():
        if not install:
            return None, "drt-core is not installed: `python -m bench hubspot` installs it"
        say(f"installing {RIVAL} into {RIVAL_FOLDER}")
        for command in ([sys.executable, "-m", "venv", str(RIVAL_FOLDER)], [here, "-m", "pip", "install", "-q", RIVAL]):
            if subprocess.run(command, check=False, stdout=sys.stderr).returncode:
                return None, f"{RIVAL} could not be installed"
    if subprocess.run([python, "-c", "import drt.destinations.hubspot"], check=False, capture_output=True).returncode:
        return None, f"{python} has no drt-core: {python} -m pip install {RIVAL}"
    return python, ""


def measure(companies: int, pulled: int, rounds: int, rival: tuple[str | None, str], say: Say) -> dict[str, Any]:
    """Both parts. SystemExit where a side wrote or read something else than it was given."""
    python, why_not = rival
    with tempfile.TemporaryDirectory(prefix="bench-hubspot-") as name, SandboxProcess(Path(name) / "account.db", crm="hubspot") as box:
        ids = prepare(box, max(companies, pulled), say)
        os.environ["HUBSPOT_TOKEN"] = box.control.info()["access_token"]  # to the children
        written = _write(box, Path(name), ids[:companies], rounds, python, say)
        read = _pull(box, Path(name), len(ids), rounds, say)
    return {"companies": companies, "write": written, "rival": RIVAL, "rival_missing": why_not, "pulled": len(ids), "pull": read}


def _write(box: SandboxProcess, folder: Path, ids: list[str], rounds: int, python: str | None, say: Say) -> dict[str, Any]:
    names = {f.key: f.names["hubspot"] for f in fields()}
    sides: dict[str, list[dict[str, Any]]] = {"drt-core": [], "client": [], "ours": []} if python else {"client": [], "ours": []}
    turn = 0
    for _ in range(rounds):
        for side, turns in sides.items():
            turn += 1
            say(f"writing {len(ids):,} companies, {side}, turn {len(turns) + 1} of {rounds}")
            rows = [{"id": key, "tenant_id": f"t-{i}", "values": wanted(i, turn)} for i, key in enumerate(ids)]
            rows = [row | {"properties": {names[k]: v for k, v in row["values"].items()}} for row in rows]
            path = folder / "rows.json"
            path.write_text(json.dumps(rows), encoding="utf-8")
            box.control.reset_stats()
            if side == "drt-core":
                found = run_child("bench.rival_drt", box.url, str(path), python=str(python))
            else:
                found = run_child("bench.hubspot", f"write_{side}", box.url, str(path))
            turns.append(found | {"calls": sum(box.control.stats()["statuses"].values())})
            _must_hold(box, side, rows, list(names.values()))
    return {side: vars(Measure.of(turns)) | {"calls": turns[0]["calls"]} for side, turns in sides.items()}


def _must_hold(box: SandboxProcess, side: str, rows: list[dict[str, Any]], names: list[str]) -> None:
    there = {row["id"]: row for row in box.control.dump("companies", properties=",".join(names))}
    wrong = [row["id"] for row in rows if {name: there[row["id"]][name] for name in names} != row["properties"]]
    if wrong:
        raise SystemExit(f"{side} left {len(wrong)} companies with other values, first {wrong[0]}")


def _pull(box: SandboxProcess, folder: Path, companies: int, rounds: int, say: Say) -> dict[str, Any]:
    sides: dict[str, list[dict[str, Any]]] = {"client": [], "ours": []}
    first: Any = None
    for turn in range(rounds):
        for side, turns in sides.items():
            say(f"pulling {companies:,} companies, {side}, turn {turn + 1} of {rounds}")
            into = folder / f"{side}-{turn}"
            box.control.reset_stats()
            turns.append(run_child("bench.hubspot", f"pull_{side}", box.url, str(into)) | {"calls": sum(box.control.stats()["statuses"].values())})
            rows = pq.read_table(into, columns=["_id", *PULLED]).sort_by("_id").to_pylist()
            first = first or rows
            if rows != first or len(rows) != companies:
                raise SystemExit("the two sides read different companies")
    return {side: vars(Measure.of(turns)) | {"calls": turns[0]["calls"]} for side, turns in sides.items()}


if __name__ == "__main__":
    child(sys.argv[1], sys.argv[2], sys.argv[3])
