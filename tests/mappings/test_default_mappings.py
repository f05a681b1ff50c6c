"""The shipped mapping files, and what a run keeps of them."""

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from connectors.entities import COLUMNS, Entity
from mappings.columns import ACCOUNTS, ENTITIES, FEEDS, REQUIRED
from mappings.load import DEFAULTS, config_version, load, load_checked, restore, snapshot
from mappings.models import Axis, Mappings, Text
from mappings.texts import parse


@pytest.fixture(scope="module")
def mappings() -> Mappings:
    return load()


def texts(value: object, at: str = "") -> Iterator[tuple[str, Text]]:
    """Every text of the mappings with its place."""
    if isinstance(value, Text):
        yield at, value
    elif isinstance(value, dict):
        for key, one in value.items():
            yield from texts(one, f"{at}.{key}")
    elif isinstance(value, list | tuple):
        for place, one in enumerate(value):
            yield from texts(one, f"{at}.{place}")
    elif hasattr(value, "model_fields_set"):
        for key in type(value).model_fields:  # type: ignore[attr-defined]
            yield from texts(getattr(value, key), f"{at}.{key}")


def test_they_load_without_fault_or_warning() -> None:
    _, warnings = load_checked()
    assert warnings == []


def test_what_ships(mappings: Mappings) -> None:
    assert 10 <= len(mappings.indicators) <= 12
    assert set(mappings.csql) == {"seat_expansion", "tier_upgrade", "cross_sell"}
    assert [p.name for p in mappings.score.profiles] == ["onboarding", "renewal", "adoption"]
    assert {a.channel for a in mappings.alerts.values()} == {"log"}
    assert [p.code for p in mappings.products.products] == ["expense", "invoice", "attendance", "esign"]
    assert any(rule.trusted for rule in mappings.csql.values())
    assert any(not rule.trusted for rule in mappings.csql.values())


@pytest.mark.parametrize(
    ("profile", "weights"),
    [("onboarding", (50, 25, 25, 0)), ("adoption", (10, 45, 25, 20)), ("renewal", (5, 35, 30, 30))],
)
def test_weights_of_deployment_adoption_engagement_outcome(mappings: Mappings, profile: str, weights: tuple[int, ...]) -> None:
    (found,) = [p for p in mappings.score.profiles if p.name == profile]
    assert tuple(found.axes[axis].weight for axis in Axis) == weights


def test_no_measure_over_a_quarter_and_no_axis_over_sixty_percent(mappings: Mappings) -> None:
    for profile in mappings.score.profiles:
        total = sum(axis.weight for axis in profile.axes.values())
        for axis in profile.axes.values():
            assert axis.weight / total <= 0.60
            for weight in axis.indicators.values():
                assert axis.weight / total * weight / sum(axis.indicators.values()) <= 0.25


def test_exceptions_and_tiers(mappings: Mappings) -> None:
    assert {cap.name: cap.cap for cap in mappings.score.caps} == {"churn_notice": 10, "champion_left": 39, "p1_open": 39, "use_stopped": 39}
    assert mappings.score.tiers.edges == (80, 60, 40, 20)
    assert (mappings.score.tiers.margin, mappings.score.tiers.closings) == (3, 2)
    assert (mappings.score.coverage_min, mappings.score.axes_min) == (60, 2)


def test_cool_downs_and_service_levels(mappings: Mappings) -> None:
    assert mappings.policy.cooldown_days == {"returned": 90, "lost": 90, "declined_twice": 180, "nurture": 45, "expired": 90}
    assert (mappings.policy.expire_days, mappings.policy.accept_business_days, mappings.policy.contact_business_days) == (30, 2, 5)


def test_the_section_a_csm_sees_is_in_order(mappings: Mappings) -> None:
    section = sorted((f for f in mappings.writeback.of("account") if f.section is not None), key=lambda f: f.section or 0)
    assert [f.section for f in section] == list(range(1, 17))
    assert [f.label.ja for f in section] == [
        "健康度", "スコア", "前サイクル比", "主な要因", "良い点", "次のアクション", "解約通知期限", "期限まで(日)", "ID利用率",
        "導入(い)", "活用(う)", "信頼関係(え)", "成果(お)", "CSM所感", "CSQL状況", "データ充足",
    ]  # fmt: skip
    assert {f.set for f in section} == {"core"}


