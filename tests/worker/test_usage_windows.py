"""Usage: which rows count, windows up to the feed's last complete day, distinct users, and the match of tenants to accounts."""

from datetime import date, timedelta
from pathlib import Path

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, given, settings

from mappings.models import Mappings, UsageSource
from tests.factories import ON, Lake, make_indicator, make_mappings, make_profile
from tests.worker.core import Row, by, join, pick, rows
from worker.steps.join import feed_notes

YESTERDAY = ON - timedelta(days=1)


def before(n: int) -> date:
    """n days before the feed's last complete day."""
    return YESTERDAY - timedelta(days=n)


def source(name: str = "events", **row: object) -> UsageSource:
    columns = {"tenant_key": "t", "day": "d"}
    return UsageSource.model_validate({"name": name, "kind": "events", "glob": "*", "format": "csv", "columns": columns} | row)


def mappings_of(*sources: UsageSource) -> Mappings:
    return make_mappings(usage={s.name: s for s in sources})


def customer(lake: Lake, account: str = "A1", **row: object) -> str:
    lake.make_account(account)
    lake.make_contract(account, **row)
    return f"t-{account}"


# --- windows -------------------------------------------------------------------------------------------------------------------------------------
def window_lake() -> Lake:
    lake = Lake()
    file = lake.make_file()
    tenant = customer(lake)
    lake.make_use(file, tenant, before(0), ["a", "b"], feature="claim", events=10)
    lake.make_use(file, tenant, before(13), ["c"], feature="card", events=3)
    lake.make_use(file, tenant, before(14), ["a"], feature="approve", events=1)
    lake.make_use(file, tenant, before(27), ["d"], feature="claim", events=5)
    lake.make_use(file, tenant, before(28), ["a", "e"], feature="claim", events=7)
    lake.make_use(file, tenant, before(55), ["f"], feature="claim", events=2)
    lake.make_use(file, tenant, before(56), ["g"], feature="claim", events=100)
    lake.make_use(file, tenant, before(5), ["a"], product="esign", feature="claim", events=4)
    lake.make_use(file, tenant, ON, ["z"], feature="claim", events=1000)  # today is not over
    customer(lake, "idle")
    lake.make_use(file, "t-idle", before(200), ["x"], events=1)
    customer(lake, "never")
    return lake


def counting() -> Mappings:
    """Mappings that ask how many features are used."""
    asked = make_indicator("breadth", "adoption", "usage", "features_14d")
    return make_mappings(indicators={"breadth": asked}, score={"name": "health", "profiles": [make_profile(adoption=(100, {"breadth": 1}))]})


def both(lake: Lake, mappings: Mappings) -> tuple[dict[str, Row], dict[tuple[str, str], Row]]:
    con, _ = join(lake, mappings)
    return by(con, "accounts"), {(r["account_id"], r["product"]): r for r in rows(con, "SELECT * FROM account_products")}


@pytest.fixture(scope="module")
def windows() -> tuple[dict[str, Row], dict[tuple[str, str], Row]]:
    return both(window_lake(), counting())


def test_windows_end_at_the_last_complete_day(windows: tuple[dict[str, Row], dict[tuple[str, str], Row]]) -> None:
    row = windows[0]["A1"]
    assert row["usage_as_of"] == YESTERDAY
    # 28 days: 10 + 3 + 1 + 5 + 4 events by a, b, c, d; the 28 before: 7 + 2 by a, e, f; 14 days: a, b, c
    assert pick(row, ("events_28d", "events_prev_28d", "active_users_28d", "active_users_prev_28d", "active_users_14d", "active_days_28d")) == {
        "events_28d": 23, "events_prev_28d": 9, "active_users_28d": 4, "active_users_prev_28d": 3, "active_users_14d": 3, "active_days_28d": 5,
    }  # fmt: skip
    assert (row["seconds_28d"], row["last_used_on"], row["seat_use"]) == (23 * 60, YESTERDAY, 8.0)


