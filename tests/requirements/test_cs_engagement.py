"""CS-3: message openings and events attended, as the optional indicators of docs/examples/engagement measure them. The instant is 1 December 2026."""

import shutil
from datetime import timedelta
from pathlib import Path

import pytest

from mappings.load import DEFAULTS, load
from mappings.models import Indicator, Mappings
from tests.factories import ON, Lake, make_indicator, make_mappings, make_profile
from tests.worker.core import Row, rows
from tests.worker.core import join as joined
from worker.steps.score import score_all

EXAMPLES = Path(__file__).parents[2] / "docs" / "examples" / "engagement" / "indicators"


@pytest.fixture(scope="module")
def indicators(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Indicator]:
    """The two files beside the shipped ones, checked as a customer's folder is."""
    folder = tmp_path_factory.mktemp("m") / "m"
    shutil.copytree(DEFAULTS, folder, ignore=lambda _, names: [n for n in names if n.endswith(".py") or n == "__pycache__"])
    for path in EXAMPLES.glob("*.yml"):
        shutil.copy(path, folder / "indicators")
    found = load(folder).indicators
    return {name: found[name] for name in ("message_opens", "events_attended")}


def mappings(indicators: dict[str, Indicator]) -> Mappings:
    """Touches weigh 2, openings and events 1 each; seats are the other axis."""
    own = {i.name: i for i in (make_indicator("seats_held", "deployment"), make_indicator("touches", "engagement", "activity", "touches_90d * 10"))}
    profile = make_profile(deployment=(50, {"seats_held": 1}), engagement=(50, {"touches": 2, "message_opens": 1, "events_attended": 1}))
    base = make_mappings(indicators=own | indicators)
    return base.model_copy(update={"score": base.score.model_copy(update={"profiles": [profile]})})


def parts_of(lake: Lake, indicators: dict[str, Indicator]) -> dict[tuple[str, str], Row]:
    customer = mappings(indicators)
    con, _ = joined(lake, customer)
    score_all(con, customer, full=True)
    found = rows(con, "SELECT * FROM parts")
    con.close()
    return {(row["account_id"], row["indicator"]): row for row in found}


def test_cs3_messages_opened_and_events_attended_are_measured(indicators: dict[str, Indicator]) -> None:
    """A1 opened three in 90 days (one more was 90 days ago), came to one webinar and to one event 180 days ago, which is too long; A2 did neither."""
    lake = Lake()
    for account in ("A1", "A2"):
        lake.make_account(account)
        lake.make_contract(account)
    for days in (1, 30, 89, 90):
        lake.make_activity("A1", ON - timedelta(days=days), kind="email_open")
    for days, kind in ((179, "webinar"), (180, "event")):
        lake.make_activity("A1", ON - timedelta(days=days), kind=kind)
    parts = parts_of(lake, indicators)
    got = {key: (row["value"], row["points"]) for key, row in parts.items() if key[1] in indicators}
    assert got == {
        ("A1", "message_opens"): (3, 100), ("A1", "events_attended"): (1, 70), ("A2", "message_opens"): (0, 0), ("A2", "events_attended"): (0, 0),
    }  # fmt: skip
    # half of the total is engagement, of which openings have a quarter
    assert parts["A1", "message_opens"]["weight"] == 12.5


def test_cs3_they_leave_the_scorecard_where_nothing_of_the_sort_is_recorded(indicators: dict[str, Indicator]) -> None:
    """Meetings alone: openings and events are not held against anybody, and the touches carry the whole axis."""
    lake = Lake()
    lake.make_account()
    lake.make_contract()
    lake.make_activity()
    parts = parts_of(lake, indicators)
    assert {name: (row["missing_why"], row["weight_effective"]) for (_, name), row in parts.items()} == {
        "seats_held": (None, 50), "touches": (None, 50), "message_opens": ("not_connected", 0), "events_attended": ("not_connected", 0),
    }  # fmt: skip
