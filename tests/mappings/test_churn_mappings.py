"""churn.yml: every fault told, and every key explained in docs/mappings.md."""

import shutil
from pathlib import Path

import pytest

from mappings.faults import MappingFaults
from mappings.load import DEFAULTS, load_checked
from mappings.models_churn import Churn

CHURN = "churn.yml"


def _with(folder: Path, old: str, new: str) -> Path:
    target = folder / "mappings"
    shutil.copytree(DEFAULTS, target, ignore=shutil.ignore_patterns("*.py", "__pycache__"))
    text = (target / CHURN).read_text()
    assert old in text
    (target / CHURN).write_text(text.replace(old, new, 1))
    return target


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("code: support,", "code: price,", "reasons.6: the name `price` is used twice"),
        ("values: [機能不足,", "values: [価格,", "reasons.1.values: `価格` already means `price`"),
        ("name: thanks,", "name: data,", "checklist.3: the name `data` is used twice"),
        ("days: 14,", "days: -1,", "checklist.0.days"),
    ],
)
def test_cs53_what_is_wrong_is_told(tmp_path: Path, old: str, new: str, said: str) -> None:
    with pytest.raises(MappingFaults) as refused:
        load_checked(_with(tmp_path, old, new))
    assert f"{CHURN}" in str(refused.value)
    assert said.replace(": ", "`: ", 1) in str(refused.value) or said in str(refused.value)


def test_cs52_an_alert_that_is_gone_is_only_warned_of(tmp_path: Path) -> None:
    _, warnings = load_checked(_with(tmp_path, "csql_late]", "csql_lat]"))
    assert [w.text for w in warnings if w.file == CHURN] == ["there is no alert or pattern `csql_lat`"]


def test_the_page_explains_every_key() -> None:
    page = (DEFAULTS.parent / "docs" / "mappings.md").read_text()
    section = page[page.index("## Customers who leave") : page.index("## Whom to ask")]
    assert not [key for key in Churn.model_fields if f"`{key}`" not in section]
