"""What statements mean: nulls, dates, joins, aggregates, ordering, over hand-made rows. The wire is in test_soql.py."""

from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from connectors.salesforce.sandbox.soql_dates import literal_days, midnight
from connectors.salesforce.sandbox.soql_result import csv_headers, csv_rows, execute, first_page, next_page, prepare
from connectors.salesforce.sandbox.state import State, User

API = "/services/data/v62.0"
STAMPS = [f"2026-01-05T03:41:0{second}.000+0000" for second in range(7)]
ACCOUNTS: list[dict[str, Any]] = [
    {"Name": "acme", "Industry": None, "AnnualRevenue": None, "NumberOfEmployees": 0},
    {"Name": "Beta", "Industry": "Banking", "AnnualRevenue": 1_000_000.0, "NumberOfEmployees": 1},
    {"Name": "gamma_1", "Industry": "Energy", "AnnualRevenue": 250_000.0, "NumberOfEmployees": 2},
    {"Name": "Gamma%2", "Industry": None, "AnnualRevenue": None, "NumberOfEmployees": 3},
    {"Name": "O'Neil", "Industry": "Banking", "AnnualRevenue": 1_000_000.0, "NumberOfEmployees": 4},
    {"Name": "ACME", "Industry": "Energy", "AnnualRevenue": 250_000.5, "NumberOfEmployees": 5},
    {"Name": "gone", "Industry": "Energy", "AnnualRevenue": 1.0, "NumberOfEmployees": 6, "IsDeleted": True},
]


class Org:
    """Seven accounts, four contacts, one call; `names` runs a statement and returns one column."""

    def __init__(self, path: Path) -> None:
        self.state = State(path / "org.db")
        self.state.set_clock(now=datetime(2026, 1, 15, 3, 0, tzinfo=UTC), frozen=True)  # 12:00 in Tokyo, a Thursday
        self.user: User = self.state.user("admin")
        rows = [row | {"SystemModstamp": stamp, "CreatedDate": stamp, "OwnerId": self.user.id} for row, stamp in zip(ACCOUNTS, STAMPS, strict=True)]
        self.accounts = self.state.bulk_load("Account", rows)
        contacts = [{"LastName": f"L{number}", "AccountId": self.accounts[number % 2], "OwnerId": self.user.id} for number in range(4)]
        self.contacts = self.state.bulk_load("Contact", contacts)
        task = {"Subject": "call", "WhatId": self.accounts[1], "WhoId": self.contacts[0], "OwnerId": self.user.id, "Status": "Completed"}
        self.tasks = self.state.bulk_load("Task", [task])

    def run(self, soql: str, **options: Any) -> list[dict[str, Any]]:
        return execute(self.state, self.user, soql, api_path=API, **options).records

    def names(self, where: str, **options: Any) -> list[str]:
        return sorted(row["Name"] for row in self.run(f"SELECT Name FROM Account WHERE {where}", **options))


@pytest.fixture(scope="module")
def org(tmp_path_factory: pytest.TempPathFactory) -> Org:
    return Org(tmp_path_factory.mktemp("org"))


LIVE = ["ACME", "Beta", "Gamma%2", "O'Neil", "acme", "gamma_1"]


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        ("Name = 'AcMe'", ["ACME", "acme"]),
        ("Name != 'acme'", ["Beta", "Gamma%2", "O'Neil", "gamma_1"]),
        ("Name = 'O\\'Neil'", ["O'Neil"]),
        ("Industry = null", ["Gamma%2", "acme"]),
        ("Industry = ''", ["Gamma%2", "acme"]),
        ("Industry != null", ["ACME", "Beta", "O'Neil", "gamma_1"]),
        # a null differs from every value …
        ("Industry != 'Banking'", ["ACME", "Gamma%2", "acme", "gamma_1"]),
        ("Industry NOT IN ('Banking', 'Energy')", ["Gamma%2", "acme"]),
        ("Industry IN ('Banking', null)", ["Beta", "Gamma%2", "O'Neil", "acme"]),
        ("Industry NOT IN ('Banking', null)", ["ACME", "gamma_1"]),
        # … and is neither smaller nor greater, so NOT makes it true
        ("AnnualRevenue < 500000", ["ACME", "gamma_1"]),
        ("NOT AnnualRevenue < 500000", ["Beta", "Gamma%2", "O'Neil", "acme"]),
        ("NOT (AnnualRevenue < 500000 OR Industry = null)", ["Beta", "O'Neil"]),
        ("NOT Industry LIKE 'b%'", ["ACME", "Gamma%2", "acme", "gamma_1"]),
        ("Name LIKE 'gamma_%'", ["Gamma%2", "gamma_1"]),
        ("Name LIKE 'gamma\\_%'", ["gamma_1"]),
        ("Name LIKE '%\\%%'", ["Gamma%2"]),
        ("AnnualRevenue >= 250000.5", ["ACME", "Beta", "O'Neil"]),
        ("Parent.Name = null", LIVE),
        ("Parent.IsDeleted = false", LIVE),
        ("Owner.IsActive = null AND Name = 'beta'", []),
        ("Id IN (SELECT AccountId FROM Contact)", ["Beta", "acme"]),
        ("Id NOT IN (SELECT AccountId FROM Contact WHERE LastName = 'L0')", ["ACME", "Beta", "Gamma%2", "O'Neil", "gamma_1"]),
        ("(Name = 'acme' OR Name = 'beta') AND Industry = 'Banking'", ["Beta"]),
        ("CreatedDate = LAST_N_DAYS:10", LIVE),
        ("CreatedDate = LAST_N_DAYS:9", []),
        ("CreatedDate = 2026-01-05T12:41:03+09:00", ["Gamma%2"]),
        ("CreatedDate > 2026-01-05T03:41:03Z", ["ACME", "O'Neil"]),
        ("DAY_ONLY(CreatedDate) = 2026-01-05 AND NumberOfEmployees > 3", ["ACME", "O'Neil"]),
    ],
)
def test_where(org: Org, where: str, expected: list[str]) -> None:
    assert org.names(where) == expected


