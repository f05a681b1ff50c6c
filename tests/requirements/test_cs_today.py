"""CS-92: today's list. The points of an account are its MRR here, so that bands and places can be read off the numbers."""

from datetime import date, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest

from mappings.load import load
from mappings.models import Mappings
from mappings.models_routing import Priority
from tests.factories import AS_OF, MODIFIED, ON, Lake, make_mappings
from tests.worker.core import by, decide, open_lake, rows
from worker.steps._lake import leave
from worker.today import read_lists

POINTS = [{"name": "size", "weight": 1, "share": "mrr / 100", "text": {"en": "{mrr} a month", "ja": "月額{mrr}"}}]


def mappings_of(**priority: Any) -> Mappings:
    return make_mappings(priority=Priority.model_validate({"capacity": 3, "bands": [60, 40, 25], "margin": 5, "terms": POINTS} | priority))


def base(points: dict[str, int], **account: Any) -> Lake:
    """Accounts of CSM U1 with these points."""
    lake = Lake()
    for name, mrr in points.items():
        lake.make_account(name, **({"csm_id": "U1", "owner_id": "S1"} | account))
        lake.make_contract(name, id=f"C-{name}", mrr=mrr, seats=50)
    return lake


def move(con: duckdb.DuckDBPyConnection, **points: int) -> None:
    for name, mrr in points.items():
        con.execute("UPDATE crm_contract SET mrr = ? WHERE account_id = ?", [mrr, name])


def places(con: duckdb.DuckDBPyConnection) -> dict[str, int]:
    return {r["account_id"]: r["priority"] for r in rows(con, "SELECT account_id, priority FROM decisions WHERE priority IS NOT NULL")}


def test_cs92_each_csm_has_the_accounts_with_the_most_points_up_to_capacity() -> None:
    con = open_lake(base({"a70": 70, "b65": 65, "c45": 45, "d41": 41, "e10": 10}))
    decide(con, mappings_of())
    assert places(con) == {"a70": 101, "b65": 102, "c45": 201}
    decide(con, mappings_of(users={"U1": 1}), keep=False)
    assert places(con) == {"a70": 101}


def test_cs92_a_day_without_news_moves_nobody() -> None:
    con = open_lake(base({"a": 70, "b": 65, "c": 45}))
    decide(con, mappings_of())
    before = places(con)
    decide(con, mappings_of(), AS_OF + timedelta(days=1))
    assert (places(con), rows(con, "SELECT * FROM assignments")) == (before, [])


def test_cs92_a_newcomer_goes_to_the_end_of_its_band_and_moves_nobody_in_it() -> None:
    con = open_lake(base({"a": 70, "b": 65, "c": 45, "new": 10}))
    decide(con, mappings_of())
    move(con, new=95)
    decide(con, mappings_of(), AS_OF + timedelta(days=1))
    # capacity 3: c, the last in band 2, makes room
    assert places(con) == {"a": 101, "b": 102, "new": 103}
    assert {r["account_id"]: r["priority"] for r in rows(con, "SELECT * FROM assignments")} == {"c": None, "new": 103}


def test_cs92_an_account_leaves_its_band_only_past_the_margin() -> None:
    con = open_lake(base({"a": 70, "b": 65, "c": 26}))
    decide(con, mappings_of())
    move(con, a=55, c=20)  # 60 - 5 and 25 - 5: still within
    decide(con, mappings_of(), AS_OF + timedelta(days=1))
    assert places(con) == {"a": 101, "b": 102, "c": 301}
    move(con, a=54, c=19)
    decide(con, mappings_of(), AS_OF + timedelta(days=2))
    assert places(con) == {"a": 201, "b": 102}


def test_cs92_places_are_given_out_anew_when_a_band_has_no_number_left() -> None:
    con = open_lake(base({"a": 70, "b": 65, "new": 10}))
    decide(con, mappings_of())
    con.execute("UPDATE assignment_history SET priority = 199 WHERE account_id = 'b'")
    move(con, new=95)
    decide(con, mappings_of(), AS_OF + timedelta(days=1))
    assert places(con) == {"a": 101, "b": 102, "new": 103}


