"""The compiled SQL against the independent reference scorer: 2,000 generated accounts, six days by default, sixty with the `slow` marker.

Each day runs the product's join, score and tier statements over one lake, and the reference over the same rows as dictionaries.
"""

from collections import Counter
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from typing import Any

import duckdb
import pytest

from mappings.load import DEFAULTS, load
from mappings.models import Linear, Mappings, Tiers
from tests.factories import MODIFIED, Lake
from tests.validation.generated_accounts import FIRST, OUTCOMES_FROM, SETUP_LATE, USAGE_LATE, Case, Row, make_case
from tests.validation.reference_facts import World
from tests.validation.reference_scorer import AXES, Config, Reference, as_number
from tests.validation.split_check import Splits
from tests.worker.core import RELATIONS, moment, rows
from worker.steps.decide import _decide_tiers
from worker.steps.join import join_accounts
from worker.steps.score import score_accounts

ACCOUNTS = 2_000
USAGE_FIRST = FIRST - timedelta(days=95)
HUMAN = ("override_score", "override_until", "onboarding_outcome")
EXACT = ("state", "profile", "score", "tier", "coverage", "capped_by", "delta_28d", "override_score")
CRM = ("contract", "activity", "contact", "ticket", "survey")


class Both:
    """One lake and one world with the same rows."""

    def __init__(self, case: Case) -> None:
        self.case, self.lake, self.world = case, Lake(), World()
        self.end = FIRST + timedelta(days=case.days)
        for account in case.rows["account"]:
            self._account(account, 0)
        for entity in CRM:
            for row in case.rows[entity]:
                self._child(entity, row)
        self._usage()
        self.con = self.lake.into(duckdb.connect(config={"threads": 1}))
        self.lake.rows = {}

    def _account(self, row: Row, version: int) -> None:
        own = {f"own_{key}": _text(row.get(key)) for key in HUMAN}
        plain = {key: value for key, value in row.items() if key not in HUMAN}
        self.lake.add("crm_account", connection="salesforce", modified_at=MODIFIED + timedelta(minutes=version), read_at=MODIFIED, **plain, **own)
        self.world.accounts[row["id"]] = row

    def _child(self, entity: str, row: Row) -> None:
        self.lake.add(f"crm_{entity}", **({"connection": "salesforce", "modified_at": MODIFIED, "read_at": MODIFIED, "deleted": False} | row))
        self.world.rows[entity].append(row)

    def _usage(self) -> None:
        self.world.usage_first, self.world.usage_last, self.world.setup_last = USAGE_FIRST, self.end, self.end
        events = self.lake.make_file("product_events", USAGE_FIRST, self.end, file_id="events")
        for row in self.case.rows["usage"]:
            self.world.usage[row["tenant"]].append(row)
            self.lake.make_use(events, row["tenant"], row["day"], row["users"], product=row["product"], feature=row["feature"], events=row["events"])
        setup = self.lake.make_file("setup_status", USAGE_FIRST, self.end, file_id="setup")
        for row in self.case.rows["setup"]:
            self.world.setup[row["tenant"]].append(row | {"occurred_at": row["day"]})
            self.lake.make_snapshot(setup, row["tenant"], row["metric"], row["value"], row["day"], row["product"])

    def turn(self, day: int) -> None:
        """What arrives between yesterday's run and that of this day."""
        for row in self.case.versions.get(day, []):
            self._account(row, day + 1)
        if day == OUTCOMES_FROM:
            for row in self.case.rows["outcome"]:
                self._child("outcome", row)
        for table, found in self.lake.rows.items():
            Lake._create(_only(table, found), self.con, "arrived", _kinds(self.con, table))
            self.con.execute(f"INSERT INTO {table} BY NAME SELECT * FROM arrived")
        self.lake.rows = {}
        on = FIRST + timedelta(days=day)
        self.world.usage_last = on - timedelta(days=4) if day in USAGE_LATE else self.end
        self.world.setup_last = on - timedelta(days=8) if day in SETUP_LATE else self.end
        for file_id, last in (("events", self.world.usage_last), ("setup", self.world.setup_last)):
            self.con.execute("UPDATE usage_file SET last_day = ? WHERE file_id = ?", [last, file_id])


def _only(table: str, found: list[Row]) -> Lake:
    lake = Lake()
    lake.rows = {"arrived": found}
    return lake


def _kinds(con: duckdb.DuckDBPyConnection, table: str) -> dict[str, str]:
    return {str(name): str(kind) for name, kind, *_ in con.execute(f"DESCRIBE {table}").fetchall()}


def _text(value: Any) -> str | None:
    return value.isoformat() if isinstance(value, date) else None if value is None else str(value)


def product_day(both: Both, mappings: Mappings, as_of: datetime, day: int) -> dict[str, Row]:
    """Account -> what join, score and decide say."""
    con, now = both.con, moment(as_of)
    join_accounts(con, RELATIONS, mappings, now)
    score_accounts(con, mappings, full=True)
    _decide_tiers(con, mappings, now, f"day-{day}", "score_history")
    con.execute("INSERT INTO score_history BY NAME SELECT * FROM history")
    return {r["account_id"]: r for r in rows(con, "SELECT r.*, a.override_score FROM d_result AS r JOIN accounts AS a USING (account_id)")}


