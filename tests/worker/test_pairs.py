"""The same company in two connections: found by a declared key, listed where it could be two, never guessed."""

from datetime import date
from typing import Any

import duckdb
import pytest

from connectors.entities import Entity
from mappings.load import load
from mappings.models import CrmMapping, Mappings, Source
from tests.factories import Lake, make_mappings
from tests.worker import core
from worker.steps._left import build_left, left_behind, left_words
from worker.steps._pairs import matched, pair_relations
from worker.steps._relations import LakeRelations

HOME, OTHER = "sales", "marketing"
ID = "001A00000ABCDeAAAX"[:15] + "MAY"  # eighteen characters; the first fifteen name it too


def both(**other: Any) -> Mappings:
    """Accounts and contracts from one connection, activities from the other."""
    columns = {"account": {"name": "n", "cross_id": "c", "domain": "d"}, "contract": {"account_id": "a"}, "activity": {"account_id": "a"}}

    def sources(*entities: str) -> dict[str, list[Source]]:
        return {name: [Source(object="o", columns=columns[name])] for name in entities}

    home = CrmMapping(
        connection=HOME, vendor="salesforce", authoritative=["account", "contract"], entities=sources("account", "contract", "activity")
    )
    second = {"connection": OTHER, "vendor": "hubspot", "authoritative": ["activity"], "entities": sources("account", "activity")} | other
    return make_mappings(crm={HOME: home, OTHER: CrmMapping(**second)})


def paired(lake: Lake, mappings: Mappings) -> tuple[duckdb.DuckDBPyConnection, LakeRelations]:
    con = core.open_lake(lake)
    return con, pair_relations(con, core.RELATIONS, mappings)


def pairs(con: duckdb.DuckDBPyConnection) -> list[tuple[str, str, str]]:
    return con.execute("SELECT account_id, record_id, matched_by FROM p_pair ORDER BY ALL").fetchall()


def left(con: duckdb.DuckDBPyConnection) -> dict[str, tuple[str, str | None, list[str] | None]]:
    rows = con.execute("SELECT record_id, why, key_, candidates FROM p_unmatched").fetchall()
    return {record: (why, key, candidates) for record, why, key, candidates in rows}


def make(lake: Lake, connection: str, id: str, **row: Any) -> None:
    lake.make_account(id, connection=connection, **row)


def test_cs77_a_cross_reference_in_either_crm_names_the_company() -> None:
    lake = Lake()
    make(lake, HOME, "A1")
    make(lake, OTHER, "1", cross_id="A1", domain="other.example")
    make(lake, HOME, "A2", cross_id="2", domain="a2.example")
    make(lake, OTHER, "2")
    make(lake, HOME, ID)
    make(lake, OTHER, "3", cross_id=ID[:15])  # the short form of an id names the same record
    con, _ = paired(lake, both())
    assert pairs(con) == [(ID, "3", "cross_id"), ("A1", "1", "cross_id"), ("A2", "2", "cross_id")]
    assert left(con) == {}


def test_cs77_else_the_domain_however_it_is_spelled() -> None:
    lake = Lake()
    make(lake, HOME, "A1", domain="https://www.Aoba.co.jp/company?id=1")
    make(lake, OTHER, "1", domain=" aoba.co.jp. ")
    make(lake, HOME, "A2", domain="info@wakaba.example")
    make(lake, OTHER, "2", domain="http://wakaba.example:8080/")
    con, relations = paired(lake, both())
    assert pairs(con) == [("A1", "1", "domain"), ("A2", "2", "domain")]
    assert [(m.by_cross_id, m.by_domain, m.ambiguous) for m in matched(con, relations)] == [(0, 2, 0)]


def test_cs77_what_could_be_two_is_listed_and_not_guessed() -> None:
    """An account named by two records, a domain of two accounts, and one of two records: none is matched, each is told with whom it could be."""
    lake = Lake()
    make(lake, HOME, "A1", domain="a.example")
    make(lake, OTHER, "1", cross_id="A1")
    make(lake, OTHER, "2", cross_id="A1", domain="a.example")
    make(lake, HOME, "B1", domain="b.example")
    make(lake, HOME, "B2", domain="b.example")
    make(lake, OTHER, "3", domain="b.example")
    make(lake, HOME, "C1", domain="c.example")
    make(lake, OTHER, "4", domain="c.example")
    make(lake, OTHER, "5", domain="c.example")
    con, relations = paired(lake, both())
    assert pairs(con) == []
    told = left(con)
    assert told["A1"] == ("ambiguous_cross_id", None, ["1", "2"])
    assert told["1"] == told["2"] == ("ambiguous_cross_id", "A1", ["A1"])
    assert told["B1"] == told["B2"] == ("shared_domain", "b.example", ["3"])
    assert told["3"] == ("shared_domain", "b.example", ["B1", "B2"])
    assert told["4"] == told["5"] == ("shared_domain", "c.example", ["C1"])
    assert [(m.records_unmatched, m.accounts_unmatched, m.ambiguous) for m in matched(con, relations)] == [(5, 4, 9)]


@pytest.mark.parametrize(
    ("home", "other", "why"),
    [
        ({"domain": "gmail.com"}, {"domain": "gmail.com"}, "free_mail"),
        ({"domain": "freebie.example"}, {"domain": "freebie.example"}, "free_mail"),  # the mapping's own addition
        ({}, {}, "no_key"),
        ({"domain": "x.example"}, {"domain": "y.example"}, "no_counterpart"),
        ({"domain": "x.example"}, {"domain": "x.example", "cross_id": "gone"}, "unknown_cross_id"),
    ],
)
def test_cs77_unmatched_on_either_side_says_why(home: dict[str, str], other: dict[str, str], why: str) -> None:
    lake = Lake()
    make(lake, HOME, "A1", **home)
    make(lake, OTHER, "1", **other)
    con, _ = paired(lake, both(free_mail=["freebie.example"]))
    assert pairs(con) == []
    assert left(con)["1"][0] == why


