"""`scoresync check` reads the newest export of each source as its mapping says, and keeps nothing of it."""

import os
from pathlib import Path

import pytest

from connectors.base import Finding
from mappings.load import load
from worker.cli.usage_check import usage_findings
from worker.settings import Settings

HEADER = "date,tenant_id,product,user_id,feature,events,seconds\n"
GOOD = "2026-11-02,t1,expense,u1,approval,3,40\n"


@pytest.fixture
def found(tmp_path: Path) -> Settings:
    (tmp_path / "usage").mkdir()
    return Settings(usage=tmp_path / "usage", lake=tmp_path / "lake")


def check(found: Settings, **files: str) -> dict[str, list[Finding]]:
    for age, (name, text) in enumerate(reversed(files.items())):
        path = found.usage / f"{name}.csv"
        path.write_text(text, encoding="utf-8")
        os.utime(path, (1_700_000_000 - age, 1_700_000_000 - age))
    said = usage_findings(found, load(None))
    assert not found.lake.exists()
    return said


def test_a_source_without_a_file_is_told_with_the_folder_and_the_glob(found: Settings) -> None:
    (finding,) = check(found)["product_events"]
    assert (finding.severity, finding.where) == ("warning", "usage/product_events.yml")
    assert str(found.usage) in finding.text
    assert "SCORESYNC_USAGE" in finding.remedy


def test_a_good_file_has_no_findings(found: Settings) -> None:
    assert check(found, **{"events_2026-11-02": HEADER + GOOD})["product_events"] == []


def test_a_file_that_lacks_a_column_is_an_error_that_names_it(found: Settings) -> None:
    (finding,) = check(found, **{"events_2026-11-02": "date,product,user_id,feature,events,seconds\n2026-11-02,expense,u1,approval,3,40\n"})[
        "product_events"
    ]
    assert finding.severity == "error"
    assert "events_2026-11-02.csv" in finding.text
    assert "tenant_id" in finding.text


def test_rows_that_would_be_set_aside_are_counted_and_the_first_is_named(found: Settings) -> None:
    (finding,) = check(found, **{"events_2026-11-02": HEADER + GOOD + "2026-13-02,t1,expense,u1,approval,3,40\n" + GOOD})["product_events"]
    assert finding.severity == "warning"
    assert "1 of 3 rows would be set aside" in finding.text
    assert "events_2026-11-02.csv:3" in finding.text


def test_the_newest_file_is_the_one_that_is_read(found: Settings) -> None:
    """Files in the order of their time stamps: the broken one is the older."""
    assert check(found, **{"events_a": "nothing\n", "events_b": HEADER + GOOD})["product_events"] == []
