"""record and notify: books that balance, letters, history and messages, on run folders laid out by hand."""

import http.server
import importlib
import json
import threading
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest
from sqlalchemy import select

from mappings.models import Alert
from tests import factories
from tests.worker import skeleton
from tests.worker.smtp import mail_server
from worker.items import NewItem, Outcome, RunKind, RunState
from worker.report import run_report
from worker.run import finish_run, start_run
from worker.runtime import Runtime, step_modules
from worker.settings import Settings
from worker.steps.diff import CHANGES
from worker.store import registers, runs
from worker.store.schemas import SCHEMAS
from worker.store.tables import delivery

AS_OF = datetime(2026, 12, 1, 3, 0, tzinfo=UTC)  # noon in Tokyo
RESULT = "connection, object, record_id, external_key, account_id, field, state, code, text, value_hash, letter"
FLIP = "kind, rule, account_id, product, on_, value, channel, cooldown_days, text, also, recipient, routed"


@pytest.fixture
def ledger_url(tmp_path: Path) -> str:
    """SQLite only: what is tested here is the step, and both ledgers are held to the same elsewhere."""
    return f"sqlite:///{tmp_path / 'ledger.db'}"


def write(folder: Path, name: str, columns: str, rows: list[tuple[Any, ...]]) -> None:
    """A Parquet file of text columns (`letter` boolean, `cooldown_days` BIGINT)."""
    con = duckdb.connect()
    kinds = {"letter": "BOOLEAN", "cooldown_days": "BIGINT", "on_": "DATE"}
    names = [c.strip() for c in columns.split(",")]
    typed = ", ".join(f"{n} {kinds.get(n, 'VARCHAR')}" for n in names)
    con.execute(f"CREATE TABLE t ({typed})")
    if rows:
        con.executemany(f"INSERT INTO t VALUES ({', '.join('?' * len(names))})", rows)
    con.execute(f"COPY t TO '{folder / name}.parquet' (FORMAT parquet)")
    con.close()


def change(record: str, field: str, disposition: str = "send", value: str = "1", object_name: str = "account") -> tuple[Any, ...]:
    key = (None, record) if record.startswith("new") else (record, None)
    return (object_name, *key, "acc", field, None, value, "always", disposition, None, "salesforce")


def result(record: str, state: str, field: str = "", letter: bool = False, value_hash: str = "", code: str = "", text: str = "") -> tuple[Any, ...]:
    key = (None, record) if record.startswith("new") else (record, None)
    return ("salesforce", "account", *key, "acc", field, state, code, text, value_hash, letter)


class Given:
    """What the steps before left in the run folder; `go` runs record and notify over it."""

    def __init__(self, runtime: Runtime) -> None:
        self.runtime = runtime
        self.changes: list[tuple[Any, ...]] = []
        self.results: dict[str, list[tuple[Any, ...]]] = {}
        self.flips: list[tuple[Any, ...]] = []
        self.history: list[tuple[Any, ...]] = []
        self.mappings = skeleton.no_mappings()

    def lay(self, ctx: Any) -> list[NewItem]:
        write(ctx.folder, "changes", ", ".join(CHANGES), self.changes)
        for name, rows in self.results.items():
            write(ctx.folder, f"results-{name}", RESULT, rows)
        write(ctx.folder, "flips", FLIP, [(*flip[:4], ctx.run.as_of.date(), *flip[5:]) for flip in self.flips])
        for name, table in (
            ("history", "score_history"),
            ("signals", "signal_history"),
            ("anomalies", "anomaly_history"),
            ("population", "population_stats"),
        ):
            rows = self.history if name == "history" else []
            con = duckdb.connect()
            con.execute(f"CREATE TABLE t ({', '.join(f'{n} {k}' for n, k in SCHEMAS[table].items())})")
            for account, day, score in rows:
                con.execute("INSERT INTO t (account_id, on_, score, run_id, as_of) VALUES (?, ?, ?, ?, ?)", [account, day, score, ctx.run.id, AS_OF])
            con.execute(f"COPY t TO '{ctx.folder / name}.parquet' (FORMAT parquet)")
            con.close()
        return []

    def go(self, kind: RunKind = RunKind.FULL, as_of: datetime = AS_OF) -> str:
        modules = step_modules_of("record", "notify")
        self.runtime.steps = {"lay": skeleton.make_step("lay", self.lay, lambda ctx, item: Outcome()), **modules}
        run_id = start_run(self.runtime, self.mappings, kind, as_of=as_of)
        finish_run(self.runtime, run_id)
        return run_id

    def letters(self) -> list[tuple[str, str, str, int]]:
        return [(d.record_key, d.field, d.state, d.attempts) for d in registers.dead_letters(self.runtime.ledger, states=("open", "retry", "closed"))]


