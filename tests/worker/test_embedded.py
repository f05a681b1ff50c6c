"""The embedded worker starts what Celery's beat would, at the times beat would."""

from datetime import datetime, timedelta

import celeryconfig
from worker.embedded import JOBS, due


def test_every_beat_task_has_a_job() -> None:
    assert {plan["task"] for plan in celeryconfig.beat_schedule.values()} == set(JOBS)


def test_periodic_tasks_are_due_at_start_and_hourly_ones_wait() -> None:
    last: dict[str, datetime] = {}
    assert sorted(due(last)) == ["run.poll_resync", "run.start_increment", "run.sweep"]
    assert due(last) == []
    assert set(last) == set(celeryconfig.beat_schedule)


def test_a_day_later_everything_is_due_once() -> None:
    last: dict[str, datetime] = {}
    due(last)
    earlier = {entry: at - timedelta(days=1, minutes=1) for entry, at in last.items()}
    assert sorted(due(earlier)) == sorted(JOBS)
    assert due(earlier) == []
