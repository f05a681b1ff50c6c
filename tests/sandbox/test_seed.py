"""The demo's firm: the same each time, in the right proportions, and its archetypes to be seen in the data alone."""

import csv
import gzip
import json
import re
from collections import Counter, defaultdict
from collections.abc import Iterator
from datetime import date, timedelta
from functools import cache
from pathlib import Path

import duckdb
import pytest

from connectors.salesforce.sandbox.seed import Company, Ref, UsageFiles, generate, write_usage
from connectors.sandbox_kit.firm.calendar import Calendar
from connectors.sandbox_kit.firm.model import ARCHETYPES, apportion

TODAY = date(2026, 12, 1)
CALENDAR = Calendar(date(2025, 1, 1), date(2027, 1, 1))


@cache
def firm(accounts: int = 500, seed: int = 7) -> Company:
    return generate(accounts, seed, TODAY)


@pytest.fixture(scope="module")
def export(tmp_path_factory: pytest.TempPathFactory) -> tuple[Company, UsageFiles, Path]:
    folder = tmp_path_factory.mktemp("seed")
    company = firm(160)
    return company, write_usage(company, folder), folder / "usage"


@pytest.fixture(scope="module")
def usage(export: tuple[Company, UsageFiles, Path]) -> Iterator[duckdb.DuckDBPyConnection]:
    """Table `rows` of the good rows of all files: tenant, product, person, feature, day, events."""
    folder = export[2]
    con = duckdb.connect()
    con.execute(f"""
        create table rows as
        with text as (
            select tenant_id, product, user_id, feature, try_cast(date as date) as day,
                   try_cast(events as bigint) as events, try_cast(seconds as bigint) as s
            from read_csv('{folder}/events_*.csv*', all_varchar = true, header = true)
            union all select tenant_id, product, user_id, feature, date, events, seconds from read_parquet('{folder}/events_*.parquet'))
        select tenant_id as tenant, product, user_id as person, feature, day, events from text
        where tenant_id is not null and day < date '{TODAY}' and events >= 0 and s >= 0""")
    yield con
    con.close()


def values(con: duckdb.DuckDBPyConnection, sql: str) -> dict[object, object]:
    return dict(con.execute(sql).fetchall())


def accounts_of(company: Company, archetype: str) -> list[str]:
    found = [key for key, kind in company.archetypes.items() if kind == archetype]
    assert found, f"no {archetype} among {company.accounts} accounts"
    return found


# -- the same each time --------------------------------------------------------------------------------------------------------------------


def test_same_arguments_give_the_same_records() -> None:
    one, two, other = generate(40, 7, TODAY), generate(40, 7, TODAY), generate(40, 8, TODAY)
    assert json.dumps(one.records, ensure_ascii=False) == json.dumps(two.records, ensure_ascii=False)
    assert json.dumps(one.records) != json.dumps(other.records)


def test_same_arguments_give_the_same_files_byte_for_byte(tmp_path: Path) -> None:
    first, second = (write_usage(generate(30, 7, TODAY), tmp_path / name) for name in ("a", "b"))
    assert [path.name for path in first.files] == [path.name for path in second.files]
    assert [path.read_bytes() for path in first.files] == [path.read_bytes() for path in second.files]


@pytest.mark.parametrize("accounts", [1, 2, 5, 10, 13, 37])
def test_any_number_of_accounts_is_met_exactly(accounts: int) -> None:
    company = generate(accounts, 3, TODAY)
    assert len(company.records["Account"]) == accounts == len(company.archetypes)


def test_no_accounts_is_refused() -> None:
    with pytest.raises(ValueError, match="ask for at least 1"):
        generate(0, 1, TODAY)


@pytest.mark.parametrize("today", [date(2026, 1, 2), date(2024, 2, 29), date(2027, 5, 6)])
def test_any_day_can_be_today(today: date, tmp_path: Path) -> None:
    company = generate(15, 1, today)
    files = write_usage(company, tmp_path)
    assert files.rows > 0
    assert all(row["CreatedDate"][:10] < today.isoformat() for rows in company.records.values() for row in rows)


# -- proportions ---------------------------------------------------------------------------------------------------------------------------


def test_apportion_gives_the_rest_to_the_largest_remainders() -> None:
    # 10 places: one each, 7 left: 3.5 / 2.1 / 1.4 → 3 + 2 + 1, and the one over goes to the remainder .5
    assert apportion(10, {"a": 0.5, "b": 0.3, "c": 0.2}) == {"a": 5, "b": 3, "c": 2}
    assert apportion(2, {"a": 0.5, "b": 0.3, "c": 0.2}) == {"a": 1, "b": 1, "c": 0}


