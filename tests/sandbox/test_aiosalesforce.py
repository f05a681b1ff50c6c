"""aiosalesforce, an asynchronous client on httpx that nobody here wrote, uses the sandbox as if it were an org."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import httpx
import pytest
from aiosalesforce import Salesforce as AioSalesforce
from aiosalesforce.auth import ClientCredentialsFlow
from aiosalesforce.bulk.v2.ingest import JobResult
from aiosalesforce.exceptions import NotFoundError, SalesforceError

from connectors.sandbox_kit import SandboxProcess

VERSION = "62.0"
KEY = {"type": "Text", "length": 40, "label": "Key", "externalId": True, "unique": True}


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SandboxProcess]:
    with SandboxProcess(tmp_path_factory.mktemp("aio") / "org.db", workers=2) as process:
        process.control.add_fields({"Account.Key__c": KEY}, visible_to=["admin", "integration"])
        yield process


class LocalHttpxTransport(httpx.AsyncHTTPTransport):
    """Sends what the client addresses to https://….my.salesforce.com to the sandbox; everything above the socket is the client's own."""

    def __init__(self, base: str) -> None:
        self.base = httpx.URL(base)
        super().__init__()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        request.url = request.url.copy_with(scheme=self.base.scheme, host=self.base.host, port=self.base.port)
        return await super().handle_async_request(request)


Aio = Callable[[Callable[[AioSalesforce], Awaitable[None]]], None]


@pytest.fixture
def aio(sandbox: SandboxProcess) -> Aio:
    """Runs one coroutine with a logged-in client."""

    def run(work: Callable[[AioSalesforce], Awaitable[None]]) -> None:
        async def main() -> None:
            async with httpx.AsyncClient(transport=LocalHttpxTransport(sandbox.url), timeout=60, trust_env=False) as http:
                await work(AioSalesforce(http, "https://acme.my.salesforce.com", ClientCredentialsFlow(*sandbox.app("integration")), VERSION))

        asyncio.run(main())

    return run


def test_aio_record_calls(aio: Aio) -> None:
    async def work(client: AioSalesforce) -> None:
        made = await client.sobject.create("Account", {"Name": "aio", "Key__c": "aio-1"})
        await client.sobject.update("Account", made, {"Phone": "03", "Site": "東京"})
        assert (await client.sobject.get("Account", made, fields=["Phone", "Site"]))["Site"] == "東京"
        assert (await client.sobject.get("Account", "aio-1", external_id_field="Key__c"))["Id"] == made
        again = await client.sobject.upsert("Account", "aio-1", external_id_field="Key__c", data={"Key__c": "aio-1", "Phone": "04"})
        assert (again.id, again.created) == (made, False)
        assert (await client.sobject.upsert("Account", "aio-2", external_id_field="Key__c", data={"Name": "aio two"})).created is True
        assert (await client.sobject.get("Account", made))["Phone"] == "04"
        await client.sobject.delete("Account", "aio-2", external_id_field="Key__c")
        await client.sobject.delete("Account", made)
        with pytest.raises(NotFoundError):
            await client.sobject.get("Account", made)
        with pytest.raises(SalesforceError) as refused:
            await client.sobject.create("Account", {"Phone": "no name"})
        assert refused.value.error_code == "REQUIRED_FIELD_MISSING"
        assert (await client.get_limits())["DailyApiRequests"]["Max"] >= 100_000

    aio(work)


def test_aio_queries_and_paging(aio: Aio, sandbox: SandboxProcess) -> None:
    accounts = sandbox.control.seed("Account", [{"Name": f"page {number:04d}"} for number in range(2_010)])
    sandbox.control.seed("Contact", [{"LastName": "Child", "AccountId": accounts[0]}])

    async def work(client: AioSalesforce) -> None:
        soql = "SELECT Id, Name, Owner.Name, (SELECT LastName FROM Contacts) FROM Account WHERE Name LIKE 'page%' ORDER BY Name"
        found = [row async for row in client.query(soql)]
        assert [row["Name"] for row in found] == [f"page {number:04d}" for number in range(2_010)]
        assert found[0]["Contacts"]["records"][0]["LastName"] == "Child"
        assert found[1]["Contacts"] is None
        await client.sobject.delete("Account", found[0]["Id"])
        live = "SELECT Id FROM Account WHERE Name = 'page 0000'"
        assert [row async for row in client.query(live)] == []
        assert len([row async for row in client.query(live, include_all_records=True)]) == 1
        with pytest.raises(SalesforceError) as refused:
            assert [row async for row in client.query("SELECT Nope FROM Account")]
        assert refused.value.error_code == "INVALID_FIELD"

    aio(work)


