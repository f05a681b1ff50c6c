"""The suite every Crm passes on its sandbox: `test_contract.py` runs it for each vendor of the registry.

A vendor brings a `Harness`: its org, and people's hands in it. Nothing here knows a vendor.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Protocol

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from connectors.base import Crm, ReadResult, RecordWrite, Window, WriteState
from connectors.errors import Misfit
from mappings.models import Source, WriteField

EVER = Window(None, datetime(2100, 1, 1, tzinfo=UTC))


class Harness(Protocol):
    """An org of one vendor, set up with `fields`."""

    fields: Sequence[WriteField]  # account fields we write: score (number), reason (text, 40), scored_at (datetime), open (checkbox)

    def open(self) -> Crm: ...
    def accounts(self) -> Source: ...
    def make_accounts(self, names: Sequence[str]) -> list[str]: ...
    def edit(self, record_id: str, key: str, value: Any) -> None: ...
    def delete(self, record_id: str) -> None: ...
    def vendor_name(self, key: str) -> str: ...


def rows(result: ReadResult) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = pa.concat_tables([pq.read_table(p) for p in result.pages]).to_pylist() if result.pages else []
    return found


def update(record_id: str, values: Mapping[str, str | None]) -> RecordWrite:
    return RecordWrite(record_id, None, record_id, values)


class CrmContract:
    """Inherit, and give a fixture `harness`."""

    def test_reads_every_record_once_with_its_identity(self, harness: Harness, tmp_path: Path) -> None:
        ids = harness.make_accounts(["あ", "い", "う"])
        found = rows(harness.open().read(harness.accounts(), [], EVER, tmp_path / "p", None))
        mine = [row for row in found if row["_id"] in ids]
        assert sorted(row["_id"] for row in mine) == sorted(ids)
        assert all(row["_deleted"] == "false" and row["_modified_at"].endswith("Z") for row in mine)

    def test_reading_twice_into_one_folder_leaves_one_copy(self, harness: Harness, tmp_path: Path) -> None:
        harness.make_accounts(["twice"])
        crm = harness.open()
        first = crm.read(harness.accounts(), [], EVER, tmp_path / "p", None)
        second = crm.read(harness.accounts(), [], EVER, tmp_path / "p", None)
        assert len(list((tmp_path / "p").iterdir())) == len(second.pages)
        assert first.rows == second.rows

    def test_an_empty_window_has_no_pages(self, harness: Harness, tmp_path: Path) -> None:
        end = datetime(1999, 1, 2, tzinfo=UTC)
        result = harness.open().read(harness.accounts(), [], Window(end - timedelta(days=1), end), tmp_path / "p", None)
        assert (result.rows, result.pages) == (0, ())

    def test_a_deleted_record_is_read_as_deleted(self, harness: Harness, tmp_path: Path) -> None:
        (only,) = harness.make_accounts(["gone"])
        harness.delete(only)
        found = {row["_id"]: row["_deleted"] for row in rows(harness.open().read(harness.accounts(), [], EVER, tmp_path / "p", None))}
        assert found[only] == "true"

    def test_a_field_that_is_not_there_is_named(self, harness: Harness, tmp_path: Path) -> None:
        harness.make_accounts(["x"])
        result = harness.open().read(harness.accounts(), ["no_such_field"], EVER, tmp_path / "p", None)
        assert result.missing_fields == ("no_such_field",)
        assert {row["no_such_field"] for row in rows(result)} == {None}

    def test_what_is_written_is_reread_as_the_same_text(self, harness: Harness) -> None:
        (only,) = harness.make_accounts(["w"])
        values = {"score": "58", "reason": "利用が減少", "scored_at": "2026-12-01T03:00:00Z", "open": "true"}
        crm = harness.open()
        (result,) = crm.write(harness.fields, [update(only, values)], key_field=None)
        assert result.state == WriteState.OK, result.message
        assert crm.reread(harness.fields, [only])[only] == values
        crm.write(harness.fields, [update(only, {"reason": None})], key_field=None)
        assert crm.reread(harness.fields, [only])[only] == values | {"reason": None}

    def test_results_come_in_the_order_of_the_writes(self, harness: Harness) -> None:
        ids = harness.make_accounts([f"o{n}" for n in range(5)])
        harness.delete(ids[2])
        results = harness.open().write(harness.fields, [update(i, {"score": "1"}) for i in ids], key_field=None)
        assert [r.state for r in results] == [WriteState.OK, WriteState.OK, WriteState.GONE, WriteState.OK, WriteState.OK]

    def test_a_persons_edit_is_seen_by_the_reread(self, harness: Harness) -> None:
        (only,) = harness.make_accounts(["p"])
        harness.edit(only, "score", 77)
        assert harness.open().reread(harness.fields, [only])[only]["score"] == "77"

    def test_who_changed_a_field_last_is_told_by_id(self, harness: Harness) -> None:
        """Of sixty records, more than a page of histories; the one we wrote ourselves is told as well."""
        ids = harness.make_accounts([f"edited {n}" for n in range(60)])
        crm = harness.open()
        score = next(f for f in harness.fields if f.key == "score")
        for one in ids[:2]:
            harness.edit(one, "score", 6)
        found = crm.editors(score, ids)
        assert set(found) == set(ids)
        assert all(found[one].startswith("user ") and any(c.isdigit() for c in found[one]) for one in ids[:2])
        assert crm.calls.by_kind["reread"] >= 1

    def test_records_that_are_gone_are_absent_from_a_reread(self, harness: Harness) -> None:
        ids = harness.make_accounts(["a", "b"])
        harness.delete(ids[0])
        assert set(harness.open().reread(harness.fields, ids)) == {ids[1]}

    def test_calls_are_counted_by_kind(self, harness: Harness) -> None:
        (only,) = harness.make_accounts(["c"])
        crm = harness.open()
        crm.reread(harness.fields, [only])
        assert crm.calls.by_kind["reread"] == 1

    def test_the_check_finds_nothing_wrong_here_and_names_what_is_missing(self, harness: Harness) -> None:
        crm = harness.open()
        assert [f for f in crm.check([harness.accounts()], harness.fields) if f.severity == "error"] == []
        absent = harness.fields[0].model_copy(update={"key": "absent", "names": dict.fromkeys(harness.fields[0].names, "no_such_field__c")})
        (finding,) = [f for f in crm.check([harness.accounts()], [*harness.fields, absent]) if f.severity == "error"]
        assert "no_such_field__c" in finding.where
        assert "must" in finding.remedy

    def test_an_unknown_object_is_a_misfit(self, harness: Harness) -> None:
        with pytest.raises(Misfit):
            harness.open().describe("no_such_object")
