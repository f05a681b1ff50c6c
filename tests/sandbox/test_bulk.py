"""Bulk API 2.0 over HTTP: ingest and query jobs, result files, CSV rules, faults."""

import csv
import gzip
import io
import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from connectors.sandbox_kit import SandboxProcess
from tests.sandbox.wire import Wire

TEXT = {"type": "Text", "length": 40, "label": "Key", "externalId": True, "unique": True}


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SandboxProcess]:
    with SandboxProcess(tmp_path_factory.mktemp("bulk") / "org.db") as process:
        yield process


@pytest.fixture(scope="module")
def wire(sandbox: SandboxProcess) -> Wire:
    wire = Wire(sandbox.url)
    field = {"FullName": "Account.Key__c", "Metadata": TEXT}
    secret = {"FullName": "Account.Secret__c", "Metadata": TEXT | {"label": "Secret", "externalId": False, "unique": False}}
    wire.control("fields", {"fields": [field], "visible_to": ["admin"]})
    wire.control("fields", {"fields": [secret], "visible_to": []})
    return wire


def rows(text: str, delimiter: str = ",") -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text, newline=""), delimiter=delimiter))


def names(wire: Wire, like: str) -> list[str]:
    return sorted(row["Name"] for row in wire.records(f"SELECT Name FROM Account WHERE Name LIKE '{like}'"))


def test_job_json_and_states(wire: Wire) -> None:
    spec = {"object": "account", "operation": "insert", "contentType": "CSV", "lineEnding": "LF", "columnDelimiter": "COMMA"}
    created = wire.call("POST", "jobs/ingest/", json=spec).json()
    job = created["id"]
    assert job.startswith("750")
    assert created["contentUrl"] == f"services/data/v62.0/jobs/ingest/{job}/batches"
    assert (created["object"], created["state"], created["apiVersion"], created["concurrencyMode"]) == ("Account", "Open", 62.0, "Parallel")
    assert created["createdById"] == wire.info["users"]["admin"]["id"]
    early = wire.call("PATCH", f"jobs/ingest/{job}", json={"state": "UploadComplete"})
    assert (early.status_code, early.json()[0]["errorCode"]) == (400, "INVALIDJOBSTATE")
    wire.call("PUT", f"jobs/ingest/{job}/batches", data=b"Name\nstates 1\n", headers={"Content-Type": "text/csv"})
    again = wire.call("PUT", f"jobs/ingest/{job}/batches", data=b"Name\nstates 2\n", headers={"Content-Type": "text/csv"})
    assert again.status_code == 400
    assert "Found multiple contents for job" in again.json()[0]["message"]
    wire.call("PATCH", f"jobs/ingest/{job}", json={"state": "UploadComplete"})
    status = wire.wait("ingest", job)
    assert status["state"] == "JobComplete"
    assert (status["jobType"], status["numberRecordsProcessed"], status["numberRecordsFailed"], status["retries"]) == ("V2Ingest", 1, 0, 0)
    assert {"totalProcessingTime", "apiActiveProcessingTime", "apexProcessingTime"} <= set(status)
    late = wire.call("PATCH", f"jobs/ingest/{job}", json={"state": "Aborted"})
    assert (late.status_code, late.json()) == (400, [{"errorCode": "INVALIDJOBSTATE", "message": "Aborting already Completed Job not allowed"}])
    listed = wire.call("GET", "jobs/ingest?jobType=V2Ingest").json()
    assert listed["done"] is True
    assert job in [item["id"] for item in listed["records"]]
    assert wire.call("DELETE", f"jobs/ingest/{job}").status_code == 204
    gone = wire.call("GET", f"jobs/ingest/{job}")
    assert (gone.status_code, gone.json()[0]["errorCode"]) == (404, "NOT_FOUND")


