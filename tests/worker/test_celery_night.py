"""A whole run on prefork workers, a real Redis and both ledgers, with a death at fifteen named points, a flushed Redis and a person in between.

The CRM it leaves equals that of an undisturbed run of the same instant on a copy of the same org.
"""

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest
import redis
from pydantic import SecretStr

import mappings as shipped
from connectors.salesforce.sandbox.seed import seed_sandbox
from connectors.sandbox_kit import SandboxProcess
from mappings.load import load
from tests.conftest import wait_for
from tests.worker.test_celery import celery_worker, kill_tree
from worker.report import run_report
from worker.run import RunKind, finish_run, start_run
from worker.runtime import Runtime, crm_opener
from worker.settings import Settings
from worker.store import runs
from worker.store.work import RunState

#: point -> the pass at which a process dies there.
DEATHS = {
    "item.claim.after_commit": 3,
    "item.finish.before_commit": 4,
    "item.finish.after_commit": 6,
    "lake.finish.before_rename": 2,
    "lake.finish.after_rename": 3,
    "message.send.before": 5,
    "message.send.after": 7,
    "pull.read.after": 2,
    "stage.parts.after": 2,
    "write_back.intent.after_part": 1,
    "write_back.send.before": 1,
    "write_back.send.after": 1,
    "write_back.results.after_part": 1,
    "notify.send.before": 1,
    "notify.send.after": 1,
}
AS_OF = datetime(2026, 12, 1, 3, 0, tzinfo=UTC)
ACCOUNTS = 14


@dataclass(frozen=True)
class Org:
    """A provisioned, seeded org that is not running, to be copied, and what an undisturbed run made of it."""

    state: Path
    usage: Path
    accounts: dict[str, dict[str, Any]]
    csqls: dict[str, dict[str, Any]]
    writes_ok: int


def environment(box: SandboxProcess, folder: Path, usage: Path, ledger_url: str) -> dict[str, str]:
    return {
        "SCORESYNC_LAKE": str(folder / "lake"),
        "SCORESYNC_DATABASE_URL": ledger_url,
        "SCORESYNC_USAGE": str(usage),
        "SCORESYNC_SALESFORCE_URL": box.url,
        "SCORESYNC_SALESFORCE_CLIENT_ID": box.client_id,
        "SCORESYNC_SALESFORCE_CLIENT_SECRET": box.client_secret,
        "SCORESYNC_READ_LAG_S": "0",
        "SCORESYNC_HASH_KEY": "the same for both",
        "SCORESYNC_LOG_LEVEL": "warning",
    }


