"""CS-67 … CS-76: touch models, teams, owners, load and forecast, each on a few accounts counted by hand."""

import shutil
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest

from mappings.load import DEFAULTS, MappingFaults, load, load_checked
from mappings.models import Mappings
from mappings.models_routing import Forecast, Routing
from tests.factories import AS_OF, MODIFIED, ON, Lake, make_mappings
from tests.worker.core import RELATIONS, by, decide, moment, open_lake, rows
from worker.portfolio import Portfolio, forecast_rows, read_portfolio
from worker.steps._assign import assign
from worker.steps._lake import leave

OWNERS: dict[str, list[str]] = {"big": [], "care": ["U8", "U9"], "run": []}
TEAMS = [{"name": name, "title": {"en": name.title(), "ja": f"{name}組"}, "owners": owners} for name, owners in OWNERS.items()]
VERSION: dict[str, Any] = {
    "valid_from": "2026-01-01", "teams": TEAMS, "first": [{"when": "mrr >= 500000", "team": "big"}],
    "levels": [{"name": "low", "when": "health_tier <= 2"}, {"name": "fine"}],
    "periods": [{"name": "ending", "when": "days_to_notice <= 90"}, {"name": "running"}],
    "matrix": {"low": {"ending": "care", "running": "care"}, "fine": {"ending": "care", "running": "run"}},
}  # fmt: skip


def mappings_of(**routing: Any) -> Mappings:
    return make_mappings(routing=Routing.model_validate({"versions": [VERSION]} | routing))


def lake_of(*accounts: tuple[str, dict[str, Any], dict[str, Any]]) -> Lake:
    """(id, columns of the account, columns of its contract)."""
    lake = Lake()
    for name, account, contract in accounts:
        lake.make_account(name, **account)
        lake.make_contract(name, id=f"C-{name}", **contract)
    for user, name in (("U1", "佐藤"), ("U8", "鈴木"), ("U9", "高橋")):
        lake.add("crm_user", connection="salesforce", id=user, name=name, modified_at=MODIFIED, read_at=MODIFIED)
    return lake


def report(con: duckdb.DuckDBPyConnection, folder: Path, mappings: Mappings, on: date | None = None) -> Portfolio:
    for table in ("assigned", "decisions", "accounts"):
        leave(con, folder, table)
    return read_portfolio(con, folder, mappings, run_id="run", as_of=AS_OF, on=on)


# --- CS-67, CS-68: touch models ------------------------------------------------------------------------------------------------------------------
TOUCH = {
    "targets": [
        {"valid_from": "2026-01-01", "tech": 20, "hybrid": 60, "high": 20},
        {"valid_from": "2027-04-01", "tech": 10, "hybrid": 50, "high": 40},
    ]
}


def test_cs67_the_mix_is_measured_against_the_target_of_the_day(tmp_path: Path) -> None:
    """Known: 2 high, 1 hybrid, 1 tech = 50 / 25 / 25 %; one is unknown. Targets 20 / 60 / 20, five points are allowed: tech is within."""
    touch = {"a": "high", "b": "high", "c": "hybrid", "d": "tech", "e": None}
    con = open_lake(lake_of(*((name, {"touch_model": model}, {"mrr": 300_000}) for name, model in touch.items())))
    mappings = mappings_of(touch=TOUCH)
    decide(con, mappings)
    found = report(con, tmp_path, mappings)
    assert [(r["touch_model"], r["accounts"], r["percent"], r["target"]) for r in found.mix] == [
        ("high", 2, 50, 20), ("hybrid", 1, 25, 60), ("tech", 1, 25, 20), ("unknown", 1, None, None),
    ]  # fmt: skip
    assert found.mix[0]["arr"] == 2 * 300_000 * 12
    assert found.warnings == ["high touch is 50 % of accounts, the target is 20 %", "hybrid touch is 25 % of accounts, the target is 60 %"]