def test_a_key_that_is_not_declared_is_not_used() -> None:
    lake = Lake()
    make(lake, HOME, "A1", domain="x.example")
    make(lake, OTHER, "1", domain="x.example")
    con, _ = paired(lake, both(match=["cross_id"]))
    assert pairs(con) == []


def test_merged_records_lead_to_the_survivors_and_deleted_ones_to_nobody() -> None:
    lake = Lake()
    make(lake, HOME, "A1")
    make(lake, HOME, "A0", deleted=True, master_id="A1")
    make(lake, OTHER, "1", cross_id="A0")  # still names the account that was merged away
    make(lake, OTHER, "9", deleted=True, master_id="1", cross_id="A7")
    make(lake, HOME, "A2", deleted=True)
    make(lake, OTHER, "2", cross_id="A2")
    con, _ = paired(lake, both())
    assert pairs(con) == [("A1", "1", "cross_id")]
    keys = con.execute("SELECT record_id, account_id FROM p_key ORDER BY ALL").fetchall()
    assert keys == [("1", "A1"), ("9", "A1")]
    assert left(con)["2"][0] == "unknown_cross_id"


def test_cs77_engagement_of_the_other_crm_counts_for_the_account() -> None:
    """Two meetings of company 1, which is account A1, and one of a company merged into it; a meeting of nobody's company counts for nobody, and one
    that the home connection holds does not count: it is not authoritative for activities."""
    lake = Lake()
    make(lake, HOME, "A1", domain="a.example")
    lake.make_contract("A1", connection=HOME)
    make(lake, OTHER, "1", domain="a.example")
    make(lake, OTHER, "9", deleted=True, master_id="1")
    make(lake, OTHER, "5", domain="nobody.example")
    for record in ("1", "1", "9", "5"):
        lake.make_activity(record, connection=OTHER)
    lake.make_activity("A1", connection=HOME, on=date(2026, 11, 29))
    for mappings, meetings in ((both(), 3), (adding(), 4)):
        con, relations = paired(lake, mappings)
        core.join_accounts(con, relations, mappings, core.moment())
        assert core.rows(con, "SELECT account_id, meetings_90d FROM accounts") == [{"account_id": "A1", "meetings_90d": meetings}]


def adding() -> Mappings:
    """The home connection's activities count beside those of the other."""
    given = both()
    home = given.crm[HOME].model_copy(update={"adds": ["activity"]})
    return given.model_copy(update={"crm": {HOME: home, OTHER: given.crm[OTHER]}})


def test_one_connection_needs_no_pairs() -> None:
    lake = Lake()
    lake.make_account("A1")
    con = core.open_lake(lake)
    assert pair_relations(con, core.RELATIONS, make_mappings()) is core.RELATIONS
    assert core.RELATIONS.crm[Entity.ACCOUNT] == "crm_account"


def test_cs77_records_that_an_account_left_behind_are_named_with_their_reason() -> None:
    """A1 was deleted (named by the record), A2 was deleted (named the record), A3 was merged into A4, which has a record of its own: 4 is
    served on, and 3 is not guessed to be the same. 5 and 6 carry nothing of ours, a tick that is not set included."""
    lake = Lake()
    lake.own = ["health_score", "csql_flag"]
    make(lake, HOME, "A1", deleted=True)
    make(lake, HOME, "A2", deleted=True, cross_id="2")
    make(lake, HOME, "A3", master_id="A4")
    make(lake, HOME, "A4")
    make(lake, OTHER, "1", cross_id="A1", own_health_score="58")
    make(lake, OTHER, "2", domain="two.example", own_health_score="41")
    make(lake, OTHER, "3", cross_id="A3", own_health_score="30")
    make(lake, OTHER, "4", cross_id="A4", own_health_score="70")
    make(lake, OTHER, "5", domain="prospect.example")
    make(lake, OTHER, "6", domain="other.example", own_csql_flag="false")
    shipped = load(None).writeback
    mappings = both().model_copy(update={"writeback": shipped})
    con, relations = paired(lake, mappings)
    build_left(con, relations, mappings)
    found = left_behind(con, OTHER)
    assert found == [("1", "account_deleted"), ("2", "account_deleted"), ("3", "account_merged")]
    assert pairs(con) == [("A4", "4", "cross_id")]
    assert left_words(found[:1]).startswith(
        "1 records still carry values of ours and belong to no account now: 1 (its account was deleted). They are"
    )


def test_after_a_merge_who_names_the_survivor_itself_is_its_counterpart() -> None:
    """Record 2 was merged into 1: A1, which names 1, is served on, and A2, which names the one that is gone, is not guessed to be the same. Where two
    name merged ones only, as B1 and B2 do, nobody is preferred."""
    lake = Lake()
    make(lake, HOME, "A1", cross_id="1")
    make(lake, HOME, "A2", cross_id="2")
    make(lake, OTHER, "1")
    make(lake, OTHER, "2", deleted=True, master_id="1")
    make(lake, HOME, "B1", cross_id="4")
    make(lake, HOME, "B2", cross_id="5")
    make(lake, OTHER, "3")
    make(lake, OTHER, "4", deleted=True, master_id="3")
    make(lake, OTHER, "5", deleted=True, master_id="3")
    con, _ = paired(lake, both())
    assert pairs(con) == [("A1", "1", "cross_id")]
    told = left(con)
    assert (told["A2"][0], told["B1"][0], told["B2"][0]) == ("unknown_cross_id", "ambiguous_cross_id", "ambiguous_cross_id")