def test_customers_prospects_and_partners_have_their_shares() -> None:
    types = Counter(row["Type"] for row in firm().records["Account"])
    assert types == {"Customer": 425, "Prospect": 50, "Partner": 25}  # 85 / 10 / 5 % of 500


def test_every_archetype_has_its_share() -> None:
    counts = Counter(firm().archetypes.values())
    for kind, share in ARCHETYPES.items():
        assert abs(counts[kind] - share * 425) <= 3, kind


def test_more_contracts_end_with_the_fiscal_year_than_in_any_other_month() -> None:
    ends = Counter(row["EndDate"][5:] for row in firm().records["Order"] if row["EndDate"] >= TODAY.isoformat())
    (first, most), (_, second) = ends.most_common(2)
    assert first == "03-31"
    assert most > 2 * second


def test_terms_and_notice_dates_are_as_in_a_real_firm() -> None:
    contracts = firm().records["Contract"]
    yearly = [row for row in contracts if row["ContractTerm"] > 1]
    assert 0.75 < sum(row["Notice_On__c"] is not None for row in yearly) / len(yearly) < 0.89
    assert {1, 6, 12, 24} <= {row["ContractTerm"] for row in contracts}
    current = [row for row in contracts if row["Status"] == "Activated"]
    assert sum(row["ContractTerm"] == 12 for row in current) > 0.7 * len(current)


def test_a_few_customers_lack_the_key_of_the_usage_export() -> None:
    lacking = [row for row in firm().records["Account"] if row["Type"] == "Customer" and row["Tenant_ID__c"] is None]
    assert 4 <= len(lacking) <= 15
    keys = [row["Tenant_ID__c"] for row in firm().records["Account"] if row.get("Tenant_ID__c")]
    assert len(keys) == len(set(keys))


# -- integrity -----------------------------------------------------------------------------------------------------------------------------


def test_every_reference_meets_a_record() -> None:
    company = firm()
    known = {(name, row["_key"]) for name, rows in company.records.items() for row in rows}
    assert len(known) == sum(map(len, company.records.values())), "keys are unique within an object"
    for name, rows in company.records.items():
        for row in rows:
            for field, value in row.items():
                assert not isinstance(value, Ref) or (value.object, value.key) in known, f"{name}.{field} {value}"


def test_order_lines_lie_within_their_contract() -> None:
    company = firm()
    contracts = {row["_key"]: row for row in company.records["Contract"]}
    orders = {row["_key"]: row for row in company.records["Order"]}
    for item in company.records["OrderItem"]:
        order = orders[item["OrderId"].key]
        contract = contracts[order["ContractId"].key]
        assert contract["StartDate"] <= order["EffectiveDate"] == item["ServiceDate"] <= item["EndDate"] == order["EndDate"]
        assert item["Quantity"] >= 1


def test_seats_in_force_are_the_seats_of_the_usage_line() -> None:
    company = firm()
    held: dict[tuple[str, str], int] = defaultdict(int)
    accounts = {row["_key"]: row["AccountId"].key for row in company.records["Order"]}
    for item in company.records["OrderItem"]:
        if item["ServiceDate"] <= TODAY.isoformat() <= item["EndDate"]:
            held[company.tenants[accounts[item["OrderId"].key]], item["Product2Id"].key] += item["Quantity"]
    lines = {(line.tenant, line.product): line.seats for line in company.lines if line.shape != "churned"}
    assert held == lines


def test_records_do_not_say_what_archetype_is_behind_them() -> None:
    company = firm()
    texts = {str(value) for rows in company.records.values() for row in rows for field, value in row.items() if field != "_key"}
    assert not texts & (set(ARCHETYPES) | {"prospect", "partner"})


def test_addresses_are_reserved_names_and_firms_have_names_of_their_own() -> None:
    company = firm()
    for name in ("Contact", "User"):
        assert all(re.fullmatch(r"[a-z0-9.\-]+@[a-z0-9\-]+\.example", row["Email"]) for row in company.records[name])
    assert all(row["Website"].endswith(".example") for row in company.records["Account"])
    names = Counter(row["Name"] for row in company.records["Account"])
    assert names.most_common(1)[0][1] == 1