def differences(product: dict[str, Row], reference: dict[str, Row]) -> list[str]:
    found = [f"{account}: in scope for one of the two only" for account in sorted(product.keys() ^ reference.keys())]
    for account in sorted(product.keys() & reference.keys()):
        ours, theirs = product[account], reference[account]
        for key in EXACT:
            told = theirs.get(key)
            if ours[key] != (as_number(told) if key == "coverage" else told):
                found.append(f"{account} {key}: product {ours[key]}, reference {told}")
        for key, tolerance in (("score_uncapped", 1e-9), *((axis, 6e-7) for axis in AXES)):
            told = as_number(theirs.get(key))
            if (ours[key] is None) != (told is None) or (told is not None and abs(ours[key] - told) > tolerance):
                found.append(f"{account} {key}: product {ours[key]}, reference {told}")
    return found


def covered(con: duckdb.DuckDBPyConnection, told: dict[str, Row], before: dict[str, Row]) -> Counter[str]:
    """How often each awkward case came up on a day."""
    counts = Counter(str(r["state"]) for r in told.values())
    counts.update(f"profile {r['profile']}" for r in told.values())
    counts.update(f"cap {r['capped_by']}" for r in told.values() if r.get("capped_by"))
    counts.update(f"tier {r['tier']}" for r in told.values() if r.get("tier"))
    counts.update(overridden=sum(r["override_score"] is not None for r in told.values()), left=len(before.keys() - told.keys()))
    counts.update(moved=sum(before[a].get("tier") != r.get("tier") for a, r in told.items() if a in before))
    missing = con.execute("SELECT missing_why, count(*) FROM parts WHERE missing_why <> '' GROUP BY missing_why").fetchall()
    counts.update({f"missing {why}": n for why, n in missing})
    row = con.execute(
        "SELECT count(*) FILTER (products_owned > 1), count(*) FILTER (parent_id IS NOT NULL), count(*) FILTER (NOT usage_matched) "
        "FROM accounts WHERE scope = 'in'"
    ).fetchone()
    counts.update(dict(zip(("several products", "has a parent", "no usage"), row or (), strict=True)))
    return counts


CASES = (
    "scored", "not_scored", "frozen", "overridden", "left", "moved", "several products", "has a parent", "no usage",
    *(f"missing {why}" for why in ("no_data", "stale", "feed_late", "not_connected")), *(f"tier {n}" for n in range(1, 6)),
    *(f"profile {name}" for name in ("onboarding", "adoption", "renewal")),
    *(f"cap {name}" for name in ("churn_notice", "champion_left", "p1_open", "use_stopped")),
)  # fmt: skip


def compare(case: Case, mappings: Mappings, *, until_found: bool = False, splits: Splits | None = None) -> tuple[list[str], Counter[str]]:
    """Differences over the days of a case, and what it covered. The reference reads the shipped YAML, whatever the mappings are."""
    both, reference = Both(case), Reference(Config.read(DEFAULTS))
    found: list[str] = []
    counts: Counter[str] = Counter()
    told: dict[str, Row] = {}
    with both.con:
        for day in range(case.days):
            both.turn(day)
            on = FIRST + timedelta(days=day)
            as_of = datetime(on.year, on.month, on.day, 3, tzinfo=UTC)
            before, told = told, reference.day(both.world, as_of)
            found += [f"{on} {line}" for line in differences(product_day(both, mappings, as_of, day), told)]
            counts += covered(both.con, told, before)
            if splits is not None:
                splits.day(both.con, mappings, on, told)
            if found and until_found:
                break
    return found, counts


@pytest.mark.parametrize("days", [6, pytest.param(60, marks=[pytest.mark.slow, pytest.mark.timeout(900)])])
def test_the_compiled_sql_is_the_written_scorecard(days: int) -> None:
    splits = Splits()
    found, counts = compare(make_case(ACCOUNTS, days), load(), splits=splits)
    print(f"\n{ACCOUNTS} accounts, {days} days: {sum(counts[s] for s in CASES[:3])} account-days in scope, {len(found)} differences")
    print(", ".join(f"{name} {counts[name]}" for name in CASES))
    assert not found, f"{len(found)} differences:\n" + "\n".join(found[:40])
    assert [name for name in CASES if not counts[name]] == [], "the generator no longer covers these"
    print(f"delta splits: {dict(splits.counts)}")
    assert not splits.faults, f"{len(splits.faults)} splits do not add up:\n" + "\n".join(splits.faults[:40])
    assert [part for part in ("profile", "gone", "arrived", "adoption", "held") if not splits.counts[part]] == []


def _indicator(mappings: Mappings, name: str, **changed: Any) -> Mappings:
    indicators = mappings.indicators | {name: mappings.indicators[name].model_copy(update=changed)}
    return mappings.model_copy(update={"indicators": indicators})


def _score(mappings: Mappings, **changed: Any) -> Mappings:
    return mappings.model_copy(update={"score": mappings.score.model_copy(update=changed)})


#: Each is one small step away from what the reference reads.
ALTERED: dict[str, Callable[[Mappings], Mappings]] = {
    "an anchor": lambda m: _indicator(m, "seat_utilization", mapping=Linear(kind="linear", bad=20, good=80.001)),
    "a time to live": lambda m: _indicator(m, "setup_progress", ttl_days=29),
    "a comparison": lambda m: _indicator(m, "close_volume", expression=m.indicators["close_volume"].expression.replace(">= 60", "> 60")),
    "the gate": lambda m: _score(m, axes_min=3),
    "a cap": lambda m: _score(m, caps=[c.model_copy(update={"cap": c.cap - 1}) for c in m.score.caps]),
    "the margin": lambda m: _score(m, tiers=Tiers(margin=2)),
    "the closings": lambda m: _score(m, tiers=Tiers(closings=1)),
}


@pytest.mark.parametrize("what", ALTERED)
def test_a_small_change_is_noticed(what: str) -> None:
    """The comparison can fail: the product gets other mappings than the reference."""
    found, _ = compare(make_case(350, 5), ALTERED[what](load()), until_found=True)
    assert found