def test_deleted_rows_only_with_all_rows(org: Org) -> None:
    assert org.names("IsDeleted = true") == []
    assert org.names("IsDeleted = true", all_rows=True) == ["gone"]


def test_fifteen_character_id(org: Org) -> None:
    assert org.names(f"Id = '{org.accounts[1][:15]}'") == ["Beta"]


def test_keyset_walk_returns_every_row_once(org: Org) -> None:
    seen, stamp, last = [], "2026-01-01T00:00:00Z", "001000000000000AAA"
    while rows := org.run(
        f"SELECT Id, SystemModstamp FROM Account WHERE (SystemModstamp = {stamp} AND Id > '{last}') OR SystemModstamp > {stamp} "
        "ORDER BY SystemModstamp, Id LIMIT 2"
    ):
        seen += [row["Id"] for row in rows]
        stamp, last = rows[-1]["SystemModstamp"].replace("+0000", "Z"), rows[-1]["Id"]
    assert seen == org.accounts[:6]


def test_keyset_uses_the_index(org: Org) -> None:
    plan = prepare(
        org.state,
        org.user,
        "SELECT Id FROM Account WHERE SystemModstamp <= 2026-02-01T00:00:00Z AND "
        f"((SystemModstamp = 2026-01-05T03:41:03Z AND Id > '{org.accounts[2]}') OR "
        "SystemModstamp > 2026-01-05T03:41:03Z) ORDER BY SystemModstamp, Id LIMIT 2",
    )
    steps = " / ".join(row[3] for row in org.state.read(f"EXPLAIN QUERY PLAN {plan.sql()}", plan.params))
    assert "USING INDEX" in steps or "USING COVERING INDEX" in steps
    assert "(SystemModstamp,Id)>(?,?)" in steps
    assert "TEMP B-TREE" not in steps


def test_parents_children_and_null_children(org: Org) -> None:
    rows = org.run(
        "SELECT Name, Owner.Name, (SELECT LastName FROM Contacts ORDER BY LastName DESC LIMIT 1) FROM Account "
        "WHERE Name IN ('beta', 'o\\'neil') ORDER BY Name"
    )
    beta, neil = rows
    assert beta["Owner"]["attributes"] == {"type": "User", "url": f"{API}/sobjects/User/{org.user.id}"}
    assert beta["Owner"]["Name"] == org.user.name
    assert beta["Contacts"]["totalSize"] == 1
    assert beta["Contacts"]["done"] is True
    assert [row["LastName"] for row in beta["Contacts"]["records"]] == ["L3"]
    assert neil["Contacts"] is None


def test_values_have_json_types(org: Org) -> None:
    (row,) = org.run("SELECT Id, AnnualRevenue, NumberOfEmployees, IsDeleted, CreatedDate, Industry FROM Account WHERE Name = 'gamma_1'")
    assert row == {
        "attributes": {"type": "Account", "url": f"{API}/sobjects/Account/{org.accounts[2]}"},
        "Id": org.accounts[2],
        "AnnualRevenue": 250000.0,
        "NumberOfEmployees": 2,
        "IsDeleted": False,
        "CreatedDate": STAMPS[2],
        "Industry": "Energy",
    }


