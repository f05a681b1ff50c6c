"""explain: reasons both ways, the split of the change from what a first run scored of the past, twelve weeks."""

import json
from datetime import timedelta
from pathlib import Path

from rich.console import Console

from tests.factories import AS_OF, ON, Lake
from tests.worker.lake_writer import run_core
from tests.worker.test_core_steps import MAPPINGS, opened, small_lake
from worker.explain import Explanation, explain_account
from worker.runtime import Runtime

LAKES = {"0": small_lake(), "1": Lake(), "2": Lake()}


def explained(runtime: Runtime) -> Explanation:
    found = explain_account(runtime, MAPPINGS, "A1")
    assert found is not None
    return found


def test_a_first_run_can_say_why_the_score_changed_and_so_can_a_later_one_and_one_that_is_held(tmp_path: Path) -> None:
    """33.4 on 3 November, 35.4 since the touch of 26 November (10 points x 20 %): +2 engagement. The day after nothing is new. Eight days on the
    usage feed is late: the account is held, and its last score is compared."""
    runtime = opened(tmp_path, LAKES)
    run_core(runtime, MAPPINGS)
    first = explained(runtime)
    closing, four_weeks = first.why.splits
    assert (closing["against"], closing["delta"], closing["text"]) == (ON - timedelta(days=1), 0, None)
    assert (four_weeks["delta"], four_weeks["engagement"], float(four_weeks["exact_engagement"])) == (2, 2, 2.0)
    assert four_weeks["text"] == "2026/11/3比 +2 = 信頼関係 +2、設定 0"
    # seats 50 points, events 28, touches 10: against 100 seats lose most (50 x 50), then events (30 x 72), then touches (20 x 90); nothing is strong
    assert [r["indicator"] for r in first.why.lowers] == ["seats_held", "events_held", "touches_held"]
    assert [r["indicator"] for r in first.why.lifts] == []
    assert (first.why.lowers[1]["value"], first.why.lowers[1]["source"]) == (28, "usage")
    # 3 November is the first date known: the Sundays from 8 November on, all in tier 2
    assert first.why.sparkline == "·······▂▂▂▂▂"

    run_core(runtime, MAPPINGS, as_of=AS_OF + timedelta(days=1))
    assert [s["delta"] for s in explained(runtime).why.splits] == [0, 2]
    # points are kept only where they changed: of two accounts on 3 and 30 November; neither on this day nor on the one before is anything new
    assert [p.rows for p in runtime.lake.entries("part_history")] == [4]
    assert len(runtime.lake.entries("scorecard_history")) == 1
    asked = explain_account(runtime, MAPPINGS, "A1", against=ON - timedelta(days=10))
    assert asked is not None
    assert asked.why.splits[2]["text"] == "2026/11/21比 +2 = 信頼関係 +2、設定 0"
    unknown = explain_account(runtime, MAPPINGS, "A1", against=ON - timedelta(days=200))
    assert unknown is not None
    assert unknown.why.splits[2]["why"] == "no score on 2026-05-15"

    run_core(runtime, MAPPINGS, as_of=AS_OF + timedelta(days=8))
    held = explained(runtime)
    assert held.decision["state"] == "frozen"
    assert [(s["delta"], s["text"]) for s in held.why.splits] == [(0, None), (2, "2026/11/11比 +2 = 信頼関係 +2、設定 0")]
    console = Console(width=200, record=True)
    console.print(held.render())
    assert "2026/11/11比 +2 = 信頼関係 +2、設定 0 (exactly +2.000000 before exceptions: engagement +2.000000)" in console.export_text()
    assert json.loads(json.dumps(held.as_dict(), default=str))["why"]["splits"][1]["engagement"] == 2
    runtime.close()