def test_nothing_has_happened_today_or_later() -> None:
    company, today = firm(), TODAY.isoformat()
    for rows in company.records.values():
        assert all(row["CreatedDate"] <= row["SystemModstamp"] < today for row in rows)
    assert all(row["CompletedDateTime"] < today for row in company.records["Task"] if row["Status"] == "Completed")
    assert any(row["ActivityDate"] >= today for row in company.records["Event"]), "meetings are planned"


# -- archetypes in the records -------------------------------------------------------------------------------------------------------------


def test_archetypes_show_in_the_records() -> None:
    company = firm()
    by_account: dict[tuple[str, str], list[dict[str, object]]] = defaultdict(list)
    for name in ("Contact", "Case", "Task", "Contract"):
        for row in company.records[name]:
            by_account[name, row["AccountId"].key].append(row)
    for key in accounts_of(company, "champion_left"):
        champions = [row for row in by_account["Contact", key] if row["Role__c"] == "champion"]
        assert champions
        assert all(str(row["Left_On__c"]) <= (TODAY - timedelta(days=30)).isoformat() for row in champions)
    for key in accounts_of(company, "escalation"):
        urgent = [row for row in by_account["Case", key] if row["IsEscalated"] and row["ClosedDate"] is None and row["Priority"] == "High"]
        assert [row for row in urgent if str(row["CreatedDate"]) < (TODAY - timedelta(days=7)).isoformat()]
    for key in accounts_of(company, "never_started"):
        steps = [row for row in by_account["Task", key] if row["CSM_Kind__c"] == "onboarding_step"]
        assert sum(row["Status"] != "Completed" and str(row["ActivityDate"]) < TODAY.isoformat() for row in steps) >= 1
    for key in accounts_of(company, "onboarding"):
        [contract] = by_account["Contract", key]
        assert (TODAY - date.fromisoformat(str(contract["StartDate"]))).days < 90
        steps = [row for row in by_account["Task", key] if row["CSM_Kind__c"] == "onboarding_step"]
        assert not [row for row in steps if row["Status"] != "Completed" and str(row["ActivityDate"]) < TODAY.isoformat()]
    for key in accounts_of(company, "churned"):
        assert all(str(row["Churned_On__c"]) < TODAY.isoformat() and row["Churn_Reason__c"] for row in by_account["Contract", key])


def test_some_customers_have_given_notice_while_their_contract_still_runs() -> None:
    company = firm()
    noticed = {row["_key"]: row["Churn_Notice_On__c"] for row in company.records["Account"] if row.get("Churn_Notice_On__c")}
    running = [row for row in company.records["Contract"] if row["Churned_On__c"] and row["Churned_On__c"] > TODAY.isoformat()]
    assert {company.archetypes[key] for key in noticed} == {"churned", "decline"}
    assert running
    assert all(noticed[row["AccountId"].key] < TODAY.isoformat() and row["Status"] == "Activated" for row in running)


def test_cross_sell_accounts_own_one_product() -> None:
    company = firm()
    products = Counter(line.tenant for line in company.lines)
    assert {products[company.tenants[key]] for key in accounts_of(company, "cross_sell")} == {1}


# -- archetypes in the usage ---------------------------------------------------------------------------------------------------------------


def active(usage: duckdb.DuckDBPyConnection, last: date, days: int = 28) -> dict[object, object]:
    """(tenant/product) → distinct people in the `days` that end with `last`."""
    first = last - timedelta(days=days - 1)
    return values(usage, f"select tenant || '/' || product, count(distinct person) from rows where day between '{first}' and '{last}' group by 1")


def shares(company: Company, people: dict[object, object], shape: str) -> list[float]:
    lines = [line for line in company.lines if line.shape == shape]
    assert lines
    return [int(str(people.get(f"{line.tenant}/{line.product}", 0))) / line.seats for line in lines]


def test_sudden_stop_has_no_row_in_the_last_15_business_days(export: tuple[Company, UsageFiles, Path], usage: duckdb.DuckDBPyConnection) -> None:
    company = export[0]
    last = values(usage, "select tenant, max(day) from rows group by 1")
    first_empty = CALENDAR.back(TODAY, 15)
    for key in accounts_of(company, "sudden_stop"):
        assert first_empty - timedelta(days=14) < last[company.tenants[key]] < first_empty  # type: ignore[operator]


