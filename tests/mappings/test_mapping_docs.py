"""docs/mappings.md is held to the models and to what ships."""

import re

import pytest
from pydantic import BaseModel

from mappings import models
from mappings.docs import PAGE, keys_of, render, tables
from mappings.docs_keys import KEYS
from mappings.load import load

MODELS = [
    kind
    for kind in vars(models).values()
    if isinstance(kind, type) and issubclass(kind, BaseModel) and kind not in (BaseModel, models.Model, models.Mappings)
]


@pytest.fixture(scope="module")
def page() -> str:
    return PAGE.read_text(encoding="utf-8")


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)
def test_every_key_of_every_file_is_explained(model: type[BaseModel], page: str) -> None:
    filled = {"key", "object"} if model is models.WriteField else set()
    assert set(KEYS[model.__name__]) == set(model.model_fields) - filled
    for row in keys_of(model):
        assert all(row), row
        assert row[3] in page


def test_no_key_is_explained_that_does_not_exist() -> None:
    assert set(KEYS) == {model.__name__ for model in MODELS}


def test_the_tables_are_up_to_date(page: str) -> None:
    assert render(page) == page, "run `python -m mappings.docs`"


def test_every_table_that_is_made_stands_on_the_page(page: str) -> None:
    assert set(re.findall(r"<!-- table: ([\w/]+) -->", page)) == set(tables())


def test_every_shipped_name_occurs(page: str) -> None:
    shipped = load()
    names = [*shipped.indicators, *shipped.csql, *shipped.alerts, *shipped.usage, *(p.name for p in shipped.score.profiles)]
    names += [*(cap.name for cap in shipped.score.caps), *(gate.name for gate in shipped.policy.gates), *(f.key for f in shipped.writeback.fields)]
    missing = [name for name in names if f"`{name}`" not in page]
    assert missing == []
