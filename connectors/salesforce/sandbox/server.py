"""The processes that serve one org."""

from __future__ import annotations

from pathlib import Path

from fastapi import FastAPI

from connectors.salesforce.sandbox.http import Dispatcher, Outcome, default_routes
from connectors.salesforce.sandbox.state import State
from connectors.sandbox_kit import server
from connectors.sandbox_kit.server import Answer, Call


def create_app(state_path: str | Path) -> FastAPI:
    """The application for one state file."""
    dispatcher = Dispatcher(State(state_path), default_routes())

    def handle(call: Call) -> Answer:
        return _answer(dispatcher.handle(call.method, call.path, call.query, call.headers, call.body, call.base_url))

    return server.create_app(handle, "Salesforce sandbox")


def _answer(outcome: Outcome) -> Answer:
    reply = outcome.reply
    headers = {key: value for key, value in (outcome.headers | reply.headers).items() if key.lower() not in outcome.without}
    return Answer(
        reply.status,
        b"" if reply.stream else reply.content(),
        None if reply.body is None else reply.media_type,
        headers,
        reply.body if reply.stream else None,
        outcome.reset,
        outcome.truncate,
    )


def serve(
    state_path: Path, *, host: str = "127.0.0.1", port: int = 0, workers: int = 1, ready_file: Path | None = None, stop_with: int | None = None
) -> None:
    """Serves until SIGTERM or SIGINT; see `connectors.sandbox_kit.server.serve`."""
    State(state_path).close()  # creates the file once, before there are several processes
    server.serve(
        lambda: create_app(state_path), "Salesforce sandbox", host=host, port=port, workers=workers, ready_file=ready_file, stop_with=stop_with
    )