def test_cs67_a_touch_model_is_suggested_where_the_record_has_another() -> None:
    """Shipped: from 500,000 a month high; below 100,000 and 30 seats tech; else hybrid. What people own is not written."""
    sizes = {"large": (600_000, 90, "hybrid"), "small": (50_000, 10, "hybrid"), "middle": (200_000, 50, "hybrid")}
    con = open_lake(lake_of(*((n, {"touch_model": touch}, {"mrr": mrr, "seats": seats}) for n, (mrr, seats, touch) in sizes.items())))
    decide(con, load())
    assert {k: r["touch_suggested"] for k, r in by(con, "decisions").items()} == {"large": "high", "small": "tech", "middle": None}
    names = [f.names.get("salesforce") for f in load().writeback.of("account") if f.owner == "worker"]
    assert "CSH_Touch_Model_Suggested__c" in names
    assert "CSH_Touch_Model__c" not in names


def test_cs68_high_touch_at_a_low_price_is_questioned(tmp_path: Path) -> None:
    """Below 200,000 a month: b. 150,000 hybrid is not asked about, nor is 200,000 high."""
    accounts = {"a": (200_000, "high"), "b": (150_000, "high"), "c": (150_000, "hybrid"), "d": (900_000, "high")}
    con = open_lake(lake_of(*((n, {"touch_model": touch}, {"mrr": mrr}) for n, (mrr, touch) in accounts.items())))
    mappings = mappings_of(touch={"high_min_mrr": 200_000})
    decide(con, mappings)
    found = report(con, tmp_path, mappings)
    assert [r["account_id"] for r in found.high_touch_low_price] == ["b"]
    assert found.warnings == ["1 accounts are high touch at a low price: does the price pay for it?"]


# --- CS-69, CS-70, CS-71: teams and owners -------------------------------------------------------------------------------------------------------
FOUR = (
    ("large", {}, {"mrr": 500_000}),
    ("ending", {}, {"mrr": 90_000, "notice_on": ON + timedelta(days=90)}),
    ("running", {}, {"mrr": 80_000, "notice_on": ON + timedelta(days=91)}),
)


def test_cs69_the_team_follows_from_score_and_contract_period() -> None:
    con = open_lake(lake_of(*FOUR))
    decide(con, mappings_of())
    assert {k: r["cs_team_en"] for k, r in by(con, "decisions").items()} == {"large": "Big", "ending": "Care", "running": "Run"}
    con.execute("UPDATE d_result SET tier = 2, score = 30")  # the score's row of the matrix
    assign(con, RELATIONS, mappings_of(), moment(), run_id="run", whole=True)
    assert {k: r["cs_team_ja"] for k, r in by(con, "assigned").items()} == {"large": "big組", "ending": "care組", "running": "care組"}


def test_cs69_an_incomplete_matrix_is_refused(tmp_path: Path) -> None:
    folder = shutil.copytree(DEFAULTS, tmp_path / "m", ignore=lambda _, names: [n for n in names if n.endswith(".py") or n == "__pycache__"])
    path = folder / "routing.yml"
    text = (
        path.read_text("utf-8").replace("small: digital, running: smb}", "small: digitall}").replace("tech: 20, hybrid: 60", "tech: 30, hybrid: 60")
    )
    path.write_text(text, "utf-8")
    with pytest.raises(MappingFaults) as caught:
        load_checked(folder)
    told = [f"{f.key}: {f.text}" for f in caught.value.faults]
    assert told == [
        "touch.targets.0: tech, hybrid and high are 110 % together",
        "versions.0.matrix.steady: has no team for period `running`",
        "versions.0.matrix.steady.small: there is no team `digitall`",
    ]


def owners(con: duckdb.DuckDBPyConnection) -> dict[str, str | None]:
    return {k: r["owner_suggested"] for k, r in by(con, "decisions").items()}


ENDING = {"notice_on": ON + timedelta(days=60)}


def test_cs70_one_owner_for_life_suggests_somebody_only_where_nobody_is() -> None:
    con = open_lake(lake_of(("has", {"csm_id": "U1"}, ENDING), ("none", {}, ENDING)))
    decide(con, mappings_of())
    # U8 and U9 have no account: the first of them
    assert owners(con) == {"has": None, "none": "鈴木"}


