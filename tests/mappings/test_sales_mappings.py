"""sales.yml, voice.yml and alerts over deals: every key explained, every fault told."""

import shutil
from pathlib import Path

import pytest
from pydantic import BaseModel

from mappings import models_sales
from mappings.docs_keys_sales import SALES_KEYS
from mappings.load import DEFAULTS, MappingFaults, load, load_checked

MODELS = {
    name: kind
    for name, kind in vars(models_sales).items()
    if isinstance(kind, type) and issubclass(kind, BaseModel) and name not in ("Model", "Text", "OnboardingMappings", "SalesMappings")
}
LARGE_DEAL = """name: large_deal
over: deal
when: deal_kind = 'new' and deal_amount > 1000000
channel: log
text: {en: "{deal_amount} {deal_currency}, signature {deal_close_on}", ja: "{deal_amount}、契約予定日は{deal_close_on}です"}
"""


def test_every_key_is_explained() -> None:
    assert {name: set(keys) for name, keys in SALES_KEYS.items()} == {name: set(model.model_fields) for name, model in MODELS.items()}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return shutil.copytree(DEFAULTS, tmp_path / "m", ignore=lambda _, names: [n for n in names if n.endswith(".py") or n == "__pycache__"])


@pytest.mark.parametrize(
    ("file", "old", "new", "told"),
    [
        ("sales.yml", "when: operators > 0", "when: operator > 0", "handover.items.0.when: unknown column `operator`"),
        ("sales.yml", ", when: operators > 0}", "}", "handover.items.0: `administrator` has no `when`, and no connection maps `handover`"),
        ("sales.yml", "name: seats", "name: notice", "handover.items.3.name: the name `notice` is used twice"),
        ("sales.yml", "deal_amount >=", "amount >=", "deals.when: unknown column `amount`"),
        ("sales.yml", "success: health_tier", "success: health_tire", "fit.success: unknown column `health_tire`"),
        ("voice.yml", "words: [料金,", 'words: [" ",', "tags.0.words.0: is blank"),
        ("voice.yml", "name: speed", "name: price", "tags.1.name: the name `price` is used twice"),
        ("alerts/p1_open.yml", "channel: log", "over: deal\nchannel: log", "when: unknown column `p1_open`"),
        ("alerts/p1_open.yml", "channel: log", "over: deal\nchannel: log", "recovered: a deal is told once"),
    ],
)
def test_a_fault_is_told_with_its_key(folder: Path, file: str, old: str, new: str, told: str) -> None:
    text = (folder / file).read_text("utf-8")
    assert old in text
    (folder / file).write_text(text.replace(old, new, 1), "utf-8")
    with pytest.raises(MappingFaults) as caught:
        load_checked(folder)
    assert any(told in f"{f.key}: {f.text}" for f in caught.value.faults), [f"{f.key}: {f.text}" for f in caught.value.faults]


def test_an_alert_over_deals_loads_and_the_documented_column_shows_items(folder: Path) -> None:
    """As docs/mappings.md writes it: with `handover` mapped, an item needs no `when`."""
    (folder / "alerts" / "large_deal.yml").write_text(LARGE_DEAL, "utf-8")
    crm, sales = folder / "crm" / "salesforce.yml", folder / "sales.yml"
    column = (
        "        handover:\n          sql: concat_ws(';', case when \"Opportunity.Success_Goal__c\" <> '' then 'goal' end)\n"
        "          fields: [Opportunity.Success_Goal__c]\n"
    )
    deal = "        deal_id: OpportunityId\n"
    crm.write_text(crm.read_text("utf-8").replace(deal, deal + column, 1), "utf-8")
    item = "  items:\n    - {name: goal, title: {en: goal, ja: お客様の目標}}\n"
    sales.write_text(sales.read_text("utf-8").replace("  items:\n", item, 1), "utf-8")
    found = load(folder)
    assert (found.alerts["large_deal"].over, found.sales.handover.items[0].name) == ("deal", "goal")


def test_the_files_may_be_absent(folder: Path) -> None:
    for name in ("sales.yml", "voice.yml"):
        (folder / name).unlink()
    found = load(folder)
    assert (found.sales.handover.items, found.sales.deals.when, found.sales.fit.success, found.voice.tags) == ([], None, None, [])