def step_modules_of(*names: str) -> dict[str, Any]:
    return {name: importlib.import_module(f"worker.steps.{name}") for name in names}


@pytest.fixture
def given(runtime: Runtime) -> Given:
    return Given(runtime)


# --- the books -----------------------------------------------------------------------------------------------------------------------------------
def test_every_record_has_one_end(given: Given) -> None:
    given.changes = [
        change("r1", "a"),
        change("r1", "b", "held"),
        change("r2", "a"),
        change("r3", "a", "held"),
        change("r4", "a", "invalid"),
        change("r5", "a"),
    ]
    given.changes += [change("r6", "a"), change("new1", "a", object_name="account")]
    given.results = {
        "7-0": [result("r1", "ok"), result("r2", "rejected"), result("r5", "superseded"), result("r6", "unprocessed"), result("new1", "ok")],
        "7-1": [result("r6", "ok")],  # another round
        "8-0": [result("r3", "held"), result("r4", "invalid"), result("r1", "held", "b")],
    }
    run_id = given.go()
    run = runs.get(given.runtime.ledger, run_id)
    assert (run.state, run.reason) == (RunState.DONE, "")
    # r1, r6, new1 ok; r2 rejected; r3 held; r4 invalid; r5 superseded: 7 records
    assert run_report(given.runtime.ledger, run_id)["writes"] == {"ok": 3, "rejected": 1, "unprocessed": 0, "held": 1, "invalid": 1, "superseded": 1}


def test_a_change_without_a_result_makes_the_run_red_and_names_it(given: Given) -> None:
    given.changes = [change("r1", "a"), change("r2", "a")]
    given.results = {"7-0": [result("r1", "ok")]}
    run = runs.get(given.runtime.ledger, given.go())
    assert run.state == RunState.RED
    assert run.reason == "1 of 2 records to be written have no result (missing): account r2."


# --- dead letters --------------------------------------------------------------------------------------------------------------------------------
def test_a_refused_value_is_set_aside_counted_on_and_closed_when_it_goes_through(given: Given) -> None:
    given.changes = [change("r1", "a")]
    given.results = {"7-0": [result("r1", "rejected", letter=True, value_hash="h1", code="FIELD_INTEGRITY", text="no")]}
    given.go()
    (letter,) = registers.dead_letters(given.runtime.ledger)
    assert (letter.record_key, letter.code, letter.text, letter.attempts) == ("r1", "FIELD_INTEGRITY", "no", 1)
    assert letter.next_at == AS_OF + timedelta(days=1)
    given.go(as_of=AS_OF + timedelta(days=1))
    (letter,) = registers.dead_letters(given.runtime.ledger)
    assert (letter.attempts, letter.next_at) == (2, AS_OF + timedelta(days=3))  # the second day, and two more
    given.results = {"7-0": [result("r1", "ok")]}
    given.go(as_of=AS_OF + timedelta(days=2))
    assert given.letters() == [("r1", "", "closed", 2)]


