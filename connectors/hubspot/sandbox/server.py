"""The processes that serve one account."""

from __future__ import annotations

from pathlib import Path

from fastapi import FastAPI

from connectors.hubspot.sandbox.delivery import Deliverer
from connectors.hubspot.sandbox.http import Dispatcher, default_routes
from connectors.hubspot.sandbox.state import State
from connectors.sandbox_kit import server


def create_app(state_path: str | Path) -> FastAPI:
    """The application for one state file."""
    state = State(state_path)
    Deliverer(state).start()
    return server.create_app(Dispatcher(state, default_routes()), "HubSpot sandbox")


def serve(
    state_path: Path, *, host: str = "127.0.0.1", port: int = 0, workers: int = 1, ready_file: Path | None = None, stop_with: int | None = None
) -> None:
    """Serves until SIGTERM or SIGINT; see `connectors.sandbox_kit.server.serve`."""
    State(state_path).close()  # creates the file once, before there are several processes
    server.serve(lambda: create_app(state_path), "HubSpot sandbox", host=host, port=port, workers=workers, ready_file=ready_file, stop_with=stop_with)
