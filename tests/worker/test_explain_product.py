"""explain of one product for the team that looks after it, and the customer's own words as evidence."""

from collections.abc import Iterator
from datetime import timedelta

import pytest
from rich.console import Console

from tests.factories import ON, make_indicator
from tests.worker.lake_writer import run_core
from tests.worker.test_core_steps import NO_PAST, opened, small_lake
from worker.explain import explain_account
from worker.runtime import Runtime

NPS = make_indicator("voice", "engagement", "survey", "nps_180d * 10")
SPEC = NO_PAST.score.profiles[0]
ENGAGED = SPEC.axes["engagement"].model_copy(update={"indicators": {"touches_held": 1.0, "voice": 1.0}})  # type: ignore[index]
MAPPINGS = NO_PAST.model_copy(
    update={
        "indicators": NO_PAST.indicators | {"voice": NPS},
        "score": NO_PAST.score.model_copy(update={"profiles": [SPEC.model_copy(update={"axes": SPEC.axes | {"engagement": ENGAGED}})]}),
    }
)


@pytest.fixture(scope="module")
def runtime(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runtime]:
    lake = small_lake()
    lake.make_contract("A1", product="esign", seats=20, mrr=50_000)
    person = lake.make_contact("A1", "champion", name="佐藤")
    lake.make_survey("A1", score=3, on=ON - timedelta(days=9), comment="承認に時間がかかる", contact_id=person)
    lake.make_survey("A1", score=9, on=ON - timedelta(days=40), comment="使いやすい", contact_id=person)
    found = opened(tmp_path_factory.mktemp("explain_product"), {"0": lake})
    run_core(found, MAPPINGS)
    yield found
    found.close()


def test_cs17_a_product_team_sees_its_product_alone(runtime: Runtime) -> None:
    found = explain_account(runtime, MAPPINGS, "A1", "esign")
    assert found is not None
    by_name = {i.name: i for axis in found.axes for i in axis.indicators}
    # 20 seats of esign, not the account's 70; no use of esign: 0 events
    assert (by_name["seats_held"].value, by_name["events_held"].value) == (20, 0)
    assert [r["product"] for r in by_name["seats_held"].rows] == ["esign"]
    assert by_name["events_held"].rows == []
    assert (found.changes, found.writes, found.products) == ([], [], [])
    assert [(h["on_"], h["score"]) for h in found.history] == [(ON, found.decision["score"])]
    console = Console(width=200, record=True)
    console.print(found.render())
    assert "A1 / esign" in console.export_text()


def test_cs17_the_account_lists_its_products(runtime: Runtime) -> None:
    found = explain_account(runtime, MAPPINGS, "A1")
    assert found is not None
    assert [p["product"] for p in found.products] == ["esign", "expense"]


def test_a_product_that_is_not_owned_is_told_with_those_that_are(runtime: Runtime) -> None:
    with pytest.raises(LookupError, match=r"no open line of 'invoice'; its products are esign, expense"):
        explain_account(runtime, MAPPINGS, "A1", "invoice")


def test_cs23_the_latest_answer_stands_as_evidence_with_its_words_day_and_person(runtime: Runtime) -> None:
    found = explain_account(runtime, MAPPINGS, "A1")
    assert found is not None
    rows = next(i.rows for axis in found.axes for i in axis.indicators if i.name == "voice")
    assert [(r["on_"], r["score"], r["person"], r["contact_role"], r["comment"]) for r in rows] == [
        (ON - timedelta(days=9), 3, "佐藤", "champion", "承認に時間がかかる"), (ON - timedelta(days=40), 9, "佐藤", "champion", "使いやすい"),
    ]  # fmt: skip