def test_cs70_an_owner_per_stage_is_one_of_the_team_and_the_largest_are_dealt_out_first() -> None:
    """Team care: U8 has one account already, U9 none, so U9 comes first: a (300,000) to U9, b (200,000) to U8, c (100,000) to U9."""
    stage = VERSION | {"owner_model": "stage"}
    accounts = {"a": ("U1", 300_000), "b": ("U1", 200_000), "c": (None, 100_000), "d": ("U8", 50_000)}
    con = open_lake(lake_of(*((n, {"csm_id": csm}, {**ENDING, "mrr": mrr}) for n, (csm, mrr) in accounts.items())))
    decide(con, mappings_of(versions=[stage]))
    assert owners(con) == {"a": "高橋", "b": "鈴木", "c": "高橋", "d": None}
    # another customer of that size changes nobody's suggestion: each stands while its person belongs to the team
    con.execute("UPDATE crm_contract SET mrr = 400000 WHERE account_id = 'c'")
    decide(con, mappings_of(versions=[stage]), AS_OF + timedelta(days=1))
    assert owners(con) == {"a": "高橋", "b": "鈴木", "c": "高橋", "d": None}
    assert rows(con, "SELECT * FROM assignments") == []


def test_cs71_a_reorganisation_begins_on_its_day_and_history_stays_with_the_old_team(tmp_path: Path) -> None:
    later = VERSION | {
        "valid_from": "2026-12-02",
        "matrix": {"low": {"ending": "run", "running": "run"}, "fine": {"ending": "run", "running": "run"}},
    }
    mappings = mappings_of(versions=[VERSION, later])
    con = open_lake(lake_of(*FOUR))
    decide(con, mappings)
    decide(con, mappings, AS_OF + timedelta(days=1))
    changed = rows(con, "SELECT account_id, team, routing_version FROM assignments")
    assert changed == [{"account_id": "ending", "team": "run", "routing_version": date(2026, 12, 2)}]
    then, now = report(con, tmp_path, mappings, ON), report(con, tmp_path, mappings)
    assert {r["team"]: r["accounts"] for r in then.teams} == {"big": 1, "care": 1, "run": 1}
    assert {r["team"]: r["accounts"] for r in now.teams} == {"big": 1, "run": 2}


# --- CS-72, CS-73: load and forecast -------------------------------------------------------------------------------------------------------------
def test_cs72_a_csm_beyond_their_level_is_warned_of(tmp_path: Path) -> None:
    """Level new: two accounts, 3,000,000 a year. U1 has three; U8 (senior, ten) is within; U9 has one of 300,000 a month = 3,600,000."""
    levels = [{"name": "new", "accounts": 2, "arr": 3_000_000}, {"name": "senior", "accounts": 10}]
    held = {"a": ("U1", 10_000), "b": ("U1", 10_000), "c": ("U1", 10_000), "d": ("U8", 10_000), "e": ("U8", 900_000), "f": ("U9", 300_000)}
    con = open_lake(lake_of(*((n, {"csm_id": csm}, {"mrr": mrr}) for n, (csm, mrr) in held.items())))
    mappings = mappings_of(load={"levels": levels, "users": {"U8": "senior"}})
    decide(con, mappings)
    found = report(con, tmp_path, mappings)
    assert {r["csm_id"]: (r["accounts"], r["level"], r["over"]) for r in found.load} == {
        "U1": (3, "new", True),
        "U8": (2, "senior", False),
        "U9": (1, "new", True),
    }
    assert found.warnings == [
        "佐藤 has 3 accounts (most 2) and 360,000 a year (most 3,000,000)",
        "高橋 has 1 accounts (most 2) and 3,600,000 a year (most 3,000,000)",
    ]


def test_cs73_the_month_in_which_high_touch_breaks() -> None:
    """4 heads x 15 = 60 accounts. Now 52, two more a month: 60 after four months is still carried, 62 in the fifth is not: May 2027."""
    growth = [{"touch_model": "high", "accounts": 52, "started": 2.0}, {"touch_model": "tech", "accounts": 90, "started": 0.5}]
    forecast = Forecast(accounts_per_head={"high": 15, "tech": 400}, heads={"high": 4, "tech": 1})
    found = {r["touch_model"]: r for r in forecast_rows(growth, forecast, date(2026, 12, 1))}
    assert (found["high"]["carried"], found["high"]["breaks_in"]) == (60, date(2027, 5, 1))
    assert found["tech"]["breaks_in"] is None
    # the plan comes before what started lately: eight a month break it in the second month (68)
    planned = forecast.model_copy(update={"new_per_month": {"high": 8.0}})
    assert forecast_rows(growth, planned, date(2026, 12, 1))[0]["breaks_in"] == date(2027, 2, 1)
    assert forecast_rows([], forecast, date(2026, 12, 1))[0]["accounts"] == 0