def test_polymorphic_names(org: Org) -> None:
    (row,) = org.run("SELECT What.Name, What.Type, Who.Name, Who.Email FROM Task WHERE What.Name = 'BETA' AND Who.Type = 'Contact'")
    assert row["What"] == {"attributes": {"type": "Name", "url": f"{API}/sobjects/Account/{org.accounts[1]}"}, "Name": "Beta", "Type": "Account"}
    assert (row["Who"]["Name"], row["Who"]["Email"]) == ("L0", None)


def test_typeof(org: Org) -> None:
    (row,) = org.run("SELECT Subject, TYPEOF What WHEN Account THEN Name, NumberOfEmployees WHEN Case THEN Status ELSE Name END FROM Task")
    assert row["What"] == {
        "attributes": {"type": "Account", "url": f"{API}/sobjects/Account/{org.accounts[1]}"},
        "Name": "Beta",
        "NumberOfEmployees": 1,
    }


def test_count_and_aggregates(org: Org) -> None:
    assert execute(org.state, org.user, "SELECT COUNT() FROM Account", api_path=API).as_json() == {"totalSize": 6, "done": True, "records": []}
    assert execute(org.state, org.user, "SELECT COUNT() FROM Account LIMIT 4", api_path=API).total_size == 4
    rows = org.run(
        "SELECT Industry, COUNT(Id) c, COUNT_DISTINCT(AnnualRevenue), SUM(AnnualRevenue) FROM Account GROUP BY Industry "
        "HAVING COUNT(Id) > 1 ORDER BY Industry"
    )
    kind = {"attributes": {"type": "AggregateResult"}}
    assert rows == [
        kind | {"Industry": None, "c": 2, "expr0": 0, "expr1": None},
        kind | {"Industry": "Banking", "c": 2, "expr0": 1, "expr1": 2_000_000.0},
        kind | {"Industry": "Energy", "c": 2, "expr0": 2, "expr1": 500_000.5},
    ]
    (row,) = org.run("SELECT MAX(CreatedDate) latest, AVG(NumberOfEmployees) FROM Account")
    assert (row["latest"], row["expr0"]) == (STAMPS[5], 2.5)
    years = org.run("SELECT CALENDAR_YEAR(CreatedDate) y, COUNT(Id) n FROM Account GROUP BY CALENDAR_YEAR(CreatedDate)")
    assert years == [kind | {"y": 2026, "n": 6}]


@pytest.mark.parametrize(
    ("order", "expected"),
    [
        ("Industry, Name", ["acme", "Gamma%2", "Beta", "O'Neil", "ACME", "gamma_1"]),
        ("Industry NULLS LAST, Name", ["Beta", "O'Neil", "ACME", "gamma_1", "acme", "Gamma%2"]),
        ("Industry DESC, Name", ["acme", "Gamma%2", "ACME", "gamma_1", "Beta", "O'Neil"]),
        ("Industry DESC NULLS LAST, Name DESC", ["gamma_1", "ACME", "O'Neil", "Beta", "Gamma%2", "acme"]),
    ],
)
def test_order(org: Org, order: str, expected: list[str]) -> None:
    assert [row["Name"] for row in org.run(f"SELECT Name FROM Account ORDER BY {order}")] == expected


def test_order_by_a_polymorphic_name_ignores_case(org: Org) -> None:
    state = org.state
    calls = state.bulk_load("Task", [{"Subject": f"on {number}", "WhatId": org.accounts[number], "Type": "Meeting"} for number in (0, 1, 2, 5)])
    try:
        found = org.run("SELECT Subject, What.Name FROM Task WHERE Type = 'Meeting' ORDER BY What.Name DESC, Subject")
        assert [row["What"]["Name"] for row in found] == ["gamma_1", "Beta", "acme", "ACME"]
    finally:
        state.write_records("Task", "delete", [{"Id": record_id} for record_id in calls], user=org.user)


def test_a_list_of_ids_as_long_as_a_uri_allows(org: Org) -> None:
    ids = ", ".join(f"'{record_id}'" for record_id in org.accounts * 100)
    assert len(org.run(f"SELECT Id FROM Account WHERE Id IN ({ids})")) == 6


def test_limit_and_offset(org: Org) -> None:
    rows = org.run("SELECT a.Name FROM Account a ORDER BY a.NumberOfEmployees DESC LIMIT 2 OFFSET 1")
    assert [row["Name"] for row in rows] == ["O'Neil", "Gamma%2"]


def test_fields_function(org: Org) -> None:
    standard = org.run("SELECT FIELDS(STANDARD) FROM Account LIMIT 1")[0]
    assert {"Id", "Name", "SystemModstamp", "BillingCity"} <= set(standard)
    assert not [name for name in standard if name.endswith("__c")]