def test_aio_composite_batch_and_collections(aio: Aio) -> None:
    async def work(client: AioSalesforce) -> None:
        async with client.composite(all_or_none=True) as whole:
            account = whole.sobject.create("Account", {"Name": "tree", "Key__c": "aio-tree"})
            child = whole.sobject.create("Contact", {"LastName": "Leaf", "AccountId": str(account.reference.id)})
        assert (await client.sobject.get("Contact", child.id))["AccountId"] == account.id
        async with client.composite(all_or_none=True) as undone:
            first = undone.sobject.create("Account", {"Name": "never", "Key__c": "aio-never"})
            undone.sobject.create("Account", {"Phone": "no name"})
        assert first.is_success is False
        async with client.composite.batch() as batch:
            gone = batch.query("SELECT Id FROM Account WHERE Key__c = 'aio-never'")
            kept = batch.sobject.get("Account", account.id, fields=["Name"])
            merged = batch.sobject.upsert("Account", "aio-tree", external_id_field="Key__c", data={"Phone": "9"})
            wrong = batch.sobject.update("Account", account.id, {"Nope__c": 1})
        assert (gone.records, kept.record["Name"], merged.created) == ([], "tree", False)
        assert (wrong.is_success, wrong.status_code) == (False, 400)
        rows = [{"attributes": {"type": "Account"}, "Name": f"aio coll {number}"} for number in range(200)]
        url = f"{client.base_url}/services/data/v{client.version}/composite/sobjects"
        made = (await client.request("POST", url, json={"allOrNone": False, "records": rows})).json()
        assert [row["success"] for row in made] == [True] * 200
        with pytest.raises(SalesforceError):
            await client.request("POST", url, json={"allOrNone": False, "records": [*rows, rows[0]]})

    aio(work)


def test_aio_bulk(aio: Aio) -> None:
    async def load(client: AioSalesforce, operation: Any, rows: list[dict[str, Any]], key: str | None = None) -> JobResult:
        jobs = client.bulk_v2.ingest.perform_operation(operation, "Account", rows, external_id_field=key, polling_interval=0.05)
        (only,) = [job async for job in jobs]
        return only

    async def work(client: AioSalesforce) -> None:
        rows = [{"Name": f"aio bulk, {number}", "Key__c": f"ab-{number}"} for number in range(40)]
        made = await load(client, "insert", [*rows, {"Key__c": "no name"}])
        assert (made.job_info.state, len(made.successful_results), len(made.failed_results), made.unprocessed_records) == ("JobComplete", 40, 1, [])
        assert made.failed_results[0]["sf__Error"].startswith("REQUIRED_FIELD_MISSING:")
        ids = {row["Key__c"]: row["sf__Id"] for row in made.successful_results}
        changed = await load(client, "update", [{"Id": ids["ab-0"], "Phone": "1"}, {"Id": ids["ab-1"], "Phone": "x" * 41}])
        assert [row["sf__Error"].split(":")[0] for row in changed.failed_results] == ["STRING_TOO_LONG"]
        merged = await load(client, "upsert", [{"Key__c": "ab-0", "Name": "ab zero"}, {"Key__c": "ab-new", "Name": "ab new"}], key="Key__c")
        assert sorted(row["sf__Created"] for row in merged.successful_results) == ["false", "true"]
        assert [row["Name"] async for row in client.query("SELECT Name FROM Account WHERE Key__c = 'ab-0'")] == ["ab zero"]
        removed = await load(client, "delete", [{"Id": record} for record in ids.values()])
        assert len(removed.successful_results) == 40
        assert [row["Name"] async for row in client.query("SELECT Name FROM Account WHERE Key__c LIKE 'ab-%'")] == ["ab new"]
        job = await client.bulk_v2.ingest.create_job("insert", "Account")
        assert (await client.bulk_v2.ingest.abort_job(job.id)).state == "Aborted"
        assert made.job_info.id in [listed.id async for listed in client.bulk_v2.ingest.list_jobs()]
        await client.bulk_v2.ingest.delete_job(job.id)

    aio(work)


def test_aio_logs_in_again_when_the_session_expired(aio: Aio, sandbox: SandboxProcess) -> None:
    async def work(client: AioSalesforce) -> None:
        assert [row async for row in client.query("SELECT Id FROM User LIMIT 1")]
        sandbox.control.faults({"kind": "http", "body": "session_expired", "path": "/query"})
        assert [row async for row in client.query("SELECT Id FROM User LIMIT 1")]

    aio(work)
