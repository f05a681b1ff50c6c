"""Logging in: four flows, one token for many, and what is said when it fails."""

import threading
from collections.abc import Iterator

import pytest
import redis
import requests
from pydantic import SecretStr

from connectors.errors import ConnectorError, NotAllowed, NotReachable
from connectors.salesforce.connector import Salesforce
from connectors.sandbox_kit import SandboxProcess
from tests.connectors import orgs


def test_every_flow_logs_in(box: SandboxProcess) -> None:
    user = box.user("integration")
    jwt = {"flow": "jwt", "username": user["username"], "private_key": SecretStr(box.private_key), "client_secret": None}
    password = {
        "flow": "password",
        "username": user["username"],
        "password": SecretStr(user["password"]),
        "security_token": SecretStr(user["security_token"]),
    }
    for given in ({}, jwt, password):
        org = orgs.open_org(box, **given)
        assert org.json("limits", "GET", "limits/")["DailyApiRequests"]["Max"] > 0
        assert org.auth.logins == 1


def test_a_refresh_token_logs_in(box: SandboxProcess) -> None:
    user = box.user("integration")
    client_id, secret = box.app()
    form = {"grant_type": "password", "client_id": client_id, "client_secret": secret, "username": user["username"], "password": user["password"]}
    token = requests.post(f"{box.url}/services/oauth2/token", data=form, timeout=10, proxies={"http": ""}).json()["refresh_token"]
    org = orgs.open_org(box, flow="refresh_token", refresh_token=SecretStr(token))
    assert org.json("limits", "GET", "limits/")["DailyApiRequests"]["Max"] > 0


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"client_id": "nobody"}, "SCORESYNC_SALESFORCE_CLIENT_ID"),
        ({"client_secret": SecretStr("wrong-secret-text")}, "SCORESYNC_SALESFORCE_CLIENT_SECRET"),
        ({"client_secret": None}, "SCORESYNC_SALESFORCE_CLIENT_SECRET is not set"),
        ({"flow": "password", "username": "who@example.com", "password": SecretStr("pw-very-secret")}, "active"),
        ({"flow": "jwt", "username": "x", "private_key": SecretStr("no-key-at-all")}, "SCORESYNC_SALESFORCE_PRIVATE_KEY"),
    ],
)
def test_a_refused_login_says_who_must_do_what_and_no_secret(box: SandboxProcess, given: dict[str, object], says: str) -> None:
    org = orgs.open_org(box, **given)
    with pytest.raises(NotAllowed, match="admin must") as caught:
        org.json("limits", "GET", "limits/")
    assert says in str(caught.value)
    for secret in given.values():
        if isinstance(secret, SecretStr):
            assert secret.get_secret_value() not in repr(caught.value) + str(caught.value)
    with pytest.raises(NotAllowed):  # not asked a second time: repeated failures lock users out
        org.json("limits", "GET", "limits/")
    assert org.auth.logins <= 1


def test_an_org_that_is_not_there_is_not_reachable() -> None:
    class Nowhere:
        url = "http://127.0.0.1:9"

        def app(self, _run_as: str) -> tuple[str, str]:
            return "id", "secret-of-nowhere"

    org = orgs.open_org(Nowhere())  # type: ignore[arg-type]
    with pytest.raises(NotReachable, match="SCORESYNC_SALESFORCE_URL") as caught:
        org.json("limits", "GET", "limits/")
    assert "secret-of-nowhere" not in str(caught.value)
    assert caught.value.__cause__ is None


@pytest.mark.parametrize("url", ["http://acme.my.salesforce.com", "ftp://x", "acme.my.salesforce.com"])
def test_plain_http_is_for_this_host_only(url: str) -> None:
    class Elsewhere:
        def __init__(self) -> None:
            self.url = url

        def app(self, _run_as: str) -> tuple[str, str]:
            return "id", "secret"

    with pytest.raises(ConnectorError, match="https"):
        orgs.open_org(Elsewhere())  # type: ignore[arg-type]


def test_a_lost_session_is_renewed_once(box: SandboxProcess, crm: Salesforce) -> None:
    crm.server_now()
    box.control.call("expire_sessions", {})
    assert "name" in crm.describe("Account")
    assert crm._org.auth.logins == 2


def test_a_session_that_is_never_good_ends_after_one_renewal(box: SandboxProcess, crm: Salesforce) -> None:
    box.control.faults({"kind": "http", "body": "session_expired", "call": "describe", "count": None})
    with pytest.raises(NotAllowed, match=r"fresh session.*admin must check that the connected app"):
        crm.describe("Account")
    assert crm._org.auth.logins == 2
    assert crm.calls.by_kind["describe"] == 2  # not 1,944


@pytest.fixture
def shared_redis(redis_url: str) -> Iterator[redis.Redis]:
    client = redis.Redis.from_url(redis_url)
    yield client
    client.close()


def test_workers_share_one_token_and_renew_it_once(box: SandboxProcess, shared_redis: redis.Redis) -> None:
    shared = [orgs.open_org(box, redis=shared_redis) for _ in range(4)]

    def ask_all() -> None:
        threads = [threading.Thread(target=org.json, args=("limits", "GET", "limits/")) for org in shared]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    ask_all()
    assert sum(org.auth.logins for org in shared) == 1
    box.control.call("expire_sessions", {})
    ask_all()
    assert sum(org.auth.logins for org in shared) == 2
    kept = b"".join(shared_redis.get(key) or b"" for key in shared_redis.keys("scoresync:*"))
    assert shared[0].auth.token().access.encode() not in kept  # encrypted with the client secret
    shared_redis.flushall()
    ask_all()  # nothing in Redis is the only copy of anything
    assert sum(org.auth.logins for org in shared) == 2
