"""join, score, decide and diff as steps: over a real lake and ledger."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from mappings.models import Brake, History, Mappings, Writeback
from tests.factories import AS_OF, ON, Lake, make_field, make_mappings, make_rule
from tests.worker.lake_writer import open_core, run_core, table
from worker.items import Run, RunKind, RunState
from worker.runtime import Runtime
from worker.settings import Settings
from worker.store import registers


def with_score(mappings: Mappings, **changed: Any) -> Mappings:
    return mappings.model_copy(update={"score": mappings.score.model_copy(update=changed)})


FIELDS = [
    make_field("health_score", value="score", precision=3, scale=0),
    make_field("health_tier", type="picklist", value="tier_label"),
    make_field("main_reason", type="text", length=255),
    make_field("external_key", "csql", "text", length=100, external_key=True),
    make_field("account", "csql", "lookup", value="account_id"),
    make_field("state", "csql", "text", length=40),
]
MAPPINGS = make_mappings(csql={"seats": make_rule(trusted=True)}, writeback=Writeback(fields=FIELDS))
NO_PAST = with_score(MAPPINGS, history=History(backfill_days=0)).model_copy(update={"csql": {"seats": make_rule(trusted=True, persist_days=0)}})


def small_lake() -> Lake:
    """A1 and A2 with 50 seats, one user a day for 70 days; A3 a prospect."""
    lake = Lake()
    lake.own = [f.key for f in FIELDS]
    file = lake.make_file()
    for account in ("A1", "A2"):
        lake.make_account(account)
        lake.make_contract(account)
        lake.make_activity(account)
        for n in range(1, 71):
            lake.make_use(file, f"t-{account}", ON - timedelta(days=n), ["u1"])
    lake.make_account("A3", kind="prospect")
    return lake


def opened(folder: Path, lakes: dict[str, Lake]) -> Runtime:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SCORESYNC_LAKE", str(folder / "lake"))
        patch.setenv("SCORESYNC_DATABASE_URL", f"sqlite:///{folder / 'ledger.db'}")
        patch.setenv("SCORESYNC_LOG_LEVEL", "error")
        return open_core(Settings(), lakes)


@pytest.fixture
def runtime(tmp_path: Path) -> Iterator[Runtime]:
    """The first run finds the small lake, the second a later touch of A1, the third nothing new."""
    later = Lake()
    later.own = [f.key for f in FIELDS]
    later.make_activity("A1", ON - timedelta(days=3), id="act-later")
    found = opened(tmp_path, {"0": small_lake(), "1": later, "2": Lake()})
    yield found
    found.close()


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Runtime, Run]]:
    """A first full run, with the past it scored."""
    found = opened(tmp_path_factory.mktemp("first"), {"0": small_lake()})
    yield found, run_core(found, MAPPINGS)
    found.close()


def test_a_first_run_leaves_every_table_and_accounts_for_every_account(first: tuple[Runtime, Run]) -> None:
    runtime, run = first

    assert run.state == RunState.DONE
    assert [(r["account_id"], r["scope"], r["excluded_why"]) for r in table(runtime, run, "accounts")] == [
        ("A1", "in", None),
        ("A2", "in", None),
        ("A3", "excluded", "no open contract"),
    ]
    # seats 50 → 50 points x 50; events 28 → 28 points x 30; one touch x 10 → 10 points x 20: 25 + 8.4 + 2 = 35.4
    assert [(r["score"], r["score_uncapped"], r["tier"]) for r in table(runtime, run, "decisions")] == [(35, 35.4, 2)] * 2
    changes = table(runtime, run, "changes", "object, account_id, field")
    assert {(c["object"], c["account_id"]) for c in changes} == {("account", "A1"), ("account", "A2"), ("csql", "A1"), ("csql", "A2")}
    assert {c["field"] for c in changes if c["object"] == "account"} == {"health_score", "health_tier", "main_reason"}
    assert {c["external_key"] for c in changes if c["object"] == "csql"} == {"A1|expense|1", "A2|expense|1"}


def test_a_first_run_knows_past_dates(first: tuple[Runtime, Run]) -> None:
    """Backfill 28, 21, 14, 7 days and a day back: the touch of 26 November (10 points x 20 = 2) is missing before it."""
    runtime, run = first

    rows = [(r["on_"], r["score"], r["score_uncapped"]) for r in table(runtime, run, "history", "account_id, on_") if r["account_id"] == "A1"]

    assert rows == [(ON - timedelta(days=28), 33, 33.4), (ON - timedelta(days=1), 35, 35.4)]  # today nothing changed
    assert table(runtime, run, "decisions")[0]["delta_28d"] == 2


def test_keys_of_new_records_are_given_out_with_the_item(first: tuple[Runtime, Run]) -> None:
    assert sorted(registers.csql_sequences(first[0].ledger)) == [("A1", "expense", 1), ("A2", "expense", 1)]


def test_an_increment_computes_only_what_its_parts_touch_and_a_full_run_after_it_adds_nothing(runtime: Runtime) -> None:
    run_core(runtime, NO_PAST)
    increment = run_core(runtime, NO_PAST, RunKind.INCREMENT, as_of=AS_OF + timedelta(hours=1))
    full = run_core(runtime, NO_PAST, as_of=AS_OF + timedelta(hours=1))

    assert [r["account_id"] for r in table(runtime, increment, "accounts")] == ["A1"]
    for name in ("accounts", "account_products", "scores", "parts", "decisions"):
        whole = [r for r in table(runtime, full, name) if r["account_id"] == "A1"]
        assert table(runtime, increment, name) == whole, name
    assert table(runtime, increment, "decisions")[0]["score_uncapped"] == 37.4  # two touches: 20 points x 20 = 4
    assert [r["account_id"] for r in table(runtime, increment, "history")] == ["A1"]
    assert table(runtime, full, "history") == table(runtime, full, "signals") == []


def test_a_resync_answers_for_the_accounts_it_was_asked_for(runtime: Runtime) -> None:
    run_core(runtime, NO_PAST)
    resync = run_core(runtime, NO_PAST, RunKind.RESYNC, as_of=AS_OF + timedelta(hours=1), accounts=["A2"])

    assert [(r["account_id"], r["resynced_at"]) for r in table(runtime, resync, "decisions")] == [("A2", AS_OF + timedelta(hours=1))]


def test_a_run_that_opens_too_much_stops_for_approval(tmp_path: Path) -> None:
    runtime = opened(tmp_path, {"0": small_lake()})
    run = run_core(runtime, with_score(NO_PAST, brake=Brake(csql_opened=1)))

    assert run.report["brake"]["csql_opened"] == 2
    assert "2 CSQL records would be opened" in run.report["brake"]["why"]