def test_features_are_counted_by_the_catalogue(windows: tuple[dict[str, Row], dict[tuple[str, str], Row]]) -> None:
    # core of expense: claim (10 + 5); the claim of esign is none of its features. advanced: card
    assert pick(windows[0]["A1"], ("features_14d", "core_events_28d", "advanced_events_28d")) == {
        "features_14d": 2, "core_events_28d": 15, "advanced_events_28d": 3,
    }  # fmt: skip


def test_where_nothing_counts_features_they_are_unknown_and_the_rest_is_the_same(windows: tuple[dict[str, Row], dict[tuple[str, str], Row]]) -> None:
    """Rows of use are then summed over features as they are read."""
    found = both(window_lake(), make_mappings())
    assert {account: row["features_14d"] for account, row in found[0].items()} == dict.fromkeys(("A1", "idle", "never"))
    rest = [{k: v for k, v in row.items() if k != "features_14d"} for row in (found[0]["A1"], windows[0]["A1"])]
    assert rest[0] == rest[1]
    assert {key: row for key, row in found[1].items() if key[0] == "A1"} == {key: row for key, row in windows[1].items() if key[0] == "A1"}


def test_months_are_the_last_closed_calendar_months(windows: tuple[dict[str, Row], dict[tuple[str, str], Row]]) -> None:
    """The feed ends on 30 November, so November is closed: 10 + 3 + 1 + 5 + 4 of 3..30 November and 7 of the 2nd; October has 2 and 100."""
    assert pick(windows[0]["A1"], ("month_label", "events_month", "events_prev_month")) == {
        "month_label": date(2026, 11, 1), "events_month": 30, "events_prev_month": 102,
    }  # fmt: skip


def test_business_days_leave_out_weekends_and_holidays(windows: tuple[dict[str, Row], dict[tuple[str, str], Row]]) -> None:
    """3 to 30 November 2026: 20 weekdays less Culture Day (3rd) and Labour Thanksgiving Day (23rd). The 28 days before: 20 less Sports Day."""
    row = windows[0]["A1"]
    assert row["business_days_28d"] == 18
    assert row["events_per_business_day_28d"] == pytest.approx(23 / 18)
    assert row["events_per_business_day_prev_28d"] == pytest.approx(9 / 19)


def test_products_have_their_own_windows(windows: tuple[dict[str, Row], dict[tuple[str, str], Row]]) -> None:
    wanted = (
        "product_active_users_28d",
        "product_active_users_prev_28d",
        "product_events_28d",
        "product_core_events_28d",
        "product_advanced_events_28d",
    )
    assert list(pick(windows[1]["A1", "expense"], wanted).values()) == [4, 3, 19, 15, 3]
    assert list(pick(windows[1]["A1", "esign"], wanted).values()) == [1, 0, 4, None, None]  # declares no features


def test_a_matched_account_without_use_has_zeros_and_an_unmatched_one_has_unknowns(
    windows: tuple[dict[str, Row], dict[tuple[str, str], Row]],
) -> None:
    idle, never = windows[0]["idle"], windows[0]["never"]
    assert (idle["usage_matched"], idle["events_28d"], idle["active_users_28d"], idle["core_events_28d"], idle["last_used_on"]) == (
        True, 0, 0, 0, before(200),
    )  # fmt: skip
    assert (never["usage_matched"], never["events_28d"], never["active_users_28d"], never["seat_use"]) == (False, None, None, None)


def test_a_window_the_feed_does_not_cover_is_unknown() -> None:
    """The feed begins 30 days before its end: 28 days are covered, the 28 before are not."""
    lake = Lake()
    file = lake.make_file(first=before(29))
    lake.make_use(file, customer(lake), before(29), ["a"])
    con, _ = join(lake, make_mappings())
    assert pick(by(con, "accounts")["A1"], ("events_28d", "events_prev_28d", "events_month", "events_prev_month")) == {
        "events_28d": 0, "events_prev_28d": None, "events_month": 1, "events_prev_month": None,
    }  # fmt: skip


