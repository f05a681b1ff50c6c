"""Wrong mapping files: each kind of fault is told with its file, its line, its key and words a person understands; all of them at once."""

import re
import shutil
from pathlib import Path

import pytest

from mappings.load import DEFAULTS, Fault, MappingFaults, load_checked


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of the shipped mapping files."""
    return shutil.copytree(DEFAULTS, tmp_path / "mappings", ignore=lambda _, names: [n for n in names if n.endswith(".py") or n == "__pycache__"])


def patch(folder: Path, file: str, old: str, new: str) -> int:
    """Replace the first `old` in a file, which must be there; gives the line on which it began."""
    text = (folder / file).read_text(encoding="utf-8")
    assert old in text, f"{file} has no {old!r}"
    (folder / file).write_text(text.replace(old, new, 1), encoding="utf-8")
    return text[: text.index(old)].count("\n") + 1


def faults(folder: Path) -> list[Fault]:
    with pytest.raises(MappingFaults) as caught:
        load_checked(folder)
    return caught.value.faults


SEAT = "indicators/seat_utilization.yml"
STEPS = "indicators/recent_touch.yml"
HEALTH = "scores/health.yml"
RULE = "csql/seat_expansion.yml"
CROSS = "csql/cross_sell.yml"
POLICY = "csql_policy.yml"
SALESFORCE = "crm/salesforce.yml"
USAGE = "usage/product_events.yml"
BACK = "writeback.yml"

HYPOTHESIS = next(line for line in (DEFAULTS / SEAT).read_text("utf-8").splitlines(keepends=True) if line.startswith("hypothesis:"))

# id, file, text that is replaced, by what, key of the fault, words of its message (joined text and remedy)
CASES = [
    # --- YAML and models
    ("duplicate_key", SEAT, "axis: deployment", "axis: deployment\naxis: adoption", "axis", "duplicate key.*first on line"),
    ("unknown_key", SEAT, "hypothesis:", "hypotesis:", "hypotesis", "unknown key `hypotesis`.*`hypothesis`"),
    ("missing_hypothesis", SEAT, HYPOTHESIS, "", "hypothesis", "`hypothesis` is missing.*which question"),
    ("wrong_type", HEALTH, "coverage_min: 60", "coverage_min: high", "coverage_min", "must be a number, not `high`"),
    ("not_among_choices", SEAT, "axis: deployment", "axis: deploymnt", "axis", "must be one of.*`deployment`"),
    ("bad_name", SEAT, "name: seat_utilization", "name: Seat Use", "name", "small letters"),
    ("missing_language", SEAT, '{en: Seat use, ja: ID利用率}', "{en: Seat use}", "title.ja", "`ja` is missing.*both languages"),
    ("text_too_long", SEAT, "cause: low_seat_use", "cause: low_seat_use\nnull_mean: x", "null_mean", "`null_means`"),
    ("out_of_range", STEPS, "points: 50", "points: 500", "mapping.steps.1.points", "less than or equal to 100"),
    ("unknown_mapping_kind", SEAT, "kind: linear", "kind: linera", "mapping", "must be one of.*`linear`"),
    ("unknown_key_in_union", SALESFORCE, "currency: {const: JPY}", "currency: {const: JPY, konst: 1}",
     "entities.contract.0.columns.currency.konst", "unknown key"),
    ("mean_of_nothing", HEALTH, "per_product: true", "rollup: products\nper_product: false", "rollup", "not scored.*per_product: true"),
    # --- SQL
    ("bad_sql", SEAT, "expression: seat_use", "expression: seat_use +", "expression", "is not SQL"),
    ("unknown_column", SEAT, "expression: seat_use", "expression: seat_usee", "expression", "unknown column `seat_usee`.*`seat_use`"),
    ("wrong_result_type", SEAT, "expression: seat_use", "expression: segment", "expression", "gives VARCHAR.*number"),
    ("when_not_boolean", RULE, "when: product_seats >= 5 and product_active_users_28d >= 0.9 * product_seats", "when: product_seats",
     "when", "gives BIGINT.*BOOLEAN"),
    ("observed_on_not_date", SEAT, "observed_on: usage_as_of", "observed_on: as_of", "observed_on", "gives TIMESTAMP WITH TIME ZONE.*DATE"),
    ("types_do_not_fit", SEAT, "expression: seat_use", "expression: segment - 1", "expression", "does not fit its columns"),
    ("judgement_unknown_value", POLICY, "{value: good,", "{value: goood,", "judgement.0.value", "not among the values of.*csm_judgement.*good"),
    ("judgement_twice", POLICY, "{value: not_now,", "{value: good,", "judgement.1.value", "listed twice"),
    ("subquery", SEAT, "expression: seat_use", "expression: (select 1)", "expression", "subquery"),
    ("aggregate", SEAT, "expression: seat_use", "expression: sum(seats)", "expression", "function `sum` is not allowed"),
    ("window", SEAT, "expression: seat_use", "expression: row_number() over ()", "expression", "window"),
    ("clock", SEAT, "expression: seat_use", "expression: date_diff('day', last_used_on, now())",
     "expression", "`now` is not allowed.*as_of"),
    ("current_date", SEAT, "expression: seat_use", "expression: current_date - last_used_on", "expression", "current_date.*as_of_on"),
    ("random", SEAT, "expression: seat_use", "expression: random()", "expression", "`random` is not allowed"),
    ("reads_a_file", SEAT, "expression: seat_use", "expression: length(read_text('x'))", "expression", "`read_text` is not allowed"),
    ("star", SEAT, "expression: seat_use", 'expression: "*"', "expression", "star"),
    ("parameter", SEAT, "expression: seat_use", 'expression: "?"', "expression", "parameter"),
    ("comment", SEAT, "expression: seat_use", "expression: seat_use -- x", "expression", "comments"),
    ("rule_column_in_indicator", SEAT, "expression: seat_use", "expression: product_seats", "expression", "unknown column `product_seats`"),
    ("result_column_in_cap", HEALTH, "p1_open_days > 7", "health_tier < 2", "caps.2.when", "unknown column `health_tier`"),
    ("product_column_in_alert", "alerts/score_drop.yml", "health_delta_28d <= -15", "product_seats < 1",
     "when", "unknown column `product_seats`"),
    ("amount_not_numeric", "csql/tier_upgrade.yml", "amount: product_mrr * 0.5", "amount: product", "amount", "gives VARCHAR.*number"),
    ("scope_not_boolean", "scope.yml", "include: null", "include: segment", "include", "gives VARCHAR.*BOOLEAN"),
    # --- indicators and scores
    ("bad_equals_good", SEAT, "bad: 20, good: 80", "bad: 80, good: 80", "mapping.good", "both 80"),
    ("against_direction", SEAT, "bad: 20, good: 80", "bad: 80, good: 20", "mapping.good", "against direction"),
    ("steps_not_ascending", STEPS, "at_least: 46", "at_least: 95", "mapping.steps.2", "ascending"),
    ("steps_against_direction", STEPS, "{at_least: 91, points: 0}", "{at_least: 91, points: 80}",
     "mapping.steps.2", "against the direction"),
    ("ttl_without_date", STEPS, "unit: days", "unit: days\nttl_days: 5", "ttl_days", "observed_on"),
    ("cause_not_in_picklist", SEAT, "cause: low_seat_use", "cause: low_seat_usage",
     "cause", "`low_seat_usage` is not among.*`low_seat_use`"),
    ("indicator_over_cap", HEALTH, "setup_progress: 4", "setup_progress: 40",
     "profiles.0.axes.deployment.indicators.setup_progress", r"43\.5 %.*indicator_share_max is 25"),
    ("axis_over_cap", HEALTH, "deployment: {weight: 50", "deployment: {weight: 90",
     "profiles.0.axes.deployment.weight", r"64\.3 %.*axis_share_max is 60"),
    ("unknown_indicator", HEALTH, "trained_operators: 3", "trained_operator: 3",
     "profiles.0.axes.deployment.indicators.trained_operator", "no indicator.*`trained_operators`"),
    ("indicator_on_wrong_axis", HEALTH, "trained_operators: 3", "recent_touch: 3",
     "profiles.0.axes.deployment.indicators.recent_touch", "belongs to axis engagement"),
    ("axis_without_indicators", HEALTH, "outcome: {weight: 0}", "outcome: {weight: 5}", "profiles.0.axes.outcome", "no indicators"),
    ("profile_without_when_first", HEALTH, "    when: stage = 'onboarding'\n", "", "profiles.0", "no `when` and is not the last"),
    ("last_profile_with_when", HEALTH, "title: {en: Adoption, ja: 活用}", "title: {en: Adoption, ja: 活用}\n    when: seats > 1",
     "profiles.2.when", "last profile"),
    ("profile_twice", HEALTH, "name: renewal", "name: onboarding", "profiles.1.name", "used twice"),
    ("cap_twice", HEALTH, "name: champion_left", "name: churn_notice", "caps.1.name", "used twice"),
    ("edges_not_falling", HEALTH, "[80, 60, 40, 20]", "[80, 60, 60, 20]", "tiers.edges", "must fall"),
    # --- texts
    ("slot_unknown_column", SEAT, "{active_users_28d} of {seats}", "{active_users} of {seats}",
     "reasons.low.en", "unknown column `active_users`"),
    ("slot_unknown_format", SEAT, "{value:percent}", "{value:percnt}", "reasons.low.en", "unknown format `percnt`"),
    ("slot_wrong_format", SEAT, "{usage_as_of}", "{usage_as_of:percent}", "reasons.low.en", "does not fit `usage_as_of`"),
    ("slot_not_closed", SEAT, "{active_users_28d} of", "{active_users_28d of", "reasons.low.en", "no slot"),
    ("text_longer_than_field", BACK,
     "names: {salesforce: CSH_Next_Action__c, hubspot: csh_next_action}\n      type: text\n      length: 255",
     "names: {salesforce: CSH_Next_Action__c, hubspot: csh_next_action}\n      type: text\n      length: 20",
     None, "its field holds 20"),
    # --- rules
    ("rule_and_file_differ", RULE, "name: seat_expansion", "name: seats", "name", "not the file's name `seat_expansion`"),
    ("unknown_gate", CROSS, "gates: [one_product_at_a_time]", "gates: [one_product_at_time]",
     "gates.0", "no gate.*`one_product_at_a_time`"),
    ("gate_twice", POLICY, "name: no_exception", "name: healthy", "gates.4.name", "used twice"),
    ("cooldown_missing", POLICY, "nurture: 45, ", "", "cooldown_days", "`nurture` is missing"),
    ("seat_over_not_owned", RULE, "over: owned", "over: not_owned", "over", "products not owned"),
    # --- usage, products, calendar
    ("usage_column_missing", USAGE, "  day: date\n", "", "columns.day", "`day` is missing: events rows need it"),
    ("usage_stray_column", "usage/setup_status.yml", "  metric: metric", "  metric: metric\n  feature: f",
     "columns.feature", "no place in snapshot rows"),
    ("usage_column_twice", USAGE, "seconds: seconds", "seconds: events", "columns.seconds", "named twice"),
    ("usage_without_product", USAGE, "  product: product\n", "", "columns.product", "belong to no product"),
    ("usage_two_products", USAGE, "kind: events", "kind: events\nproduct: expense", "product", "one of the two"),
    ("usage_unknown_product", USAGE, "kind: events", "kind: events\nproduct: expens", "product", "not in products.yml.*`expense`"),
    ("bad_date_format", USAGE, '"%Y/%m/%d"', '"%Y/%Q"', "date_formats.1", "no date format"),
    ("date_format_not_full", USAGE, '"%Y/%m/%d"', '"%Y/%m"', "date_formats.1", "no full date"),
    ("unknown_timezone", USAGE, "timezone: Asia/Tokyo", "timezone: Asia/Tokio", "timezone", "unknown time zone.*tokyo"),
    ("replaces_wrong", USAGE, "replaces: file", "replaces: snapshot", "replaces", "does not fit kind events"),
    ("format_against_suffix", "usage/setup_status.yml", "format: csv", "format: parquet", "format", "does not fit files named"),
    ("product_twice", "products.yml", "code: invoice", "code: expense", "products.1.code", "listed twice"),
    ("bad_closure", "calendar.yml", '"12-29"', '"13-29"', "closures.0", "no date"),
    ("bad_country", "calendar.yml", "country: JP", "country: JJ", "country", "unknown country"),
    # --- crm
    ("unknown_entity", SALESFORCE, "  ticket:", "  tickets:", "entities.tickets", "unknown entity.*`ticket`"),
    ("unknown_entity_column", SALESFORCE, "employees: NumberOfEmployees", "employes: NumberOfEmployees",
     "entities.account.0.columns.employes", "unknown column.*`employees`"),
    ("required_column_missing", SALESFORCE, "        account_id: Order.AccountId\n", "",
     "entities.contract.0.columns.account_id", "`account_id` is missing"),
    ("sql_column_does_not_bind", SALESFORCE, 'coalesce("EndDate", "Order.EndDate")', 'coalesce("EndDate", "Order.End")',
     "entities.contract.0.columns.ends_on.sql", "unknown column `Order.End`"),
    ("sql_column_type", SALESFORCE, "'\"Left_On__c\" is null'", "'length(\"Left_On__c\")'",
     "entities.contact.0.columns.active.sql", "gives BIGINT, the column is BOOLEAN"),
    ("bad_field_path", SALESFORCE, "segment: Segment__c", "segment: Segment c", "entities.account.0.columns.segment", "no field path"),
    ("constant_wrong_type", SALESFORCE, "is_trial: {const: false}", "is_trial: {const: maybe}",
     "entities.contract.0.columns.is_trial.const", "true or false"),
    ("connector_column", SALESFORCE, "        name: Name\n        kind", "        id: Id\n        name: Name\n        kind",
     "entities.account.0.columns.id", "filled by the connector"),
    ("authoritative_not_mapped", SALESFORCE, "authoritative: []", "authoritative: [billing]", "authoritative.0", "not mapped here"),
    ("no_match_key", SALESFORCE, "        match_key: Tenant_ID__c", "        #", None, "no usage row would find its account"),
    ("csql_not_mapped", SALESFORCE, "  csql:\n    - object: CSH_CSQL__c", "  billing:\n    - object: CSH_CSQL__c",
     "entities", "no connection maps `csql`"),
    ("csql_key_of_another_name", SALESFORCE, "external_key: CSH_External_Key__c", "external_key: CSH_Key__c",
     "entities.csql.0.columns.external_key", "reads `CSH_Key__c`, but writeback.yml writes `CSH_External_Key__c`"),
    # --- writeback
    ("text_without_length", BACK, "length: 255", "length: null", "fields.account.main_reason.length", "length of 1 to 255"),
    ("scale_over_precision", BACK, "precision: 3\n      scale: 0", "precision: 3\n      scale: 4",
     "fields.account.health_score.scale", "scale 4 is above precision 3"),
    ("number_too_small", BACK, "precision: 3\n      scale: 0", "precision: 2\n      scale: 0",
     "fields.account.health_score.precision", "`score` needs 3"),
    ("field_too_short", BACK, "length: 12", "length: 8", "fields.account.config_version.length", "`config_version` needs 12"),
    ("picklist_value_missing", BACK, '        - {value: "1", en: 1 Critical, ja: 1 危険}\n', "",
     "fields.account.health_tier.values", "`1` is missing"),
    ("cap_without_cause", BACK, "        - {value: use_stopped, en: Use stopped, ja: 利用が停止}\n", "",
     "fields.account.cause.values", "`use_stopped` is missing"),
    ("picklist_value_twice", BACK, "{value: B, ", "{value: A, ", "fields.account.pulse.values.1.value", "listed twice"),
    ("api_name_twice", BACK, "CSH_Adoption__c", "CSH_deployment__c",
     "fields.account.adoption.names.salesforce", "already the name of field `deployment`"),
    ("api_name_not_custom", BACK, "CSH_Adoption__c", "CSH_Adoption", "fields.account.adoption.names.salesforce", "ending in __c"),
    ("api_name_too_long", BACK, "CSH_Adoption__c", "CSH_" + "A" * 37 + "__c",
     "fields.account.adoption.names.salesforce", "41 characters before __c"),
    ("no_name_for_vendor", BACK, "names: {salesforce: CSH_Adoption__c, hubspot: csh_adoption}", "names: {}",
     "fields.account.adoption.names", "no name in salesforce"),
    ("value_not_a_column", BACK, "value: delta_28d", "value: delta_30d",
     "fields.account.health_delta.value", "no `delta_30d` to write.*`delta_28d`"),
    ("value_wrong_type", BACK, "value: delta_28d", "value: cause", "fields.account.health_delta.type", "cannot take `cause`"),
    ("human_field_with_update", BACK,
     "owner: human\n      names: {salesforce: CSH_CSM_Pulse__c, hubspot: csh_csm_pulse}",
     "owner: human\n      update: always\n      names: {salesforce: CSH_CSM_Pulse__c, hubspot: csh_csm_pulse}",
     "fields.account.pulse.update", "the worker never writes it"),
    ("formula_of_worker", BACK, "owner: crm", "owner: worker\n      value: score", "fields.account.days_left.formula", "owner crm"),
    ("max_age_without_ride_along", BACK,
     "      update: ride_along\n      max_age_days: 56\n      section: 3",
     "      max_age_days: 56\n      section: 3",
     "fields.account.health_delta.max_age_days", "ride_along"),
    ("section_twice", BACK, "section: 2\n", "section: 1\n", "fields.account.health_score.section", "taken by field `health_tier`"),
    ("external_key_twice", BACK, "csh_title}\n      type: text", "csh_title}\n      external_key: true\n      type: text",
     "fields.csql.title.external_key", "two external keys"),
    ("external_key_missing", BACK, "      external_key: true\n", "", "fields.csql", "could be created twice"),
    ("unknown_object", BACK, "  csql:\n    external_key", "  csqls:\n    external_key", "fields.csqls", "unknown object.*`csql`"),
    ("unknown_field_attribute", BACK, "section: 2\n", "sektion: 2\n", "fields.account.health_score.sektion", "unknown key.*`section`"),
    ("label_too_long", BACK, "label: {en: Score, ja", "label: {en: " + "S" * 41 + ", ja",
     "fields.account.health_score.label.en", "at most 40"),
    ("lookup_without_target", BACK, "      reference_to: Account\n", "", "fields.csql.account.reference_to", "lookup"),
]  # fmt: skip


@pytest.mark.parametrize(("file", "old", "new", "key", "words"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_a_wrong_file_is_told_with_file_line_and_key(folder: Path, file: str, old: str, new: str, key: str | None, words: str) -> None:
    patch(folder, file, old, new)
    found = faults(folder)
    told = [f for f in found if key is None or (f.file == file and f.key == key)]
    assert told, f"no fault at {file} {key}: {[str(f) for f in found]}"
    assert any(re.search(words, f"{f.text} {f.remedy}", re.DOTALL | re.IGNORECASE) for f in told), [str(f) for f in told]
    assert all(f.line > 0 for f in told)


def test_the_line_is_that_of_the_key(folder: Path) -> None:
    # line 3 of the file as written below is the misspelt key
    path = folder / "scope.yml"
    path.write_text("include: null\npilot: []\nshadw: true\n", encoding="utf-8")
    assert [(f.file, f.line, f.key) for f in faults(folder)] == [("scope.yml", 3, "shadw")]


def test_a_fault_inside_a_nested_list_has_its_own_line(folder: Path) -> None:
    line = patch(folder, HEALTH, "p1_open_days > 7", "p1_open_dayz > 7")
    assert [(f.file, f.line, f.key) for f in faults(folder)] == [(HEALTH, line, "caps.2.when")]


@pytest.mark.parametrize(
    ("content", "line", "words"),
    [
        (b"name: [1, 2\nx: 1\n", 2, "not YAML"),
        (b"a: 1\n b: 2\n", 2, "not YAML"),
        (b"- a\n- b\n", 1, "not a list"),
        (b"name: x\nja: \x93\xfa\n", 2, "UTF-8"),
        (b"name: !!python/object:os.system x\n", 1, "unknown YAML tag"),
        (b"a: &a [x, x, x, x, x, x, x, x, x, x]\nb: &b [*a, *a, *a, *a, *a, *a, *a, *a, *a, *a]\nc: &c [*b, *b, *b, *b, *b, *b, *b, *b, *b, *b]\n"
         b"d: &d [*c, *c, *c, *c, *c, *c, *c, *c, *c, *c]\ne: [*d, *d, *d, *d, *d, *d, *d, *d, *d, *d]\n", 0, "more than"),
    ],
    ids=["unclosed", "indentation", "list", "shift_jis", "tag", "alias_bomb"],
)  # fmt: skip
def test_a_file_that_is_no_mapping(folder: Path, content: bytes, line: int, words: str) -> None:
    (folder / RULE).write_bytes(content)
    told = [f for f in faults(folder) if f.file == RULE]
    assert any(f.line == line and words in f.text for f in told), [str(f) for f in told]


def test_two_rules_with_one_name_are_both_named(folder: Path) -> None:
    shutil.copy(folder / RULE, folder / "csql/seat_more.yml")
    told = faults(folder)
    assert {f.file for f in told} == {"csql/seat_more.yml"}
    assert any("two files have the name `seat_expansion`" in f.text and RULE in f.text for f in told)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("indicators/extra.yaml", "rename it to .yml"),
        ("indicator/extra.yml", "`indicators`"),
        ("scpe.yml", "`scope.yml`"),
        ("csql/more/extra.yml", "would not be read"),
    ],
)
def test_a_file_that_nobody_would_read_is_a_fault(folder: Path, name: str, words: str) -> None:
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(folder / RULE, folder / name)
    assert [f for f in faults(folder) if f.file == name and words in f"{f.text} {f.remedy}"]


@pytest.mark.parametrize("name", ["writeback.yml", "products.yml", "csql_policy.yml", "scores/health.yml", "crm/salesforce.yml"])
def test_a_file_that_must_be_there(folder: Path, name: str) -> None:
    (folder / name).unlink()
    told = faults(folder)
    assert any(f.file in (name, name.split("/")[0] + "/") and "copy the shipped one" in f.remedy for f in told), [str(f) for f in told]


def test_scope_and_calendar_may_be_absent(folder: Path) -> None:
    (folder / "scope.yml").unlink()
    (folder / "calendar.yml").unlink()
    mappings, _ = load_checked(folder)
    assert mappings.calendar.timezone == "Asia/Tokyo"
    assert mappings.scope.shadow is False


def test_the_policy_may_be_absent_without_rules(folder: Path) -> None:
    shutil.rmtree(folder / "csql")
    (folder / "csql_policy.yml").unlink()
    mappings, _ = load_checked(folder)
    assert (mappings.csql, mappings.policy.gates) == ({}, [])


def test_a_contract_keyed_export_needs_no_product(folder: Path) -> None:
    patch(folder, USAGE, "  product: product\n", "")
    patch(folder, USAGE, "matches: account", "matches: contract")
    patch(folder, SALESFORCE, "churned_on: Order", "match_key: Order.Contract.ContractNumber\n        churned_on: Order")
    load_checked(folder)


def test_a_second_score_is_refused(folder: Path) -> None:
    text = (folder / HEALTH).read_text("utf-8")
    (folder / "scores/other.yml").write_text(text.replace("name: health", "name: other"), encoding="utf-8")
    assert [f.file for f in faults(folder)] == ["scores/other.yml"]


def test_a_missing_folder_says_what_to_set(tmp_path: Path) -> None:
    with pytest.raises(MappingFaults, match="SCORESYNC_MAPPINGS"):
        load_checked(tmp_path / "nowhere")


def test_a_faulty_indicator_is_not_called_missing_by_the_score(folder: Path) -> None:
    patch(folder, SEAT, "axis: deployment", "axis: nowhere")
    assert {f.file for f in faults(folder)} == {SEAT}


def test_two_sources_of_the_same_files(folder: Path) -> None:
    text = (folder / USAGE).read_text("utf-8")
    (folder / "usage/again.yml").write_text(text.replace("name: product_events", "name: again"), encoding="utf-8")
    assert [f.key for f in faults(folder)] == ["glob"]


def test_two_connections_authoritative_for_one_entity(folder: Path) -> None:
    text = (folder / SALESFORCE).read_text("utf-8")
    (folder / "crm/second.yml").write_text(text.replace("connection: salesforce", "connection: second"), encoding="utf-8")
    told = faults(folder)
    assert {(f.file, f.key) for f in told} == {("crm/second.yml", "authoritative")}
    assert any("`account` is already authoritative" in f.text for f in told)


def test_every_fault_of_every_file_in_one_report(folder: Path) -> None:
    chosen = ["duplicate_key", "bad_equals_good", "steps_not_ascending", "axis_over_cap", "edges_not_falling", "unknown_gate", "amount_not_numeric",
              "cooldown_missing", "bad_date_format", "bad_closure", "product_twice", "unknown_entity_column", "scope_not_boolean",
              "value_not_a_column", "external_key_twice", "lookup_without_target"]  # fmt: skip
    by_id = {case[0]: case[1:] for case in CASES}
    for name in chosen:
        file, old, new, _, _ = by_id[name]
        patch(folder, file, old, new)
    told = faults(folder)
    places = {(f.file, f.key) for f in told}
    assert {(by_id[name][0], by_id[name][3]) for name in chosen} <= places
    assert told == sorted(told)
    with pytest.raises(MappingFaults) as caught:
        load_checked(folder)
    report = str(caught.value)
    assert report.splitlines()[0].startswith(f"{len(told)} faults in the mappings under")
    assert len(report.splitlines()) == len(told) + 1


def test_warnings_do_not_stop_a_load(folder: Path) -> None:
    (folder / "indicators/extra.yml").write_text(
        (folder / "indicators/outcome_recency.yml").read_text("utf-8").replace("name: outcome_recency", "name: extra"), encoding="utf-8"
    )
    patch(
        folder,
        HEALTH,
        "indicators: {outcome_change: 4, outcome_recency: 1}}\ncaps",
        "indicators: {outcome_change: 4, outcome_recency: 1, extra: 1}}\ncaps",
    )
    patch(folder, "indicators/nps.yml", "feed: survey", "feed: ticket")
    mappings, warnings = load_checked(folder)
    assert "extra" in mappings.indicators
    assert [(w.file, w.key) for w in warnings] == [("indicators/nps.yml", "feed"), (HEALTH, "profiles.2.axes")]
    assert "11 indicators" in warnings[1].text
