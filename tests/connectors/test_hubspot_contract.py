"""The contract files listen to every test of the HubSpot connector (`hub_traffic`, `conftest.traffic`): here, that they do."""

from datetime import UTC, datetime
from pathlib import Path

import orjson
import pytest

from connectors.base import RecordWrite, Window, WriteState
from connectors.sandbox_kit import SandboxProcess
from tests.connectors import hubs
from tests.connectors.hub_traffic import Traffic

BATCH = "/crm/objects/2026-03/companies/batch/update"


@pytest.mark.usefixtures("shared")
def test_requests_and_answers_are_checked(hub: SandboxProcess, traffic: Traffic, tmp_path: Path) -> None:
    (company,) = hubs.make_companies(hub, 1)
    crm = hubs.open_crm(hub)
    (result,) = crm.write([hubs.SCORE], [RecordWrite(company, None, company, {"score": "58"})], key_field=None)
    assert result.state == WriteState.OK
    assert crm.reread([hubs.SCORE], [company]) == {company: {"score": "58"}}
    crm.read(hubs.COMPANIES, [], Window(None, datetime(2100, 1, 1, tzinfo=UTC)), tmp_path / "pages", None)
    assert traffic.checked >= 2 * 2 + 3  # a write and a re-read by body and answer; properties, the list and the bin by their answers


@pytest.mark.usefixtures("shared")
def test_a_number_for_a_text_and_a_path_that_is_none_are_noticed(traffic: Traffic) -> None:
    """Of the values HubSpot takes numbers too, but the contract says text."""
    traffic.said("POST", BATCH, orjson.dumps({"inputs": [{"id": 1, "properties": {"csh_score": "58"}}]}))
    traffic.said("POST", BATCH.replace("update", "change"), b"{}")
    found, traffic.problems = traffic.problems, []
    assert len(found) == 2
    assert "$.inputs[0].id: int instead of string" in found[0]
    assert "no such operation" in found[1]