def test_results_echo_the_upload_in_another_order(wire: Wire) -> None:
    upload = "Name,NumberOfEmployees\n" + "".join(f"echo {number:03d},{number}\n" for number in range(300)) + 'echo bad,"twelve"\n'
    status = wire.ingest("insert", upload.encode())
    assert (status["numberRecordsProcessed"], status["numberRecordsFailed"]) == (301, 1)
    text = wire.text(f"jobs/ingest/{status['id']}/successfulResults/")
    assert text.splitlines()[0] == '"sf__Id","sf__Created",Name,NumberOfEmployees'
    done = rows(text)
    assert [row["Name"] for row in done] != [f"echo {number:03d}" for number in range(300)]
    assert sorted(row["Name"] for row in done) == [f"echo {number:03d}" for number in range(300)]
    assert {row["sf__Created"] for row in done} == {"true"}
    assert all(len(row["sf__Id"]) == 18 and row["sf__Id"].startswith("001") for row in done)
    (bad,) = rows(wire.text(f"jobs/ingest/{status['id']}/failedResults"))
    assert bad["sf__Id"] == ""
    assert bad["sf__Error"].startswith("INVALID_TYPE_ON_FIELD_IN_RECORD:")
    assert bad["sf__Error"].endswith(": value not of required type: twelve:NumberOfEmployees --")
    assert (bad["Name"], bad["NumberOfEmployees"]) == ("echo bad", "twelve")
    for spelling in ("unprocessedrecords", "unprocessedRecords/", "UnprocessedRecords"):
        assert wire.text(f"jobs/ingest/{status['id']}/{spelling}") == "Name,NumberOfEmployees\n"


def test_update_leaves_empty_cells_and_clears_with_na(wire: Wire) -> None:
    inserted = wire.ingest("insert", b"Name,Phone,Site,Industry\nkeep,1,2,Banking\n")
    (first,) = rows(wire.text(f"jobs/ingest/{inserted['id']}/successfulResults"))
    status = wire.ingest("update", f"id,phone,SITE,Industry\n{first['sf__Id'][:15]},,#N/A,Energy\n".encode())
    assert status["numberRecordsFailed"] == 0
    (row,) = wire.records(f"SELECT Phone, Site, Industry FROM Account WHERE Id = '{first['sf__Id']}'")
    assert (row["Phone"], row["Site"], row["Industry"]) == ("1", None, "Energy")
    (done,) = rows(wire.text(f"jobs/ingest/{status['id']}/successfulResults"))
    assert (done["sf__Id"], done["sf__Created"], done["id"]) == (first["sf__Id"], "false", first["sf__Id"][:15])


def test_upsert_by_external_id_and_delete(wire: Wire) -> None:
    first = wire.ingest("upsert", b"Key__c,Name\nk1,ups one\nk2,ups two\n", externalIdFieldName="Key__c")
    assert {row["sf__Created"] for row in rows(wire.text(f"jobs/ingest/{first['id']}/successfulResults"))} == {"true"}
    second = wire.ingest("upsert", b"Key__c,Name\nK1,ups uno\nk3,ups three\n", externalIdFieldName="key__c")
    found = {row["Key__c"]: row for row in rows(wire.text(f"jobs/ingest/{second['id']}/successfulResults"))}
    assert (found["K1"]["sf__Created"], found["k3"]["sf__Created"]) == ("false", "true")
    assert names(wire, "ups %") == ["ups three", "ups two", "ups uno"]
    removed = wire.ingest("delete", f"Id\n{found['K1']['sf__Id']}\n{found['k3']['sf__Id']}\n".encode())
    assert (removed["numberRecordsProcessed"], removed["numberRecordsFailed"]) == (2, 0)
    assert names(wire, "ups %") == ["ups two"]
    again = wire.ingest("delete", f"Id\n{found['K1']['sf__Id']}\n".encode())
    (refused,) = rows(wire.text(f"jobs/ingest/{again['id']}/failedResults"))
    assert refused["sf__Error"] == "ENTITY_IS_DELETED:entity is deleted:--"


