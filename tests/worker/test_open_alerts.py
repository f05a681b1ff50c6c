"""`scoresync alerts`: what holds now, since when and for whom; on three days of a hand-made lake, and through the runtime."""

from datetime import date, timedelta
from pathlib import Path

import duckdb
import pytest

from mappings.models import Alert, Mappings
from tests.factories import AS_OF, MODIFIED, ON, Lake, make_mappings
from tests.worker.core import decide, open_lake, rows
from tests.worker.lake_writer import run_core, table
from tests.worker.test_core_steps import opened
from worker.open_alerts import Asked, open_alerts, read_alerts
from worker.steps._lake import leave
from worker.store import registers

DAY = timedelta(days=1)


def _alert(name: str, when: str, **row: object) -> Alert:
    text = {"en": f"{name}: {{seats}} seats", "ja": f"{name}: {{seats}} ID"}
    return Alert.model_validate({"name": name, "when": when, "channel": "slack", "text": text, "scored_only": False} | row)


def _mappings(*names: str) -> Mappings:
    alerts = {"big": _alert("big", "seats >= 100"), "small": _alert("small", "seats < 20", also=["email"]), "gone": _alert("gone", "true")}
    return make_mappings(alerts={name: alerts[name] for name in names or ("big", "small")})


def _lake() -> Lake:
    lake = Lake()
    for user, name in (("U1", "佐藤"), ("PO", "Partner's owner")):
        lake.add("crm_user", connection="salesforce", id=user, name=name, modified_at=MODIFIED, read_at=MODIFIED)
    lake.make_account("P", kind="partner", owner_id="PO")
    for account, seats, row in (
        ("A1", 10, {"csm_id": "U1", "owner_id": "S1"}),
        ("A2", 120, {"csm_id": "U1", "partner_id": "P"}),
        ("A3", 10, {"owner_id": "S1"}),
        ("A4", 10, {}),
    ):
        lake.make_account(account, **row)
        lake.make_contract(account, seats=seats)
    return lake


def _move(con: duckdb.DuckDBPyConnection, account: str, seats: int) -> None:
    con.execute("UPDATE crm_contract SET seats = ? WHERE account_id = ?", [seats, account])


@pytest.fixture(scope="module")
def days(tmp_path_factory: pytest.TempPathFactory) -> tuple[duckdb.DuckDBPyConnection, Path, list[registers.Flip]]:
    """Sunday: A1, A3 and A4 are small, A2 is big, and a third alert, dropped on Monday, holds. Monday: A3 grows. Tuesday: A4 is big."""
    con, folder, told = open_lake(_lake()), tmp_path_factory.mktemp("run"), []
    for number, moves in enumerate(({}, {"A3": 50}, {"A4": 150})):
        for account, seats in moves.items():
            _move(con, account, seats)
        decide(con, _mappings("big", "small", "gone") if number == 0 else _mappings(), AS_OF + (number - 2) * DAY)
        columns = "rule, account_id, product, on_, value, channel, text, also, recipient, routed"
        told += [registers.Flip("run", *r.values()) for r in rows(con, f"SELECT {columns} FROM flips WHERE kind = 'alert' AND value = 'true'")]
    for name in ("accounts", "decisions"):
        leave(con, folder, name)
    return con, folder, told


def _read(days: tuple[duckdb.DuckDBPyConnection, Path, list[registers.Flip]], asked: Asked = Asked()) -> list[tuple[str, str, date, int, str | None]]:
    con, folder, told = days
    found = read_alerts(con, folder, _mappings(), told, asked, ON, part="NULL")
    return [(r["alert"], r["account_id"], r["since_on"], r["days"], r["recipient"]) for r in found]


def test_what_holds_now_newest_first_with_whom_it_is_meant_for(days: tuple[duckdb.DuckDBPyConnection, Path, list[registers.Flip]]) -> None:
    """A3 recovered, `gone` is no alert any more; A2 is the partner's, A4 nobody's."""
    sunday = ON - 2 * DAY
    assert _read(days) == [("big", "A4", ON, 0, None), ("small", "A1", sunday, 2, "U1"), ("big", "A2", sunday, 2, "PO")]


def test_the_words_are_those_of_its_first_day(days: tuple[duckdb.DuckDBPyConnection, Path, list[registers.Flip]]) -> None:
    con, folder, told = days
    shown = {r["account_id"]: r for r in read_alerts(con, folder, _mappings(), told, Asked(), ON, part="NULL")}
    assert (shown["A1"]["text"], shown["A1"]["channels"], shown["A1"]["recipient_name"]) == ("small: 10 ID", "slack+email", "佐藤")
    assert (shown["A2"]["routed"], shown["A2"]["recipient_name"], shown["A2"]["channels"]) == ("partner", "Partner's owner", "slack")
    assert {r["text"] for r in read_alerts(con, folder, _mappings(), [], Asked(), ON, part="NULL")} == {None}  # held before anybody was told


@pytest.mark.parametrize(
    ("asked", "accounts"),
    [
        (Asked(csm="U1"), ["A1"]),
        (Asked(alert="big"), ["A4", "A2"]),
        (Asked(account="A2"), ["A2"]),
        (Asked(since=ON - DAY), ["A4"]),
        (Asked(csm="U1", alert="big"), []),
    ],
)
def test_filters(days: tuple[duckdb.DuckDBPyConnection, Path, list[registers.Flip]], asked: Asked, accounts: list[str]) -> None:
    assert [row[1] for row in _read(days, asked)] == accounts


def test_through_the_runtime(tmp_path: Path) -> None:
    """From run folder, lake and ledger; before the first run there is nothing, and a misspelt alert is told with those there are."""
    runtime = opened(tmp_path, {"0": _lake()})
    try:
        assert open_alerts(runtime) is None
        score = make_mappings().score.model_copy(update={"history": make_mappings().score.history.model_copy(update={"backfill_days": 0})})
        run = run_core(runtime, _mappings().model_copy(update={"score": score}))
        flips = [f for f in table(runtime, run, "flips") if f["kind"] == "alert"]
        kept = [registers.Flip(run.id, f["rule"], f["account_id"], "", f["on_"], f["value"], f["channel"], f["text"]) for f in flips]
        registers.commit(runtime.ledger, registers.put_flips(runtime.ledger, kept))
        found = open_alerts(runtime, Asked(alert="small"))
        assert found is not None
        assert ([r["text"] for r in found.rows], found.by_alert) == (["small: 10 ID"] * 3, [{"alert": "small", "open": 3}])
        assert [r["account_id"] for r in (open_alerts(runtime, Asked(account="A1")) or found).rows] == ["A1"]
        with pytest.raises(LookupError, match=r"smal.*big, small"):
            open_alerts(runtime, Asked(alert="smal"))
    finally:
        runtime.close()