def test_saturated_lines_fill_90_percent_of_seats_for_three_weeks(export: tuple[Company, UsageFiles, Path], usage: duckdb.DuckDBPyConnection) -> None:
    for back in range(1, 23):
        assert min(shares(export[0], active(usage, TODAY - timedelta(days=back)), "saturated")) >= 0.9, back


def test_other_healthy_lines_leave_seats_free(export: tuple[Company, UsageFiles, Path], usage: duckdb.DuckDBPyConnection) -> None:
    steady = [share for share in shares(export[0], active(usage, TODAY - timedelta(days=1)), "steady") if share]
    assert 0.55 < sum(steady) / len(steady) < 0.8


def test_never_started_lines_are_empty_but_for_a_first_look(export: tuple[Company, UsageFiles, Path], usage: duckdb.DuckDBPyConnection) -> None:
    counts = values(usage, "select tenant, count(distinct day) from rows group by 1")
    assert all(int(str(counts.get(export[0].tenants[key], 0))) <= 7 for key in accounts_of(export[0], "never_started"))


def test_decline_and_growth_show_against_half_a_year_ago(export: tuple[Company, UsageFiles, Path], usage: duckdb.DuckDBPyConnection) -> None:
    now, then = active(usage, TODAY - timedelta(days=1)), active(usage, TODAY - timedelta(days=183))
    for shape, low, high in (("decline", 0.0, 0.6), ("growth", 1.15, 3.0)):
        before, after = (sum(shares(export[0], people, shape)) for people in (then, now))
        assert low < after / before < high, shape


def test_plan_limit_knocks_at_the_higher_plan_from_lite(export: tuple[Company, UsageFiles, Path], usage: duckdb.DuckDBPyConnection) -> None:
    first = TODAY - timedelta(days=28)
    advanced = "sum(events) filter (feature in ('api', 'approval_advanced')) * 1.0 / sum(events)"
    heavy = values(usage, f"select tenant || '/' || product, {advanced} from rows where day >= '{first}' group by 1")
    lines = [line for line in export[0].lines if line.shape == "plan_limit"]
    assert lines
    for line in lines:
        assert line.plan == "lite"
        assert float(str(heavy[f"{line.tenant}/{line.product}"])) >= 0.1
    other = {f"{line.tenant}/{line.product}" for line in export[0].lines if line.plan != "pro" and line.shape != "plan_limit"}
    assert not [name for name in other if heavy.get(name)]


def test_nobody_uses_a_product_outside_its_contract(export: tuple[Company, UsageFiles, Path], usage: duckdb.DuckDBPyConnection) -> None:
    spans = usage.execute("select tenant, product, min(day), max(day) from rows where tenant not like 't-99%' group by all").fetchall()
    lines = {(line.tenant, line.product): line for line in export[0].lines}
    for tenant, product, first, last in spans:
        line = lines[tenant, product]
        assert line.started <= first
        assert last < (line.stopped or TODAY)


# -- rhythms -------------------------------------------------------------------------------------------------------------------------------


def daily(usage: duckdb.DuckDBPyConnection, product: str, feature: str = "%") -> dict[date, int]:
    return dict(usage.execute("select day, sum(events) from rows where product = ? and feature like ? group by 1", [product, feature]).fetchall())


def mean(rows: dict[date, int], days: list[date]) -> float:
    return sum(rows.get(day, 0) for day in days) / len(days)


@pytest.mark.parametrize("product", ["expense", "invoice", "attendance"])
def test_offices_are_empty_on_weekends_holidays_and_over_new_year(product: str, usage: duckdb.DuckDBPyConnection) -> None:
    used = daily(usage, product)
    for shut in (date(2026, 5, 4), date(2026, 5, 6), date(2025, 12, 29), date(2025, 12, 31), date(2026, 1, 2), date(2026, 9, 21), date(2026, 11, 28)):
        assert used.get(shut, 0) == 0, shut
    assert all(CALENDAR.is_business(day) for day in used)


@pytest.mark.parametrize("product", ["expense", "invoice", "attendance", "esign"])
def test_golden_week_is_low_on_its_working_days_too(product: str, usage: duckdb.DuckDBPyConnection) -> None:
    # 1 and 7 May 2026 are working days beside the holidays; compared with the same days of the month in June (1st: Monday) and July
    used = daily(usage, product, {"attendance": "clock"}.get(product, "%"))
    ordinary = [date(2026, 6, 1), date(2026, 6, 8), date(2026, 7, 1), date(2026, 7, 8)]
    assert mean(used, [date(2026, 5, 1), date(2026, 5, 7)]) < 0.75 * mean(used, ordinary)