def test_lookup_columns(wire: Wire) -> None:
    wire.ingest("upsert", b"Key__c,Name\nparent-1,look parent\n", externalIdFieldName="Key__c")
    status = wire.ingest("insert", b"LastName,Account.Key__c,Owner.Username\nSato,parent-1,\nIto,nobody,\n", "Contact")
    assert (status["numberRecordsProcessed"], status["numberRecordsFailed"]) == (2, 1)
    (bad,) = rows(wire.text(f"jobs/ingest/{status['id']}/failedResults"))
    assert bad["sf__Error"] == "INVALID_FIELD:Foreign key external ID: nobody not found for field Key__c in entity Account:--"
    (row,) = wire.records("SELECT Account.Name FROM Contact WHERE LastName = 'Sato'")
    assert row["Account"]["Name"] == "look parent"


@pytest.mark.parametrize(
    ("upload", "spec", "message"),
    [
        (b"Name,Nope__c,Other__c\na,b,c\n", {}, "InvalidBatch : Field name not found : Nope__c"),
        (b"Name,Secret__c\na,b\n", {}, "InvalidBatch : Field name not found : Secret__c"),
        (b"\xef\xbb\xbfName\na\n", {}, "InvalidBatch : Field name not found : \ufeffName"),
        (b"Name\r\na\r\n", {}, "ClientInputError : LineEnding is invalid on user data. Current LineEnding setting is LF"),
        (b"Name\na\n", {"lineEnding": "CRLF"}, "ClientInputError : LineEnding is invalid on user data. Current LineEnding setting is CRLF"),
        (b'Name\r\n"a\nb"\r\n', {"lineEnding": "CRLF"}, "ClientInputError : LineEnding is invalid on user data. Current LineEnding setting is CRLF"),
        (b"Name,Parent:Account.Key__c\na,b\n", {}, "InvalidBatch : Field name not found : Parent:Account.Key__c"),
        (b"Name,Account:Parent.Key__c\na,b\n", {}, "InvalidBatch : type is not needed for non polymorphic foreign key: Account:Parent.Key__c"),
        (b"Name,Site\na,b\nc\n", {}, "InvalidBatch : Failed to parse CSV: record 2 has 1 values, the header has 2"),
        (b"Name\n\xff\n", {}, "InvalidBatch : Failed to parse input file. The file is not valid UTF-8"),
    ],
)
def test_uploads_that_fail_their_job(wire: Wire, upload: bytes, spec: dict[str, str], message: str) -> None:
    status = wire.ingest("insert", upload, **spec)
    assert (status["state"], status["errorMessage"], status["numberRecordsProcessed"]) == ("Failed", message, 0)
    left = wire.call("GET", f"jobs/ingest/{status['id']}/unprocessedrecords")
    assert left.status_code == 200


def test_delimiters_line_endings_and_embedded_newlines(wire: Wire) -> None:
    upload = 'Name;Description\r\n"semi; colon";"two\r\nlines"\r\n'
    status = wire.ingest("insert", upload.encode(), columnDelimiter="SEMICOLON", lineEnding="CRLF")
    assert status["numberRecordsFailed"] == 0, wire.text(f"jobs/ingest/{status['id']}/failedResults")
    text = wire.text(f"jobs/ingest/{status['id']}/successfulResults")
    assert text.startswith('"sf__Id";"sf__Created";Name;Description\r\n"001')
    assert text.endswith('"two\r\nlines"\r\n')
    (row,) = rows(text, ";")
    (stored,) = wire.records(f"SELECT Name, Description FROM Account WHERE Id = '{row['sf__Id']}'")
    assert stored["Name"] == "semi; colon"


def test_hard_values_come_back_as_they_went(wire: Wire) -> None:
    values = ['say "hi"', "a,b;c\td|e", "two\nlines", "'quoted'", "日本語　全角", "u\u2028sep", "=1+1", "\\n", "😀", "x" * 30_000]
    sink = io.StringIO(newline="")
    writer = csv.writer(sink, lineterminator="\n")
    writer.writerow(["Name", "Description"])
    writer.writerows([f"hard {number}", value] for number, value in enumerate(values))
    status = wire.ingest("insert", sink.getvalue().encode())
    assert status["numberRecordsFailed"] == 0, wire.text(f"jobs/ingest/{status['id']}/failedResults")
    echoed = {row["Name"]: row["Description"] for row in rows(wire.text(f"jobs/ingest/{status['id']}/successfulResults"))}
    job = wire.call(
        "POST", "jobs/query", json={"operation": "query", "query": "SELECT Name, Description FROM Account WHERE Name LIKE 'hard %'"}
    ).json()
    wire.wait("query", job["id"])
    queried = {row["Name"]: row["Description"] for row in rows(wire.text(f"jobs/query/{job['id']}/results"))}
    assert echoed == queried == {f"hard {number}": value for number, value in enumerate(values)}


