"""The state below HTTP: ids, formulas, transactions, several processes on one file."""

import multiprocessing
import os
import signal
import time
from pathlib import Path

import pytest
import requests

from connectors.salesforce.sandbox.errors import SalesforceError
from connectors.salesforce.sandbox.ids import checksum, make_id, to18
from connectors.salesforce.sandbox.schema import column_sql
from connectors.salesforce.sandbox.state import State
from connectors.sandbox_kit import SandboxProcess


@pytest.fixture
def state(tmp_path: Path) -> State:
    return State(tmp_path / "org.db")


# from public documentation and issues
@pytest.mark.parametrize(
    ("short", "suffix"), [("001D000000IRFma", "IAH"), ("001RM000003oCpr", "YAE"), ("00D5e000000KQ2e", "EAG"), ("0015e00000ZkM3h", "AAF")]
)
def test_checksums(short: str, suffix: str) -> None:
    assert checksum(short) == suffix
    assert to18(short) == short + suffix


def test_ids_in_either_length_and_case() -> None:
    full = make_id("001", 12345)
    assert to18(full) == full
    assert to18(full.lower()) == full  # 18 characters survive a change of case
    assert to18(full.upper()) == full
    assert [to18(text) for text in ("", "001", "001!00000000000", full + "x")] == [None] * 4
    assert [make_id("001", number) for number in (1, 61, 62, 3844)] == sorted(make_id("001", number) for number in (1, 61, 62, 3844))


@pytest.mark.parametrize(
    ("formula", "expected"),
    [
        ("Renews__c - TODAY()", 26),
        ("TODAY() - Renews__c", -26),
        ("IF(ISBLANK(Renews__c), 0, 1)", 1),
        ("IF(AND(NumberOfEmployees > 10, NumberOfEmployees < 13), 7, 8)", 7),
        ("(NumberOfEmployees + 8) / 2 * 3", 30),
        ("-ABS(-2.5) + MAX(1, 2)", -0.5),
        ("NumberOfEmployees / 0", None),
        ("DATEVALUE(CreatedDate) - Renews__c", None),
        ("BLANKVALUE(AnnualRevenue, 5)", 5),
    ],
)
def test_formulas(state: State, formula: str, expected: float | None) -> None:
    state.set_clock(now=state.now().replace(2026, 3, 5, 12, 0, 0, 0), frozen=True)
    state.create_field("Account.Renews__c", {"type": "Date", "label": "Renews"})
    item = state.create_field("Account.F__c", {"type": "Number", "label": "F", "precision": 18, "scale": 2, "formula": formula})
    state.bulk_load("Account", [{"Name": "a", "Renews__c": "2026-03-31", "NumberOfEmployees": 12}])
    value = state.read(f'SELECT {column_sql(item, "t")} FROM "Account" AS "t"')[0][0]
    assert value == (pytest.approx(-26) if formula.startswith("DATEVALUE") else expected)


@pytest.mark.parametrize("formula", ["Nope__c", "VLOOKUP(Name)", "Name +", "(Name", "IF(Name)", "$Setup.Nope__c.X__c", "Name # 1"])
def test_formulas_that_are_refused(state: State, formula: str) -> None:
    with pytest.raises(SalesforceError, match="FIELD_INTEGRITY_EXCEPTION"):
        state.create_field("Account.F__c", {"type": "Text", "label": "F", "formula": formula})


def test_text_formula_and_a_field_it_lost(state: State) -> None:
    state.create_field("Account.Code__c", {"type": "Text", "label": "Code", "length": 5})
    state.create_field("Account.F__c", {"type": "Text", "label": "F", "formula": "\"No. \" & Code__c & '!'"})
    state.bulk_load("Account", [{"Name": "a", "Code__c": "x'y"}])

    def value() -> object:
        item = state.object("Account").get("F__c")
        assert item is not None
        return state.read(f'SELECT {column_sql(item, "t")} FROM "Account" AS "t"')[0][0]

    assert value() == "No. x'y!"
    state.drop_field("Account", "Code__c")
    assert value() is None


def test_a_rolled_back_schema_change_is_forgotten(state: State) -> None:
    def work() -> None:
        with state.transaction():
            state.create_field("Account.Gone__c", {"type": "Text", "label": "Gone", "length": 5})
            assert state.object("Account").get("Gone__c") is not None
            raise RuntimeError

    with pytest.raises(RuntimeError):
        work()
    assert state.object("Account").get("Gone__c") is None
    state.create_field("Account.Kept__c", {"type": "Text", "label": "Kept", "length": 5})
    assert state.object("Account").get("Gone__c") is None
    assert state.object("Account").get("Kept__c") is not None