@pytest.mark.parametrize(("lag", "late"), [(1, False), (3, False), (4, True)])
def test_a_feed_is_late_beyond_its_lag(lag: int, late: bool) -> None:
    lake = Lake()
    lake.make_use(lake.make_file(last=ON - timedelta(days=lag)), customer(lake), before(30), ["a"])
    con, _ = join(lake, make_mappings())
    feeds = by(con, "feeds", "feed")
    assert (feeds["usage"]["late"], feeds["usage"]["as_of_on"]) == (late, ON - timedelta(days=lag))
    assert not feeds["crm"]["late"]


def test_set_up_steps_of_owned_products_from_the_latest_snapshot() -> None:
    lake = Lake()
    tenant = customer(lake)
    lake.make_use(lake.make_file(), tenant, before(1), ["a"])
    old, new = (lake.make_file("setup", day, day, path="setup.csv") for day in (before(9), before(2)))
    lake.make_snapshot(old, tenant, "setup_steps_done", 2, before(9))
    lake.make_snapshot(old, tenant, "setup_steps_total", 5, before(9))
    lake.make_snapshot(new, tenant, "setup_steps_done", 4, before(2))
    lake.make_snapshot(new, tenant, "setup_steps_done", 7, before(2), product="esign")  # not owned
    con, _ = join(lake, make_mappings())
    assert pick(by(con, "accounts")["A1"], ("setup_steps_done", "setup_steps_total", "setup_as_of")) == {
        "setup_steps_done": 4, "setup_steps_total": 5, "setup_as_of": before(2),
    }  # fmt: skip


# --- what replaces what --------------------------------------------------------------------------------------------------------------------------
def overlapping(replaces: str) -> Row:
    """Two rolling exports: the first covers 10 days up to 5 days ago, the second 10 days up to yesterday. Days 9..5 are in both.

    In the second file day 7 has other users, and tenant other-day has nothing; day 9 of the first file has a user that the second lacks.
    """
    lake = Lake()
    tenant = customer(lake)
    first = lake.make_file(first=before(14), last=before(5), path="a.csv")
    second = lake.make_file(first=before(9), last=before(0), path="b.csv")
    lake.make_file(first=before(90), last=before(90), path="c.csv")
    lake.make_use(first, tenant, before(14), ["only first"], events=1)
    lake.make_use(first, tenant, before(9), ["old"], events=10)
    lake.make_use(first, tenant, before(7), ["old"], events=100)
    lake.make_use(second, tenant, before(7), ["new"], events=1000)
    lake.make_use(second, tenant, before(0), ["new"], events=10000)
    con, _ = join(lake, mappings_of(source(replaces=replaces)))
    return pick(by(con, "accounts")["A1"], ("events_28d", "active_users_28d"))


@pytest.mark.parametrize(
    ("replaces", "events", "users"),
    [
        ("file", 11111, 3),  # every row of every live file
        ("day", 11001, 2),  # days 9..0 belong to the second file: 1 + 1000 + 10000
        ("tenant_day", 11011, 3),  # the second file says nothing of this tenant on day 9: the first still speaks for it
    ],
)
def test_what_a_file_replaces(replaces: str, events: int, users: int) -> None:
    assert overlapping(replaces) == {"events_28d": events, "active_users_28d": users}