@pytest.mark.parametrize(
    ("spec", "code"),
    [
        ({"object": "Nope__c", "operation": "insert"}, "INVALIDENTITY"),
        ({"object": "Account", "operation": "merge"}, "INVALIDOPERATION"),
        ({"object": "Account", "operation": "upsert"}, "INVALIDJOB"),
        ({"object": "Account", "operation": "upsert", "externalIdFieldName": "Phone"}, "INVALIDJOB"),
        ({"object": "Account", "operation": "insert", "columnDelimiter": "SPACE"}, "INVALIDJOB"),
        ({"object": "Account", "operation": "insert", "contentType": "XML"}, "INVALIDJOB"),
    ],
)
def test_jobs_that_cannot_be_created(wire: Wire, spec: dict[str, str], code: str) -> None:
    answer = wire.call("POST", "jobs/ingest", json=spec)
    assert (answer.status_code, answer.json()[0]["errorCode"]) == (400, code)


def test_hard_delete_needs_its_permission(sandbox: SandboxProcess) -> None:
    answer = Wire(sandbox.url, "integration").call("POST", "jobs/ingest", json={"object": "Account", "operation": "hardDelete"})
    assert (answer.status_code, answer.json()[0]["errorCode"]) == (400, "FEATURENOTENABLED")


def test_query_pages_and_locators(wire: Wire) -> None:
    wire.ingest("insert", ("Name\n" + "".join(f"page {number:04d}\n" for number in range(2500))).encode())
    body = {"operation": "query", "query": "SELECT Id, Name, Owner.Name, IsDeleted, CreatedDate, Phone FROM Account WHERE Name LIKE 'page%'"}
    created = wire.call("POST", "jobs/query", json=body).json()
    assert (created["state"], created["object"], created["operation"]) == ("UploadComplete", "Account", "query")
    status = wire.wait("query", created["id"])
    assert (status["numberRecordsProcessed"], status["jobType"], status["isPkChunkingSupported"]) == (2500, "V2Query", True)
    results = f"jobs/query/{created['id']}/results"
    seen, locator, counted = [], None, []
    while locator != "null":
        answer = wire.call("GET", results, params={"maxRecords": 1000} | ({"locator": locator} if locator else {}))
        locator = answer.headers["Sforce-Locator"]
        counted.append(int(answer.headers["Sforce-NumberOfRecords"]))
        assert answer.text.splitlines()[0] == '"Id","Name","Owner.Name","IsDeleted","CreatedDate","Phone"'
        seen += rows(answer.content.decode())
    assert counted == [1000, 1000, 500]
    assert len({row["Id"] for row in seen}) == 2500
    row = seen[0]
    assert (row["IsDeleted"], row["Phone"], row["CreatedDate"][-5:]) == ("false", "", ".000Z")
    other = wire.call("GET", results, version="61.0")
    assert other.status_code == 409
    bad = wire.call("GET", results, params={"locator": "!!"})
    assert (bad.status_code, bad.json()[0]["errorCode"]) == (400, "INVALID_QUERY_LOCATOR")
    zipped = wire.call("GET", results, headers={"Accept-Encoding": "gzip"}, stream=True)
    assert zipped.headers["Content-Encoding"] == "gzip"
    assert len(rows(gzip.decompress(zipped.raw.read()).decode())) == 2500