@pytest.mark.parametrize(("product", "feature", "times"), [("invoice", "%", 1.8), ("expense", "%", 1.5), ("attendance", "month_%", 20)])
def test_work_peaks_at_the_month_end(product: str, feature: str, times: float, usage: duckdb.DuckDBPyConnection) -> None:
    used = daily(usage, product, feature)
    # September 2026 ends on a Wednesday, October on a Friday; the 8th, 9th, 16th are ordinary days of both
    peak = [date(2026, 9, 29), date(2026, 9, 30), date(2026, 10, 29), date(2026, 10, 30)]
    assert mean(used, peak) > times * mean(used, [date(2026, 9, 9), date(2026, 9, 16), date(2026, 10, 8), date(2026, 10, 16)])


# -- files ---------------------------------------------------------------------------------------------------------------------------------


def test_thirteen_months_of_files_up_to_yesterday(export: tuple[Company, UsageFiles, Path]) -> None:
    names = sorted(path.name for path in export[2].glob("events_*"))
    monthly = [f"events_{month}.csv.gz" for month in ("2025-11", *(f"2026-{n:02d}" for n in range(1, 11)))]
    assert names == sorted([*monthly, "events_2025-12.parquet", *(f"events_2026-11-{n:02d}.csv" for n in range(1, 31))])
    assert (export[2] / "setup" / "setup_status.csv").exists()


def test_current_month_comes_as_daily_files_also_in_its_middle(tmp_path: Path) -> None:
    files = write_usage(generate(5, 1, date(2026, 3, 10)), tmp_path)
    daily_files = sorted(path.name for path in files.files if path.suffix == ".csv" and path.name.startswith("events"))
    assert daily_files == [f"events_2026-03-{n:02d}.csv" for n in range(1, 10)]


def test_every_file_has_its_header_and_a_closed_sunday_has_no_more(export: tuple[Company, UsageFiles, Path]) -> None:
    header = "tenant_id,product,user_id,feature,date,events,seconds"
    for path in export[1].files:
        if path.suffix == ".gz":
            with gzip.open(path, "rt", encoding="utf-8") as text:
                assert text.readline().strip() == header
        elif path.suffix == ".csv" and path.parent.name == "usage":
            assert path.read_text(encoding="utf-8").splitlines()[0] == header


def wrong(row: dict[str, str]) -> bool:
    """A plain reader's view of a row that cannot be counted."""
    try:
        day = date.fromisoformat(row["date"])
        return not row["tenant_id"] or day >= TODAY or int(row["events"]) < 0 or int(row["seconds"]) < 0
    except ValueError:
        return True


def test_bad_and_unknown_rows_are_as_many_as_said(export: tuple[Company, UsageFiles, Path]) -> None:
    company, files, folder = export
    good, bad, unknown, tenants = 0, 0, 0, set(company.tenants.values())
    for path in [*folder.glob("events_*.csv.gz"), *folder.glob("events_*.csv")]:
        with gzip.open(path, "rt", encoding="utf-8") if path.suffix == ".gz" else path.open(encoding="utf-8") as text:
            for row in csv.DictReader(text):
                if wrong(row):
                    bad += 1
                elif row["tenant_id"] not in tenants:
                    unknown += 1
                else:
                    good += 1
    with duckdb.connect() as con:
        [(parquet,)] = con.execute(f"select count(*) from read_parquet('{folder}/*.parquet')").fetchall()
    assert (good + parquet, bad, unknown) == (files.rows, files.bad_rows, files.unknown_tenant_rows)
    assert 10 <= bad <= 25
    assert unknown > 0


def test_setup_snapshot_tells_starters_from_those_who_never_did(export: tuple[Company, UsageFiles, Path]) -> None:
    company, _, folder = export
    with (folder / "setup" / "setup_status.csv").open(encoding="utf-8") as text:
        found = {(row["tenant_id"], row["product"], row["metric"]): int(row["value"]) for row in csv.DictReader(text)}
    for line in company.lines:
        if line.shape == "churned":
            assert (line.tenant, line.product, "setup_steps_done") not in found
            continue
        done, total, seats = (found[line.tenant, line.product, metric] for metric in ("setup_steps_done", "setup_steps_total", "seats_provisioned"))
        assert 0 <= done <= total
        assert seats <= line.seats
        if line.shape == "never_started":
            assert done <= 1
        elif line.shape != "onboarding":
            assert done == total
