"""explain: from the score down to rows and dates, and why a record says something else."""

import json
from collections.abc import Iterator
from datetime import timedelta

import pytest
from rich.console import Console

from tests.factories import ON
from tests.worker.lake_writer import run_core
from tests.worker.test_core_steps import NO_PAST, opened, small_lake
from worker.explain import Explanation, explain_account
from worker.runtime import Runtime


@pytest.fixture(scope="module")
def runtime(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runtime]:
    found = opened(tmp_path_factory.mktemp("explain"), {"0": small_lake()})
    run_core(found, NO_PAST)
    yield found
    found.close()


@pytest.fixture(scope="module")
def explained(runtime: Runtime) -> Explanation:
    found = explain_account(runtime, NO_PAST, "A1")
    assert found is not None
    return found


def test_the_contributions_add_up_to_the_score(explained: Explanation) -> None:
    parts = [i for axis in explained.axes for i in axis.indicators]

    assert {i.name: i.contribution for i in parts} == pytest.approx({"seats_held": 25.0, "events_held": 8.4, "touches_held": 2.0})
    assert explained.decision["score_uncapped"] == pytest.approx(35.4)


def test_an_indicator_shows_the_rows_that_made_its_value(explained: Explanation) -> None:
    by_name = {i.name: i for axis in explained.axes for i in axis.indicators}

    assert [(r["product"], r["seats"], r["open"]) for r in by_name["seats_held"].rows] == [("expense", 50, True)]
    assert [(r["on_"], r["kind"]) for r in by_name["touches_held"].rows] == [(ON - timedelta(days=5), "meeting")]
    assert [(r["day"], r["events"]) for r in by_name["events_held"].rows][:2] == [(ON - timedelta(days=1), 1), (ON - timedelta(days=2), 1)]


def test_an_account_out_of_scope_says_why(runtime: Runtime) -> None:
    found = explain_account(runtime, NO_PAST, "A3")

    assert found is not None
    assert found.why_not == ["The account is not served: no open contract. Its fields are left as they are."]


def test_an_unknown_account_has_no_explanation(runtime: Runtime) -> None:
    assert explain_account(runtime, NO_PAST, "nobody") is None


def test_it_can_be_read_by_machines_and_people(explained: Explanation) -> None:
    assert json.loads(json.dumps(explained.as_dict(), default=str))["account_id"] == "A1"
    console = Console(width=200, record=True)
    console.print(explained.render())
    text = console.export_text()
    assert "score 35, tier 2" in text
    assert "Title seats_held: 50 count → 50.0 points × 50.0 % = 25" in text or "題 seats_held: 50 count → 50.0 points × 50.0 % = 25" in text