def test_labels_and_format(org: Org) -> None:
    (row,) = org.run("SELECT toLabel(Industry), FORMAT(AnnualRevenue), FORMAT(CreatedDate) FROM Account WHERE Name = 'beta'")
    assert (row["Industry"], row["AnnualRevenue"], row["CreatedDate"]) == ("Banking", "1,000,000.0", "1/5/2026, 3:41 AM")


def test_pages_show_later_changes_and_skip_rows_gone(org: Org, tmp_path: Path) -> None:
    state = State(tmp_path / "pages.db")
    admin = state.user("admin")
    ids = state.bulk_load("Account", [{"Name": f"a{number:04d}"} for number in range(450)])
    page = first_page(state, admin, "SELECT Id, Name FROM Account ORDER BY Name", api_path=API, page_size=200)
    assert (page["totalSize"], page["done"], len(page["records"])) == (450, False, 200)
    state.write_records("Account", "update", [{"Id": ids[210], "Name": "changed"}], user=admin)
    state.write_records("Account", "delete", [{"Id": ids[211]}], user=admin)
    locator = page["nextRecordsUrl"].rpartition("/")[2]
    assert locator.startswith("01g")
    assert locator.endswith("-200")
    second = next_page(state, admin, locator, api_path=API, page_size=200)
    assert [row["Name"] for row in second["records"][9:12]] == ["a0209", "changed", "a0212"]
    third = next_page(state, admin, second["nextRecordsUrl"].rpartition("/")[2], api_path=API, page_size=200)
    assert third["done"] is True
    assert "nextRecordsUrl" not in third
    assert len(third["records"]) == 50


def test_csv_rows_are_written_the_bulk_way(org: Org) -> None:
    selected = "Name, Owner.Name, AnnualRevenue, IsDeleted, CreatedDate, Parent.IsDeleted"
    plan = prepare(org.state, org.user, f"SELECT {selected} FROM Account WHERE Name = 'acme' LIMIT 1")
    assert csv_headers(plan) == ["Name", "Owner.Name", "AnnualRevenue", "IsDeleted", "CreatedDate", "Parent.IsDeleted"]
    assert [row for rows in csv_rows(org.state, plan) for row in rows] == [
        ("acme", org.user.name, None, "false", "2026-01-05T03:41:00.000Z", None),
    ]


DAY = date(2026, 5, 14)  # a Thursday


@pytest.mark.parametrize(
    ("literal", "first", "after"),
    [
        ("TODAY", "2026-05-14", "2026-05-15"),
        ("YESTERDAY", "2026-05-13", "2026-05-14"),
        ("LAST_N_DAYS:3", "2026-05-11", "2026-05-15"),
        ("NEXT_N_DAYS:3", "2026-05-15", "2026-05-18"),
        ("N_DAYS_AGO:2", "2026-05-12", "2026-05-13"),
        ("THIS_WEEK", "2026-05-10", "2026-05-17"),
        ("LAST_WEEK", "2026-05-03", "2026-05-10"),
        ("LAST_N_WEEKS:2", "2026-04-26", "2026-05-10"),
        ("THIS_MONTH", "2026-05-01", "2026-06-01"),
        ("NEXT_MONTH", "2026-06-01", "2026-07-01"),
        ("LAST_N_MONTHS:2", "2026-03-01", "2026-05-01"),
        ("N_MONTHS_AGO:5", "2025-12-01", "2026-01-01"),
        ("THIS_QUARTER", "2026-04-01", "2026-07-01"),
        ("LAST_QUARTER", "2026-01-01", "2026-04-01"),
        ("NEXT_N_QUARTERS:2", "2026-07-01", "2027-01-01"),
        ("LAST_YEAR", "2025-01-01", "2026-01-01"),
        ("LAST_90_DAYS", "2026-02-13", "2026-05-15"),
        ("THIS_FISCAL_YEAR", "2026-04-01", "2027-04-01"),
        ("LAST_FISCAL_QUARTER", "2026-01-01", "2026-04-01"),
        ("N_FISCAL_YEARS_AGO:1", "2025-04-01", "2026-04-01"),
    ],
)
def test_date_literals(literal: str, first: str, after: str) -> None:
    assert [day.isoformat() for day in literal_days(literal, DAY, fiscal_start=4)] == [first, after]


def test_a_day_of_the_user_begins_at_local_midnight() -> None:
    assert midnight(date(2026, 5, 14), ZoneInfo("Asia/Tokyo")) == "2026-05-13T15:00:00.000+0000"