@contextmanager
def environ(values: dict[str, str]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def provision(box: SandboxProcess, settings: Settings) -> None:
    customer = load(Path(shipped.__file__).parent)
    client_id, secret = box.app("admin")
    username = box.user("integration")["username"]
    admin = settings.model_copy(
        update={"salesforce_client_id": client_id, "salesforce_client_secret": SecretStr(secret), "salesforce_username": username}
    )
    crm_opener(admin)(customer, "salesforce").provision(customer.writeback.active(), dry_run=False, say=lambda _step: None)


def our_fields(box: SandboxProcess, object_name: str, key: str) -> dict[str, dict[str, Any]]:
    """What is in our fields, by `key`. Ids and stamps of CSQL records differ from org to org and are left out."""
    rows = box.control.dump(object_name)
    assert len({row[key] for row in rows}) == len(rows), f"a {object_name} is there twice"
    return {row[key]: {name: value for name, value in row.items() if name.startswith("CSH_")} for row in rows}


@pytest.fixture(scope="module")
def org(tmp_path_factory: pytest.TempPathFactory) -> Org:
    """Seeded once; the undisturbed run is made on a copy."""
    folder = tmp_path_factory.mktemp("night")
    box = SandboxProcess(folder / "fresh" / "sandbox.db")
    with box, environ(environment(box, folder, folder / "usage", f"sqlite:///{folder / 'ledger.db'}")):
        seed_sandbox(box.url, folder, ACCOUNTS, 11, date(2026, 12, 1))
        provision(box, Settings())
    with copy_of(folder / "fresh", folder / "undisturbed") as box:
        with environ(environment(box, folder, folder / "usage", f"sqlite:///{folder / 'ledger.db'}")):
            runtime = Runtime.open(Settings())
            run = finish_run(runtime, start_run(runtime, load(Path(shipped.__file__).parent), RunKind.FULL, as_of=AS_OF))
            assert run.state == RunState.DONE, run.reason
            ok = run_report(runtime.ledger, run.id)["writes"]["ok"]
            runtime.close()
        accounts, csqls = our_fields(box, "Account", "Id"), our_fields(box, "CSH_CSQL__c", "CSH_External_Key__c")
    return Org(folder / "fresh", folder / "usage", accounts, csqls, ok)


@contextmanager
def copy_of(state: Path, into: Path) -> Iterator[SandboxProcess]:
    """A running sandbox on a copy of another's state."""
    shutil.copytree(state, into)
    with SandboxProcess(into / "sandbox.db") as box:
        yield box


@pytest.mark.timeout(300)
def test_a_night_of_deaths_leaves_the_crm_of_a_quiet_night(org: Org, ledger_url: str, redis_url: str, tmp_path: Path) -> None:
    once = tmp_path / "passes"
    with copy_of(org.state, tmp_path / "org") as box:
        here = environment(box, tmp_path, org.usage, ledger_url) | {
            "SCORESYNC_REDIS_URL": redis_url,
            "SCORESYNC_BACKOFF_S": "0.1",
            "SCORESYNC_ITEM_ATTEMPTS": "9",  # one item may meet several deaths here
            "SCORESYNC_SWEEP_EVERY_S": "0.5",
            "SCORESYNC_ANNOUNCE_AGAIN_S": "3",
        }
        deadly = {"SCORESYNC_KILL_AT": ",".join(f"{name}#{nth}" for name, nth in DEATHS.items()), "SCORESYNC_KILL_ONCE": str(once)}
        with environ(here):
            runtime = Runtime.open(Settings())
            run_id = start_run(runtime, load(Path(shipped.__file__).parent), RunKind.FULL, as_of=AS_OF)
            worker = celery_worker("worker.app", tmp_path, here | deadly)
            try:
                died = _passed(once, "stage.parts.after")
                wait_for(lambda: died() or not live(runtime, run_id), 120, "the death in stage")
                edited = _edit(box, next(key for key, ours in org.accounts.items() if ours["CSH_Next_Action__c"]))
                client = redis.Redis.from_url(redis_url)
                client.flushall()
                client.close()
                wait_for(lambda: not live(runtime, run_id), 240, "the run's end")
            finally:
                kill_tree(worker.pid)
                worker.wait(timeout=10)
            run, report = runs.get(runtime.ledger, run_id), run_report(runtime.ledger, run_id)
            runtime.close()
        assert (run.state, run.reason) == (RunState.DONE, "")
        missed = [name for name, nth in DEATHS.items() if not _passed(once, name, nth)()]
        assert missed == []
        assert report["writes"]["ok"] == org.writes_ok
        accounts, csqls = our_fields(box, "Account", "Id"), our_fields(box, "CSH_CSQL__c", "CSH_External_Key__c")
    # the person's word stands; everything else is as in the quiet night
    assert accounts[edited]["CSH_Next_Action__c"] == PERSONS_WORD
    accounts[edited]["CSH_Next_Action__c"] = org.accounts[edited]["CSH_Next_Action__c"]
    assert accounts == org.accounts
    assert csqls == org.csqls


def live(runtime: Runtime, run_id: str) -> bool:
    return runs.is_live(runs.get(runtime.ledger, run_id).state)


PERSONS_WORD = "Ask Ms Sato first"


def _edit(box: SandboxProcess, account: str) -> str:
    """Somebody with the right to writes into a field of ours, after it was read and before it is written."""
    (result,) = box.control.write("integration", "Account", [{"Id": account, "CSH_Next_Action__c": PERSONS_WORD}])
    assert result["success"], result
    return account


def _passed(once: Path, name: str, nth: int = 1) -> Callable[[], bool]:
    path = once.with_name(f"{once.name}.{name}")
    return lambda: path.exists() and path.stat().st_size >= nth