def test_result_pages(wire: Wire) -> None:
    wire.control("settings", {"bulk_page_records": 100})
    try:
        created = wire.call("POST", "jobs/query", json={"operation": "query", "query": "SELECT Name FROM Account WHERE Name LIKE 'page 00%'"}).json()
        wire.wait("query", created["id"])
        assert wire.call("GET", f"jobs/query/{created['id']}/resultPages").json()["done"] is True
        created = wire.call("POST", "jobs/query", json={"operation": "query", "query": "SELECT Name FROM Account WHERE Name LIKE 'page 0%'"}).json()
        assert wire.wait("query", created["id"])["numberRecordsProcessed"] == 1000
        first = wire.call("GET", f"jobs/query/{created['id']}/resultPages").json()
        assert (len(first["resultPages"]), first["done"]) == (5, False)
        assert "/resultpages?locator=" in first["nextRecordsUrl"]
        second = wire.call("GET", first["nextRecordsUrl"]).json()
        assert (len(second["resultPages"]), second["done"]) == (5, True)
        found = [row["Name"] for page in (first, second) for item in page["resultPages"] for row in rows(wire.text(item["resultUrl"]))]
        assert sorted(found) == [f"page {number:04d}" for number in range(1000)]
    finally:
        wire.control("settings", {"bulk_page_records": 50_000})


def test_an_empty_answer_is_a_header(wire: Wire) -> None:
    created = wire.call("POST", "jobs/query", json={"operation": "queryAll", "query": "SELECT Id FROM Account WHERE Name = 'no such'"}).json()
    assert wire.wait("query", created["id"])["numberRecordsProcessed"] == 0
    answer = wire.call("GET", f"jobs/query/{created['id']}/results")
    assert (answer.text, answer.headers["Sforce-Locator"], answer.headers["Sforce-NumberOfRecords"]) == ('"Id"\n', "null", "0")


@pytest.mark.parametrize(
    ("soql", "code"),
    [
        ("SELECT Id, (SELECT Id FROM Contacts) FROM Account", "API_ERROR"),
        ("SELECT COUNT() FROM Account", "API_ERROR"),
        ("SELECT Industry, COUNT(Id) FROM Account GROUP BY Industry", "API_ERROR"),
        ("SELECT Id FROM Account LIMIT 1 OFFSET 1", "API_ERROR"),
        ("SELECT TYPEOF What WHEN Account THEN Name END FROM Task", "API_ERROR"),
        ("SELECT Id FROM TaskStatus", "INVALIDENTITY"),
        ("SELECT Nope__c FROM Account", "INVALID_FIELD"),
        ("SELECT Secret__c FROM Account", "INVALID_FIELD"),
        ("SELECT Id FORM Account", "MALFORMED_QUERY"),
    ],
)
def test_statements_bulk_refuses(wire: Wire, soql: str, code: str) -> None:
    answer = wire.call("POST", "jobs/query", json={"operation": "query", "query": soql})
    assert (answer.status_code, answer.json()[0]["errorCode"]) == (400, code)


def test_query_all_returns_deleted_rows(wire: Wire) -> None:
    created = wire.ingest("insert", b"Name\nbin me\n")
    (row,) = rows(wire.text(f"jobs/ingest/{created['id']}/successfulResults"))
    wire.ingest("delete", f"Id\n{row['sf__Id']}\n".encode())
    for operation, expected in (("query", []), ("queryAll", ["true"])):
        job = wire.call("POST", "jobs/query", json={"operation": operation, "query": "SELECT IsDeleted FROM Account WHERE Name = 'bin me'"}).json()
        wire.wait("query", job["id"])
        assert [found["IsDeleted"] for found in rows(wire.text(f"jobs/query/{job['id']}/results"))] == expected