def test_cs92_in_between_lists_stand() -> None:
    con = open_lake(base({"a": 70, "b": 65}))
    decide(con, mappings_of())
    move(con, b=10)
    con.execute("CREATE TABLE only_b AS SELECT 'b' AS account_id")
    decide(con, mappings_of(), AS_OF + timedelta(hours=1), full=False, only="only_b")
    assert (places(con), rows(con, "SELECT * FROM assignments")) == ({"b": 102}, [])


def test_cs92_an_account_whose_feed_is_late_keeps_its_place() -> None:
    lake = base({"a": 70, "b": 65})
    lake.make_use(lake.make_file(last=ON - timedelta(days=1)), "t-a", ON - timedelta(days=2), ["u1"])
    con = open_lake(lake)
    decide(con, mappings_of())
    move(con, a=10, b=10)
    decide(con, mappings_of(), AS_OF + timedelta(days=6))  # six days behind, three are allowed; b is not in that feed
    assert by(con, "decisions")["a"]["state"] == "frozen"
    assert places(con) == {"a": 101}


def test_cs92_without_a_csm_the_owner_has_it_and_a_partners_accounts_go_to_the_partners_owner() -> None:
    lake = base({"direct": 70, "through": 65})
    lake.make_account("owned", owner_id="S1")
    lake.make_contract("owned", mrr=61)
    lake.make_account("P", kind="partner", owner_id="PO")
    lake.rows["crm_account"][1]["partner_id"] = "P"
    con = open_lake(lake)
    decide(con, mappings_of())
    assert {r["account_id"]: r["list_of"] for r in rows(con, "SELECT * FROM assigned")} == {"direct": "U1", "through": "PO", "owned": "S1"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A run folder of accounts a (CSM named Sato), b (nobody's) and c (too few points)."""
    lake = base({"a": 70, "b": 65, "c": 10})
    lake.rows["crm_account"][1] |= {"csm_id": None, "owner_id": None}
    lake.add("crm_user", connection="salesforce", id="U1", name="佐藤", modified_at=MODIFIED, read_at=MODIFIED)
    con = open_lake(lake)
    decide(con, mappings_of())
    for table in ("assigned", "decisions", "accounts"):
        leave(con, tmp_path, table)
    con.execute(f"EXPORT DATABASE '{tmp_path / 'lake'}'")
    con.close()
    return tmp_path


def test_cs92_the_command_shows_rank_reasons_and_next_action_and_counts_whom_nobody_works(folder: Path) -> None:
    with duckdb.connect() as con:
        con.execute(f"IMPORT DATABASE '{folder / 'lake'}'")
        found, without = read_lists(con, folder, mappings_of())
        (one,) = found
        assert (one["csm_id"], one["csm_name"], one["rank"], one["priority"], one["account_id"]) == ("U1", "佐藤", 1, 101, "a")
        assert (one["points"], one["reasons"], one["notice_on"]) == (70, ["月額70"], date(2027, 2, 28))
        assert without == 1
        assert read_lists(con, folder, mappings_of(), "U9") == ([], 1)


# --- the shipped formula -------------------------------------------------------------------------------------------------------------------------
def test_cs92_the_shipped_points_by_hand() -> None:
    """Notice in 28 days 30 x 1.0, no score 0, an urgent case 15 x 1.0, 600,000 a month 10 x 1.0: 55 of 100, band 2.

    The urgent case raises an alert of its own.
    """
    lake = Lake()
    lake.make_account(csm_id="U1")
    lake.make_contract(mrr=600_000, notice_on=ON + timedelta(days=28))
    lake.make_ticket(priority="p1")
    con = open_lake(lake)
    decide(con, load())
    (got,) = rows(con, "SELECT priority, points, reasons FROM assigned")
    assert (got["priority"], got["points"]) == (201, 55)
    assert [r["en"] for r in got["reasons"]] == ["Notice deadline 29 Dec 2026", "Urgent cases open: 1; alerts: 1", "600,000 a month"]


def test_cs92_the_field_is_on_the_record() -> None:
    (field,) = [f for f in load().writeback.of("account") if f.key == "priority"]
    assert (field.names["salesforce"], field.set, field.owner, field.update) == ("CSH_Priority__c", "standard", "worker", "always")


def test_cs92_without_the_file_nobody_has_a_list() -> None:
    con = open_lake(base({"a": 70}))
    decide(con, make_mappings())
    assert places(con) == {}
