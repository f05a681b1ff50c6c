"""The pages for people."""

from collections.abc import Callable
from pathlib import Path

import pytest
import requests

from connectors.salesforce.sandbox.page_layout import layout_for
from connectors.sandbox_kit import SandboxProcess
from tests.sandbox.conftest import Rest


def test_list_and_search(box: SandboxProcess, accounts: Callable[..., list[str]]) -> None:
    record = box.control.seed("Account", [{"Name": "<b>北海道100%サービス</b>"}])[0]
    answer = requests.get(f"{box.url}/", params={"q": "道100%サ"}, timeout=20)
    assert answer.headers["Content-Type"] == "text/html;charset=UTF-8"
    assert "&lt;b&gt;北海道100%サービス&lt;/b&gt;" in answer.text
    assert f"/lightning/r/Account/{record}/view" in answer.text
    assert "見つかりません" in requests.get(f"{box.url}/", params={"q": "道100_サ"}, timeout=20).text
    assert "Nothing found" in requests.get(f"{box.url}/", params={"q": "zzz", "lang": "en"}, timeout=20).text


def test_record_page(box: SandboxProcess, rest: Rest) -> None:
    owner = box.user("csm")["id"]
    values = {"Name": "頁商事", "OwnerId": owner, "Health_Score__c": 73.5, "Band__c": "Green", "Renews_On__c": "2026-03-31", "AnnualRevenue": 1234567}
    record = rest("POST", "sobjects/Account", {**values, "Seen_At__c": "2026-01-05T16:00:00Z", "Trusted__c": True}).json()["id"]
    rest("POST", "sobjects/Contract", {"AccountId": record, "StartDate": "2026-01-01", "ContractTerm": 12})
    page = requests.get(f"{box.url}/lightning/r/Account/{record[:15]}/view", timeout=20)
    assert page.status_code == 200
    for text in ("頁商事", "佐藤 結衣", "73.50", "緑", "2026/03/31", "2026/01/06 01:00", "はい", "2026/12/31", "契約 (1)"):
        assert text in page.text, text
    english = requests.get(f"{box.url}/lightning/r/Account/{record}/view?lang=en", timeout=20).text
    assert all(text in english for text in ("Yes", "結衣 佐藤", "Contracts (1)", "Employees"))
    as_sales = requests.get(f"{box.url}/lightning/r/Account/{record}/view?as=sales", timeout=20)
    assert as_sales.status_code == 200
    assert "73.50" not in as_sales.text  # sales has no access to the field
    assert requests.get(f"{box.url}/{record}", timeout=20).url.endswith(f"/lightning/r/Account/{record}/view")
    assert requests.get(f"{box.url}/lightning/r/Account/0015e0000zzzzzz/view", timeout=20).status_code == 404


FIELD = '<CustomField xmlns="http://soap.sforce.com/2006/04/metadata"><fullName>{0}</fullName><label>{1}</label><type>Text</type></CustomField>'
PAGE = """<FlexiPage xmlns="http://soap.sforce.com/2006/04/metadata">
<flexiPageRegions><itemInstances><componentInstance>
 <componentInstanceProperties><name>columns</name><value>Facet-columns</value></componentInstanceProperties>
 <componentInstanceProperties><name>label</name><value>Health</value></componentInstanceProperties>
 <componentName>flexipage:fieldSection</componentName></componentInstance></itemInstances><name>main</name><type>Region</type></flexiPageRegions>
<flexiPageRegions><itemInstances><componentInstance>
 <componentInstanceProperties><name>body</name><value>Facet-left</value></componentInstanceProperties>
 <componentName>flexipage:column</componentName></componentInstance></itemInstances><name>Facet-columns</name><type>Facet</type></flexiPageRegions>
<flexiPageRegions><itemInstances><fieldInstance><fieldItem>Record.B__c</fieldItem></fieldInstance></itemInstances>
<itemInstances><fieldInstance><fieldItem>Record.A__c</fieldItem></fieldInstance></itemInstances><name>Facet-left</name><type>Facet</type></flexiPageRegions>
<masterLabel>x</masterLabel><sobjectType>Account</sobjectType><type>RecordPage</type></FlexiPage>"""
TRANSLATION = """<CustomObjectTranslation xmlns="http://soap.sforce.com/2006/04/metadata"><fields><label>甲</label><name>A__c</name>
<picklistValues><masterLabel>Red</masterLabel><translation>赤</translation></picklistValues></fields>
<layouts><layout>x</layout><sections><label>健康状態</label><section>Health</section></sections></layouts></CustomObjectTranslation>"""


def test_layout_from_metadata_source(tmp_path: Path) -> None:
    fields = tmp_path / "objects/Account/fields"
    fields.mkdir(parents=True)
    for name, label in (("A__c", "Alpha"), ("B__c", "Beta")):
        (fields / f"{name}.field-meta.xml").write_text(FIELD.format(name, label))
    (tmp_path / "Account.flexipage-meta.xml").write_text(PAGE)
    (tmp_path / "Account-ja.objectTranslation-meta.xml").write_text(TRANSLATION)
    japanese, english = layout_for("Account", "ja", tmp_path), layout_for("Account", "en", tmp_path)
    assert [(part.title, part.columns) for part in japanese.sections] == [("健康状態", (("B__c", "A__c"),))]
    assert [part.title for part in english.sections] == ["Health"]
    assert (japanese.labels, english.labels) == ({"A__c": "甲", "B__c": "Beta"}, {"A__c": "Alpha", "B__c": "Beta"})
    assert japanese.values == {("A__c", "Red"): "赤"}
    assert layout_for("Case", "ja", tmp_path).sections == []
    assert layout_for("Account", "ja", tmp_path / "missing").sections == []


def test_health_section_and_action_as_shipped(own_box: SandboxProcess) -> None:
    """The page shows the section that ships for admins, and a press of its action is a CSM's edit."""
    japanese = layout_for("Account", "ja")
    if not japanese.sections:
        pytest.skip("the metadata source for admins is not there")
    first = japanese.sections[0]
    metadata = {"type": "Text", "label": "x", "length": 50}
    stamps = {name for action in japanese.actions for name, _ in action.overrides}
    fields = {f"Account.{name}": {"type": "DateTime", "label": "x"} if name in stamps else metadata for name in {*first.fields, *stamps}}
    own_box.control.add_fields(fields, visible_to=["csm"])
    record = own_box.control.seed("Account", [{"Name": "健康商事", **{name: f"値{number}" for number, name in enumerate(first.fields)}}])[0]
    page = requests.get(f"{own_box.url}/lightning/r/Account/{record}/view?as=csm", timeout=20).text
    assert first.title in page
    places = [page.index(f"値{number}<") for number in range(len(first.fields))]
    assert places == sorted(places)
    assert all(japanese.labels[name] in page for name in first.fields)
    action = japanese.actions[0]
    assert action.label in page
    pressed = requests.post(f"{own_box.url}/lightning/r/Account/{record}/action/{action.name}?as=csm", timeout=20)
    assert pressed.status_code == 200
    row = own_box.control.dump("Account", fields=f"LastModifiedById,{action.overrides[0][0]}")[0]
    assert row["LastModifiedById"] == own_box.user("csm")["id"]
    assert row[action.overrides[0][0]] is not None