def test_a_letter_on_one_field_stays_open_while_the_others_go_through(given: Given) -> None:
    given.changes = [change("r1", "a"), change("r1", "b")]
    given.results = {"7-0": [result("r1", "ok"), result("r1", "rejected", "b", letter=True, value_hash="h", code="STRING_TOO_LONG")]}
    given.go()
    given.changes = [change("r1", "a"), change("r1", "b", "rejected_before")]
    given.results = {"7-0": [result("r1", "ok")]}
    given.go(RunKind.INCREMENT)
    assert given.letters() == [("r1", "b", "open", 1)]
    given.changes = [change("r1", "a")]  # b no longer differs: a person put it right
    given.go(RunKind.INCREMENT)
    assert given.letters() == [("r1", "b", "open", 1)]  # an increment does not see every record
    given.go(RunKind.FULL)
    assert given.letters() == [("r1", "b", "closed", 1)]


def test_a_value_that_cannot_fit_is_not_tried_by_the_calendar(given: Given) -> None:
    given.changes = [change("r1", "a", "invalid")]
    given.results = {"7-0": [result("r1", "invalid"), result("r1", "invalid", "a", letter=True, value_hash="h", code="INVALID", text="too long")]}
    given.go()
    (letter,) = registers.dead_letters(given.runtime.ledger)
    assert (letter.field, letter.code, letter.next_at) == ("a", "INVALID", None)
    assert "Widen the field" in letter.remedy


# --- history -------------------------------------------------------------------------------------------------------------------------------------
def test_history_is_appended_once_and_a_full_run_closes_its_date(given: Given) -> None:
    given.history = [("a1", date(2026, 12, 1), 58)]
    given.results = {"7-0": []}
    given.go(RunKind.INCREMENT)
    assert registers.closings(given.runtime.ledger) == []
    given.go(RunKind.FULL)
    assert registers.closings(given.runtime.ledger) == [date(2026, 12, 1)]
    files = given.runtime.lake.files("score_history")
    rows = duckdb.sql(f"SELECT account_id, score FROM {given.runtime.lake.relation(files, SCHEMAS['score_history'])}").fetchall()
    assert rows == [("a1", 58), ("a1", 58)]  # one row per run


# --- telling people ------------------------------------------------------------------------------------------------------------------------------
class Slack(http.server.BaseHTTPRequestHandler):
    """Keeps what it is sent; answers as told."""

    status = 200
    messages: list[str]

    def do_POST(self) -> None:
        type(self).messages.append(json.loads(self.rfile.read(int(self.headers["Content-Length"])))["text"])
        self.send_response(type(self).status)
        self.end_headers()
        self.wfile.write(b"ok")

    def log_message(self, *_: Any) -> None:
        return None


@pytest.fixture
def slack(given: Given) -> Iterator[type[Slack]]:
    handler = type("Handler", (Slack,), {"messages": []})
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    given.runtime.settings = Settings(slack_webhook=f"http://127.0.0.1:{server.server_port}/hook/canary")
    yield handler
    server.shutdown()
    server.server_close()


def alerting(given: Given, channel: str = "slack", cooldown_days: int = 7) -> None:
    rule = {"name": "score_drop", "when": "true", "channel": channel, "cooldown_days": cooldown_days, "text": factories.make_text("Fell by 20")}
    given.mappings = given.mappings.model_copy(update={"alerts": {"score_drop": Alert(**rule)}})
    given.results = {"7-0": []}
    given.flips = [("alert", "score_drop", "a1", "", None, "true", channel, cooldown_days, "Fell by 20 & <more>", "", None, None)]
    given.flips += [("tier", "tier", "a2", "", None, "4→3", None, None, None, None, None, None)]


def states(runtime: Runtime) -> list[str]:
    return [row.state for row in runtime.ledger.rows(select(delivery.c.state).order_by(delivery.c.flip_id))]