def test_row_locks_and_job_faults(wire: Wire) -> None:
    created = wire.ingest("insert", b"Name\nlock 1\nlock 2\n")
    ids = [row["sf__Id"] for row in rows(wire.text(f"jobs/ingest/{created['id']}/successfulResults"))]
    wire.control("faults", {"rules": [{"kind": "row_error", "object": "Account", "ids": [ids[0]], "attempts": 1, "count": None}]})
    upload = f"Id,Site\n{ids[0]},x\n{ids[1]},x\n".encode()
    first = wire.ingest("update", upload)
    (locked,) = rows(wire.text(f"jobs/ingest/{first['id']}/failedResults"))
    assert locked["sf__Error"] == f"UNABLE_TO_LOCK_ROW:unable to obtain exclusive access to this record or 1 records: {ids[0]}:--"
    assert locked["sf__Id"] == ids[0]
    assert wire.ingest("update", upload)["numberRecordsFailed"] == 0
    message = "TooManyLockFailure : Too many lock failures while processing the current batch"
    wire.control("faults", {"rules": [{"kind": "bulk_job", "object": "Account", "state": "Failed", "message": message, "after_records": 1}]})
    cut = wire.ingest("update", f"Id,Site\n{ids[0]},y\n{ids[1]},y\n".encode())
    assert (cut["state"], cut["errorMessage"], cut["numberRecordsProcessed"]) == ("Failed", message, 1)
    assert [row["Id"] for row in rows(wire.text(f"jobs/ingest/{cut['id']}/successfulResults"))] == [ids[0]]
    assert [row["Id"] for row in rows(wire.text(f"jobs/ingest/{cut['id']}/unprocessedRecords"))] == [ids[1]]


def test_a_hanging_job_can_be_aborted(wire: Wire) -> None:
    wire.control("faults", {"rules": [{"kind": "bulk_job", "object": "Account", "state": "InProgress"}]})
    job = wire.open_job("insert", b"Name\nhangs\n")
    wire.call("PATCH", f"jobs/ingest/{job}", json={"state": "UploadComplete"})
    assert [wire.call("GET", f"jobs/ingest/{job}").json()["state"] for _ in range(3)] == ["InProgress"] * 3
    not_yet = wire.call("GET", f"jobs/ingest/{job}/successfulResults")
    assert (not_yet.status_code, not_yet.json()[0]["errorCode"]) == (400, "INVALIDJOBSTATE")
    running = wire.call("DELETE", f"jobs/ingest/{job}")
    assert running.json()[0]["message"] == "Error encountered when deleting the job because the job is not terminated"
    assert wire.call("PATCH", f"jobs/ingest/{job}", json={"state": "Aborted"}).json()["state"] == "Aborted"
    assert rows(wire.text(f"jobs/ingest/{job}/unprocessedrecords"))[0]["Name"] == "hangs"
    assert names(wire, "hangs") == []


def test_a_delayed_job_shows_its_states(wire: Wire) -> None:
    wire.control("settings", {"bulk_delay_seconds": 0.3})
    try:
        job = wire.open_job("insert", b"Name\nslow\n")
        wire.call("PATCH", f"jobs/ingest/{job}", json={"state": "UploadComplete"})
        assert wire.call("GET", f"jobs/ingest/{job}").json()["state"] == "UploadComplete"
        assert wire.wait("ingest", job)["numberRecordsProcessed"] == 1
    finally:
        wire.control("settings", {"bulk_delay_seconds": 0})


def test_a_job_survives_the_death_of_its_server(tmp_path: Path) -> None:
    """kill -9 while 25,000 rows are being inserted in three batches: after the restart every row is there exactly once."""
    total = 25_000
    upload = ("Name\n" + "".join(f"row {number:05d}\n" for number in range(total))).encode()
    with SandboxProcess(tmp_path / "org.db") as process:
        wire = Wire(process.url)
        job = wire.open_job("insert", upload)
        wire.call("PATCH", f"jobs/ingest/{job}", json={"state": "UploadComplete"})
        while wire.call("GET", f"jobs/ingest/{job}").json()["numberRecordsProcessed"] == 0:
            continue
        (pid,) = json.loads((tmp_path / "org.ready").read_text())["pids"]
        os.kill(pid, signal.SIGKILL)
    with SandboxProcess(tmp_path / "org.db") as process:
        wire = Wire(process.url)
        status = wire.wait("ingest", job)
        assert (status["state"], status["numberRecordsProcessed"], status["numberRecordsFailed"]) == ("JobComplete", total, 0)
        assert wire.query("SELECT COUNT() FROM Account").json()["totalSize"] == total
        assert wire.query("SELECT COUNT_DISTINCT(Name) n FROM Account").json()["records"][0]["n"] == total
        done: list[dict[str, Any]] = rows(wire.text(f"jobs/ingest/{job}/successfulResults"))
        assert len({row["sf__Id"] for row in done}) == total