def test_cs73_growth_is_what_started_in_the_last_months(tmp_path: Path) -> None:
    """Six months to 1 December: after 1 June. Two of three high-touch accounts started then: a third of an account a month."""
    starts = {"a": date(2026, 6, 2), "b": date(2026, 12, 1), "c": date(2026, 6, 1)}
    con = open_lake(lake_of(*((n, {"touch_model": "high"}, {"starts_on": day}) for n, day in starts.items())))
    mappings = mappings_of(forecast={"accounts_per_head": {"high": 3}, "heads": {"high": 1}, "months": 4})
    decide(con, mappings)
    (row,) = report(con, tmp_path, mappings).forecast
    assert (row["accounts"], row["new_per_month"], row["breaks_in"]) == (3, pytest.approx(1 / 3), date(2027, 1, 1))


# --- CS-74, CS-75, CS-76: partners, dimensions, contract month -----------------------------------------------------------------------------------
def test_cs74_accounts_are_rolled_up_by_partner(tmp_path: Path) -> None:
    lake = lake_of(*((n, {"partner_id": "P", "segment": s}, {"mrr": mrr}) for n, s, mrr in (("a", "SMB", 100_000), ("b", "Mid", 300_000))))
    lake.make_account("P", kind="partner", name="代理店")
    con = open_lake(lake)
    decide(con, mappings_of())
    con.execute("UPDATE decisions SET score = CASE account_id WHEN 'a' THEN 30 ELSE 70 END, tier = CASE account_id WHEN 'a' THEN 2 ELSE 4 END")
    (row,) = report(con, tmp_path, mappings_of()).partners
    # (30 x 100,000 + 70 x 300,000) / 400,000 = 60
    assert (row["partner_id"], row["name"], row["accounts"], row["arr"], row["score"]) == ("P", "代理店", 2, 4_800_000, 60)
    assert (row["at_risk"], row["lowest_account"], row["lowest_score"]) == (1, "a", 30)


def test_cs75_accounts_are_counted_by_size_touch_model_region_and_product(tmp_path: Path) -> None:
    lake = lake_of(
        ("a", {"segment": "SMB", "touch_model": "tech", "region": "東京都"}, {"product": "expense"}),
        ("b", {"segment": "SMB", "touch_model": "high", "region": "大阪府"}, {"product": "esign"}),
        ("c", {"segment": "Mid", "touch_model": "high", "region": None}, {"product": "esign"}),
    )
    con = open_lake(lake)
    decide(con, mappings_of())
    found = report(con, tmp_path, mappings_of()).dimensions
    counted = {(r["dimension"], r["value"]): r["accounts"] for r in found if r["dimension"] != "contract month"}
    assert counted == {
        ("segment", "SMB"): 2, ("segment", "Mid"): 1, ("touch model", "high"): 2, ("touch model", "tech"): 1, ("region", "東京都"): 1,
        ("region", "大阪府"): 1, ("region", "–"): 1, ("main product", "esign"): 2, ("main product", "expense"): 1,
    }  # fmt: skip


def test_cs76_the_month_of_the_term_is_counted_from_a_date(tmp_path: Path) -> None:
    """A year to 31 March 2027 began on 1 April 2026: 1 December is 244 days in, 244 / 30.4375 = 8.02, the ninth month."""
    con = open_lake(lake_of(("a", {}, {"starts_on": date(2024, 4, 1), "ends_on": date(2027, 3, 31), "term_months": 12})))
    decide(con, mappings_of())
    assert by(con, "decisions")["a"]["term_starts_on"] == date(2026, 4, 1)
    assert [r["value"] for r in report(con, tmp_path, mappings_of()).dimensions if r["dimension"] == "contract month"] == ["9"]
    decide(con, mappings_of(), AS_OF + timedelta(days=60))  # no field moves because time passes: the CRM counts
    assert by(con, "decisions")["a"]["term_starts_on"] == date(2026, 4, 1)
    (field,) = [f for f in load().writeback.of("account") if f.key == "contract_month"]
    assert (field.owner, field.formula) == ("crm", "FLOOR((TODAY() - CSH_Term_Starts_On__c) / 30.4375) + 1")