def test_people_own_their_fields(mappings: Mappings) -> None:
    human = {f.names["salesforce"] for f in mappings.writeback.of("account") if f.owner == "human"}
    assert human >= {"CSH_CSM_Pulse__c", "CSH_Resync_Requested_At__c", "CSH_Override_Score__c", "CSH_Override_Until__c"}
    assert not human & {f.names["salesforce"] for f in mappings.writeback.of("account") if f.owner != "human"}


def test_every_text_has_numbers_or_names_no_column(mappings: Mappings) -> None:
    """Reasons say numbers or dates, so each holds at least one slot."""
    for name, indicator in mappings.indicators.items():
        for text in (indicator.reasons.low, indicator.reasons.high):
            for words in (text.en, text.ja):
                assert any(not isinstance(part, str) for part in parse(words)), f"{name}: {words}"


def test_both_languages_name_the_same_columns(mappings: Mappings) -> None:
    for at, text in texts(mappings):
        english, japanese = ({part.column for part in parse(words) if not isinstance(part, str)} for words in (text.en, text.ja))
        assert english == japanese, at


def test_japanese_is_japanese_and_english_is_not(mappings: Mappings) -> None:
    kana_or_kanji = re.compile(r"[\u3040-\u30ff\u4e00-\u9fff]")
    for at, text in texts(mappings):
        assert not kana_or_kanji.search(text.en), at
        assert kana_or_kanji.search(text.ja) or not re.search("[a-z]{4}", text.ja), at


def test_entities_are_those_of_the_connectors() -> None:
    assert {entity.value: columns for entity, columns in COLUMNS.items()} == ENTITIES
    assert set(REQUIRED) == {entity.value for entity in Entity}


def test_every_column_has_a_known_feed() -> None:
    assert {column.feed for column in ACCOUNTS.values()} <= set(FEEDS)


# --- snapshot and version ------------------------------------------------------------------------------------------------------------------------
def test_a_snapshot_gives_back_the_same_mappings(mappings: Mappings) -> None:
    again = restore(snapshot(mappings))
    assert again == mappings
    assert snapshot(again) == snapshot(mappings)
    assert list(again.score.profiles[0].axes) == list(mappings.score.profiles[0].axes)


def test_a_snapshot_needs_no_folder(tmp_path: Path) -> None:
    folder = shutil.copytree(DEFAULTS, tmp_path / "mappings", ignore=lambda _, names: [n for n in names if n.endswith(".py") or n == "__pycache__"])
    text = snapshot(load(folder))
    shutil.rmtree(folder)
    assert restore(text) == load()


def changed(mappings: Mappings, indicator: str, **values: object) -> Mappings:
    one = mappings.indicators[indicator].model_copy(update=values)
    return mappings.model_copy(update={"indicators": mappings.indicators | {indicator: one}})


def test_the_version_moves_with_what_decides_a_score(mappings: Mappings) -> None:
    before = config_version(mappings, "adoption")
    assert re.fullmatch(r"[0-9a-f]{12}", before)
    assert config_version(changed(mappings, "seat_utilization", expression="seat_use + 1"), "adoption") != before
    tiers = mappings.score.tiers.model_copy(update={"margin": 5})
    assert config_version(mappings.model_copy(update={"score": mappings.score.model_copy(update={"tiers": tiers})}), "adoption") != before
    assert config_version(mappings, "renewal") != before


def test_the_version_does_not_move_with_texts_or_with_other_profiles(mappings: Mappings) -> None:
    before = config_version(mappings, "adoption")
    assert config_version(changed(mappings, "seat_utilization", hypothesis="Another sentence entirely."), "adoption") == before
    assert config_version(changed(mappings, "setup_progress", ttl_days=31), "adoption") == before  # used in onboarding only
    with pytest.raises(KeyError):
        config_version(mappings, "nowhere")