def test_rows_of_files_that_are_not_live_do_not_count() -> None:
    lake = Lake()
    tenant = customer(lake)
    lake.make_use(lake.make_file(), tenant, before(1), ["a"])
    lake.make_use("replaced", tenant, before(1), ["a", "b", "c"])
    lake.add("usage_file_days", file_id="replaced", day=before(1), rows=3)
    con, _ = join(lake, make_mappings())
    assert by(con, "accounts")["A1"]["events_28d"] == 1


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.lists(
        st.tuples(st.integers(0, 90), st.sampled_from("abcdef"), st.sampled_from(["expense", "esign"]), st.sampled_from(["t-A1", "t-A2"])),
        max_size=60,
    )
)
def test_distinct_users_equal_a_count_by_sets(use: list[tuple[int, str, str, str]]) -> None:
    lake = Lake()
    file = lake.make_file()
    for account in ("A1", "A2"):
        customer(lake, account)
        lake.make_use(file, f"t-{account}", before(300), ["someone"])
    for day, user, product, tenant in use:
        lake.make_use(file, tenant, before(day), [user], product=product)
    con, _ = join(lake, make_mappings())
    for account, row in by(con, "accounts").items():
        mine = [(d, u) for d, u, _, t in use if t == f"t-{account}"]
        assert row["active_users_28d"] == len({u for d, u in mine if d <= 27})
        assert row["active_users_prev_28d"] == len({u for d, u in mine if 28 <= d <= 55})
        assert row["active_users_14d"] == len({u for d, u in mine if d <= 13})
        assert row["active_days_28d"] == len({d for d, u in mine if d <= 27})


# --- the match -----------------------------------------------------------------------------------------------------------------------------------
def test_tenants_without_an_account_are_counted_and_listed_never_guessed() -> None:
    lake = Lake()
    file = lake.make_file()
    customer(lake, "A1")
    lake.make_account("twin1", match_key="twin")
    lake.make_account("twin2", match_key="twin")
    for tenant in ("t-A1", "twin", "T-A1", "stranger"):
        lake.make_use(file, tenant, before(1), ["a", "b"])
    con, counts = join(lake, make_mappings())
    assert counts["tenants_unmatched"] == 3
    assert [(r["tenant_key"], r["why"], r["events_28d"]) for r in rows(con, "SELECT * FROM usage_unmatched")] == [
        ("T-A1", "unknown key", 2), ("stranger", "unknown key", 2), ("twin", "ambiguous", 2),
    ]  # fmt: skip


def test_usage_keyed_by_contract_line() -> None:
    """Two lines of one account; a user of both counts once. The product is the line's. A row after the line's end is reported."""
    lake = Lake()
    lake.make_account("A1")
    lake.make_contract("A1", match_key="S-1", product="expense")
    lake.make_contract("A1", match_key="S-2", product="esign", ends_on=before(3))
    file = lake.make_file()
    lake.make_use(file, "S-1", before(1), ["a", "b"], product=None)
    lake.make_use(file, "S-2", before(5), ["b"], product=None)
    lake.make_use(file, "S-2", before(2), ["c"], product=None)
    lake.make_use(file, "t-A1", before(2), ["x"], product=None)  # the account's key is not asked for
    con, counts = join(lake, mappings_of(source(matches="contract")))
    assert pick(by(con, "accounts")["A1"], ("events_28d", "active_users_28d", "core_events_28d")) == {
        "events_28d": 4, "active_users_28d": 3, "core_events_28d": 2,
    }  # fmt: skip
    users = {r["product"]: r["product_active_users_28d"] for r in rows(con, "SELECT * FROM account_products")}
    assert users == {"expense": 2, "esign": 2}
    assert (counts["usage_outside_contract"], counts["tenants_unmatched"]) == (1, 1)


# --- what a run says of its sources --------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("last", "said"),
    [
        (None, "no file '*' was ever read from /exports"),
        (ON - timedelta(days=4), f"ends on {ON - timedelta(days=4)}"),
        (ON - timedelta(days=3), ""),
    ],
)
def test_a_source_without_files_or_with_old_ones_is_named(last: date | None, said: str) -> None:
    """Data may be 3 days old."""
    lake = Lake()
    customer(lake)
    if last is not None:
        lake.make_file(last=last)
    mappings = mappings_of(source(max_lag_days=3))
    con, _ = join(lake, mappings)
    notes = feed_notes(con, mappings, ON, Path("/exports"))
    assert [said in text for text in notes.values()] == ([True] if said else [])
