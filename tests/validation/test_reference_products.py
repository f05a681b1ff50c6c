"""Products, their mean and groups by the compiled SQL, against the independent reference: churn, merges, late feeds and parents included."""

from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from mappings.load import DEFAULTS, load
from mappings.models import Mappings
from tests.validation.generated_accounts import FIRST, make_case
from tests.validation.reference_products import Products, families, means
from tests.validation.reference_scorer import AXES, Config, Reference, as_number
from tests.validation.test_reference import Both, product_day
from tests.worker.core import RELATIONS, Row, moment, rows
from worker.steps._rollup import decide_products
from worker.steps.score import score_all

EXACT = ("state", "profile", "score", "tier", "capped_by", "coverage")


def scored_day(both: Both, mappings: Mappings, as_of: datetime, day: int) -> dict[tuple[str, str], Row]:
    """What join, score and decide say of every product, of means and of groups."""
    con = both.con
    product_day(both, mappings, as_of, day)
    score_all(con, mappings, full=True)
    decide_products(con, RELATIONS, mappings, moment(as_of), f"day-{day}", full=True)
    con.execute("INSERT INTO product_score_history BY NAME SELECT * FROM product_history")
    con.execute("INSERT INTO family_history BY NAME SELECT * FROM families")
    return {(r["account_id"], r["product"]): r for r in rows(con, "SELECT * FROM d_product")}


def differences(ours: dict[tuple[str, str], Row], theirs: dict[tuple[str, str], Row]) -> list[str]:
    found = [f"{key}: known to one of the two only" for key in sorted(ours.keys() ^ theirs.keys())]
    for key in sorted(ours.keys() & theirs.keys()):
        for name in EXACT:
            told = theirs[key].get(name)
            if ours[key][name] != (as_number(told) if name == "coverage" else told):
                found.append(f"{key} {name}: product {ours[key][name]}, reference {told}")
        for name, tolerance in (("score_uncapped", 1e-9), *((axis, 6e-7) for axis in AXES)):
            told = as_number(theirs[key].get(name))
            if (ours[key][name] is None) != (told is None) or (told is not None and abs(ours[key][name] - told) > tolerance):
                found.append(f"{key} {name}: product {ours[key][name]}, reference {told}")
    return found


def rolled_up(both: Both, mean_of: dict[str, int | None], groups: dict[str, Any]) -> list[str]:
    beside = rows(both.con, "SELECT account_id, product_score FROM d_beside")
    found = [
        f"{r['account_id']} product_score: product {r['product_score']}, reference {mean_of[r['account_id']]}"
        for r in beside
        if r["product_score"] != mean_of[r["account_id"]]
    ]
    ours = {r["account_id"]: r for r in rows(both.con, "SELECT * FROM d_family WHERE score IS NOT NULL")}
    found += [f"{a}: a group for one of the two only" for a in sorted(ours.keys() ^ groups.keys())]
    for account in sorted(ours.keys() & groups.keys()):
        value, lowest = groups[account]
        mine = ours[account]
        if abs(mine["score_uncapped"] - float(value)) > 1e-9 or mine["score"] != round(value) or mine["worst_id"] != lowest:
            found.append(f"{account} group: product {mine}, reference {float(value)} lowest {lowest}")
    return found


@pytest.mark.parametrize(("accounts", "days"), [(300, 6), pytest.param(2_000, 60, marks=[pytest.mark.slow, pytest.mark.timeout(1800)])])
def test_cs17_products_means_and_groups_are_as_written(accounts: int, days: int) -> None:
    both, reference = Both(make_case(accounts, days)), Reference(Config.read(DEFAULTS))
    products, mappings = Products(reference), load()
    caps = {cap["name"]: cap["cap"] for cap in reference.config.score["caps"]}
    found: list[str] = []
    counts: Counter[str] = Counter()
    with both.con:
        for day in range(days):
            both.turn(day)
            on = FIRST + timedelta(days=day)
            as_of = datetime(on.year, on.month, on.day, 3, tzinfo=UTC)
            told = reference.day(both.world, as_of)
            theirs = products.day(both.world, as_of, told)
            groups = families(both.world, told, caps, on)
            here = differences(scored_day(both, mappings, as_of, day), theirs) + rolled_up(both, means(theirs, told, caps), groups)
            found += [f"{on} {line}" for line in here]
            counts.update(str(r["state"]) for r in theirs.values())
            counts.update(several=len(theirs) - len(told), groups=len(groups), overridden=sum(r["override_score"] is not None for r in told.values()))
            counts.update(f"cap {r['capped_by']}" for r in theirs.values() if r.get("capped_by"))
    print(f"\n{accounts} accounts, {days} days: {sum(counts[s] for s in ('scored', 'not_scored', 'frozen'))} product-days, {len(found)} differences")
    assert not found, f"{len(found)} differences:\n" + "\n".join(found[:40])
    needed = ("scored", "not_scored", "frozen", "several", "groups", "overridden", "cap use_stopped", "cap churn_notice")
    assert [name for name in needed if not counts[name]] == [], "the generator no longer covers these"