def test_a_flip_is_told_once_and_not_again_while_it_cools(given: Given, slack: type[Slack]) -> None:
    alerting(given)
    given.go()
    (message,) = slack.messages
    assert "*score_drop* `a1` 2026-12-01: Fell by 20 &amp; &lt;more&gt;" in message
    given.go()  # the same news on the same day is one flip
    given.go(as_of=AS_OF + timedelta(days=6))
    assert len(slack.messages) == 1
    given.go(as_of=AS_OF + timedelta(days=7))
    assert len(slack.messages) == 2
    assert states(given.runtime) == ["sent", "cooled", "sent"]


def test_a_channel_that_is_not_set_up_holds_nothing_up_and_is_told_later(given: Given, slack: type[Slack]) -> None:
    there, given.runtime.settings = given.runtime.settings, Settings()
    alerting(given)
    run = runs.get(given.runtime.ledger, given.go())
    assert (run.state, states(given.runtime)) == (RunState.DONE, ["open"])
    assert "SCORESYNC_SLACK_WEBHOOK" in run.report["notify:slack"]
    given.runtime.settings = there
    given.flips = []
    given.go()
    assert (len(slack.messages), states(given.runtime)) == (1, ["sent"])


def test_an_end_is_told_where_its_beginning_was_and_only_once(given: Given, slack: type[Slack]) -> None:
    alerting(given, cooldown_days=30)
    begun, tier = given.flips
    over = (*begun[:5], "false", *begun[6:8], "Back to usual", *begun[9:])
    for day, flips in ((0, [over]), (1, [begun]), (2, [over]), (3, [begun]), (4, [over])):
        given.flips = [*flips, tier]
        given.go(as_of=AS_OF + timedelta(days=day))
    # day 0: an end nobody was told the beginning of; days 3 and 4: cooled, and the end of what was cooled
    assert [text.split(": ", 1)[1].split("\n")[0] for text in slack.messages] == ["Fell by 20 &amp; &lt;more&gt;", "Back to usual"]
    assert states(given.runtime) == ["cooled", "sent", "sent", "cooled", "cooled"]


def test_a_beginning_and_its_end_that_waited_together_are_both_told(given: Given, slack: type[Slack]) -> None:
    there, given.runtime.settings = given.runtime.settings, Settings()
    alerting(given)
    begun, _ = given.flips
    given.go()
    given.flips = [(*begun[:5], "false", *begun[6:8], "Back to usual", *begun[9:])]
    given.runtime.settings = there
    given.go(as_of=AS_OF + timedelta(days=1))
    (message,) = slack.messages
    assert message.index("Fell by 20") < message.index("Back to usual")


def test_an_alert_goes_to_its_further_channels_and_names_whom_it_is_for(given: Given, slack: type[Slack], tmp_path: Path) -> None:
    alerting(given)
    begun, _ = given.flips
    given.flips = [(*begun[:9], "email+log", "005P", "partner")]
    with mail_server(tmp_path) as box:
        given.runtime.settings = given.runtime.settings.model_copy(
            update={
                "smtp_host": "127.0.0.1",
                "smtp_port": box.port,
                "smtp_ca_file": box.ca_file,
                "smtp_from": "s@example.com",
                "smtp_to": "t@example.com",
            }
        )
        given.go()
        given.go()
    assert "→ 005P (partner)" in slack.messages[0]
    assert (len(slack.messages), len(box.mails), states(given.runtime)) == (1, 1, ["sent"] * 3)


def test_a_refused_message_is_not_sent_for_ever(given: Given, slack: type[Slack]) -> None:
    alerting(given)
    slack.status = 403
    run = runs.get(given.runtime.ledger, given.go())
    assert (run.state, states(given.runtime)) == (RunState.DONE, ["failed"])
    assert "canary" not in run.report["notify:slack"]


def test_steps_are_nine_and_importable() -> None:
    assert list(step_modules()) == ["pull", "stage", "join", "score", "decide", "diff", "write_back", "record", "notify"]