def test_a_nested_transaction_is_undone_alone(state: State) -> None:
    def inner() -> None:
        with state.transaction():
            state.bulk_load("Account", [{"Name": "inner"}])
            raise RuntimeError

    with state.transaction():
        state.bulk_load("Account", [{"Name": "outer"}])
        with pytest.raises(RuntimeError):
            inner()
    assert state.read('SELECT "Name" FROM "Account"') == [("outer",)]


def test_the_state_survives_a_restart(tmp_path: Path) -> None:
    first = State(tmp_path / "org.db")
    first.create_field("Account.X__c", {"type": "Text", "label": "X", "length": 5})
    first.bulk_load("Account", [{"Name": "a", "X__c": "1"}])
    first.close()
    second = State(tmp_path / "org.db")
    assert second.read('SELECT "X__c" FROM "Account"') == [("1",)]
    assert second.bulk_load("Account", [{"Name": "b"}])[0] == make_id("001", 2)


def _work(path: str, number: int) -> None:
    state = State(path)
    user = state.user("admin")
    for turn in range(20):
        state.write_records("Account", "insert", [{"Name": f"{number}/{turn}/{row}"} for row in range(5)], user=user)
        state.count("turns")
    state.create_field(f"Account.P{number}__c", {"type": "Text", "label": "P", "length": 5})
    state.close()


def test_several_processes_write_one_file(tmp_path: Path) -> None:
    path = str(tmp_path / "org.db")
    State(path).close()
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=_work, args=(path, number)) for number in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
        assert worker.exitcode == 0
    state = State(path)
    assert state.read('SELECT count(*), count(DISTINCT "Id"), count(DISTINCT "Name") FROM "Account"') == [(300, 300, 300)]
    assert state.side.counters()["turns"] == 60
    assert {"p0__c", "p1__c", "p2__c"} <= set(state.object("Account").fields)


def test_csv_cells(state: State) -> None:
    state.create_field("Account.Score__c", {"type": "Number", "label": "Score", "precision": 5, "scale": 1, "required": True})
    admin = state.user("admin")
    rows = [
        {"Name": "a", "Score__c": "1.25", "Phone": "1", "IsDeleted": ""},
    ]
    assert state.write_records("Account", "insert", rows, user=admin, source="csv")[0].errors[0].code == "INVALID_FIELD_FOR_INSERT_UPDATE"
    made = state.write_records("Account", "insert", [{"Name": "a", "Score__c": "1.25", "Phone": "1"}], user=admin, source="csv")[0]
    assert made.success
    for cell, phone in (("", "1"), ("#N/A", None)):  # empty leaves, #N/A clears
        assert state.write_records("Account", "update", [{"Id": made.id, "Phone": cell}], user=admin, source="csv")[0].success
        assert state.read('SELECT "Phone" FROM "Account"') == [(phone,)]
    wrong = state.write_records(
        "Account", "update", [{"Id": made.id, "Score__c": "much"}, {"Id": made.id, "Score__c": "#N/A"}], user=admin, source="csv"
    )
    assert [item.errors[0].as_csv() for item in wrong] == [
        "INVALID_TYPE_ON_FIELD_IN_RECORD:Score: value not of required type: much:Score__c --",
        "REQUIRED_FIELD_MISSING:Required fields are missing: [Score__c]:Score__c --",
    ]


def test_seeded_rows_keep_their_own_stamps(state: State) -> None:
    state.bulk_load("Account", [{"name": "a", "CreatedDate": "2020-01-01T00:00:00.000+0000", "LastModifiedDate": "2021-01-01T00:00:00.000+0000"}])
    row = state.read('SELECT "CreatedDate", "LastModifiedDate", "SystemModstamp" FROM "Account"')[0]
    assert row == ("2020-01-01T00:00:00.000+0000", "2021-01-01T00:00:00.000+0000", "2021-01-01T00:00:00.000+0000")
    with pytest.raises(ValueError, match="no field 'nope'"):
        state.bulk_load("Account", [{"Name": "b", "Nope": 1}])


def _start_and_die(path: str, urls: "multiprocessing.Queue[str]") -> None:
    box = SandboxProcess(Path(path), workers=2).start()
    urls.put(box.url)
    urls.close()
    urls.join_thread()
    os.kill(os.getpid(), signal.SIGKILL)


def test_the_server_ends_with_the_process_that_started_it(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    urls = context.Queue()
    starter = context.Process(target=_start_and_die, args=(str(tmp_path / "org.db"), urls))
    starter.start()
    url = urls.get(timeout=60)
    starter.join(30)
    ends = time.monotonic() + 20
    while time.monotonic() < ends:
        try:
            requests.get(f"{url}/services/data/", timeout=5)
        except requests.ConnectionError:
            return
        time.sleep(0.05)
    pytest.fail("the sandbox still answers although its parent is dead")
