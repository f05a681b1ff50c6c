"""CS-55, CS-56, and the facts of CS-3 and CS-5 that stand on the record by themselves. The account is that of test_cs_score, worked there."""

from datetime import timedelta
from typing import Any

import pytest

from mappings.load import load
from mappings.models import Mappings
from tests.factories import ON, Lake, make_mappings
from tests.worker.core import RELATIONS, by, decide, moment, open_lake
from worker.steps._assign import assign


@pytest.fixture(scope="module")
def mappings() -> Mappings:
    return load()


def lists_of(mappings: Mappings, **columns: Any) -> tuple[bool, bool]:
    """(advocate, innovator) of an account that is both, with these columns changed."""
    base = {
        "health_tier": 4,
        "engagement": 70,
        "outcome": 70,
        "seats": 50,
        "seat_use": 70,
        "advanced_events_28d": 50,
        "active_days_28d": 15,
    } | columns
    lake = Lake()
    lake.make_account()
    lake.make_contract()
    con = open_lake(lake)
    decide(con, make_mappings())
    replaced = ", ".join(f"CAST({'NULL' if value is None else repr(value)} AS {_kind(name)}) AS {name}" for name, value in base.items())
    con.execute(f"CREATE TEMP TABLE given_row AS SELECT * REPLACE ({replaced}) FROM d_row")
    con.execute("CREATE OR REPLACE TEMP VIEW d_row AS SELECT * FROM given_row")
    assign(con, RELATIONS, mappings, moment(), run_id="run", whole=True)
    got = by(con, "assigned")["A1"]
    con.close()
    return got["advocacy"], got["innovator"]


def _kind(name: str) -> str:
    return "DATE" if name.endswith("_on") else "DOUBLE" if name in ("engagement", "outcome", "seat_use") else "BIGINT"


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        ({}, True),
        ({"health_tier": 3}, False),
        ({"engagement": 69.9}, False),
        ({"outcome": None}, False),  # nothing to show
        ({"p1_open": 1}, False),
        ({"churn_notice_on": "2026-11-01"}, False),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else None,
)
def test_cs55_an_advocate_is_well_in_touch_and_has_a_result_to_show(mappings: Mappings, columns: dict[str, Any], expected: bool) -> None:
    assert lists_of(mappings, **columns)[0] is expected


def test_cs55_permission_is_a_field_of_people(mappings: Mappings) -> None:
    (field,) = [f for f in mappings.writeback.of("account") if f.key == "advocacy_permission"]
    assert (field.owner, [v.value for v in field.values]) == ("human", ["asked", "agreed", "declined"])


@pytest.mark.parametrize(
    ("columns", "expected"), [({}, True), ({"advanced_events_28d": 49}, False), ({"seat_use": 69.9}, False), ({"active_days_28d": None}, False)]
)
def test_cs56_an_innovator_uses_much_of_what_few_use(mappings: Mappings, columns: dict[str, Any], expected: bool) -> None:
    assert lists_of(mappings, **columns)[1] is expected


def test_cs56_use_on_trial_makes_nobody_a_heavy_user(mappings: Mappings) -> None:
    """50 advanced events, of which 1 on trial, are 49 of 50 seats: no heavy user. 20 events on trial are a customer who tries in earnest."""
    assert lists_of(mappings, trial_advanced_events_28d=0)[1] is True
    assert lists_of(mappings, trial_advanced_events_28d=1)[1] is False


def test_cs56_trials_are_told_apart_from_what_is_paid_for(mappings: Mappings) -> None:
    """A1 pays for expense and tries e-sign (30 events, 12 of them advanced); A2 owns what it tried, A3's trial is over, A4 never opened it."""
    lake = Lake()
    file = lake.make_file()
    trial = {"product": "esign", "is_trial": True, "starts_on": ON - timedelta(days=20), "ends_on": ON + timedelta(days=10), "mrr": 0}
    for account in ("A1", "A2", "A3", "A4"):
        lake.make_account(account)
        lake.make_contract(account)
        lake.make_contract(account, **(trial | ({"ends_on": ON - timedelta(days=1)} if account == "A3" else {})))
        day = ON - timedelta(days=3)
        lake.make_use(file, f"t-{account}", day, ["u1"], events=40)
        if account != "A4":
            lake.make_use(file, f"t-{account}", day, ["u2"], product="esign", events=18)
            lake.make_use(file, f"t-{account}", day, ["u2"], product="esign", feature="seal", events=12)
    lake.make_contract("A2", product="esign", starts_on=ON - timedelta(days=5))
    catalogue = make_mappings().products
    products = [p.model_copy(update={"advanced_features": ["seal"]}) if p.code == "esign" else p for p in catalogue.products]
    con = open_lake(lake)
    decide(con, make_mappings(products=catalogue.model_copy(update={"products": products}), lists=mappings.lists))
    found = by(con, "accounts")
    names = ("trials", "trial_events_28d", "trial_advanced_events_28d", "events_28d", "seats")
    assert {account: tuple(found[account][name] for name in names) for account in found} == {
        "A1": (1, 30, 12, 70, 50), "A2": (0, 0, 0, 70, 100), "A3": (0, 0, 0, 70, 50), "A4": (1, 0, 0, 40, 50),
    }  # fmt: skip
    assert {account: row["trial_user"] for account, row in by(con, "decisions").items()} == {"A1": True, "A2": False, "A3": False, "A4": False}
    con.close()


def test_cs3_the_last_contact_with_a_decision_maker_is_on_the_record(mappings: Mappings) -> None:
    lake = Lake()
    lake.make_account()
    lake.make_contract()
    person = lake.make_contact(role="decision_maker")
    lake.make_activity(on=ON - timedelta(days=40), contact_id=person)
    lake.make_activity(on=ON - timedelta(days=5))  # with nobody in particular
    con = open_lake(lake)
    decide(con, mappings)
    assert by(con, "decisions")["A1"]["last_decision_maker_on"] == ON - timedelta(days=40)
    con.close()


def test_cs5_the_improvement_in_percent_is_on_the_record(mappings: Mappings) -> None:
    lake = Lake()
    lake.make_account()
    lake.make_contract()
    lake.make_outcome(baseline=40.0, current_value=30.0, fewer_is_better=True)  # +25 %
    lake.make_outcome(baseline=10.0, current_value=11.0)  # +10 %
    con = open_lake(lake)
    decide(con, mappings)
    assert by(con, "decisions")["A1"]["outcome_change"] == 17.5
    con.close()
