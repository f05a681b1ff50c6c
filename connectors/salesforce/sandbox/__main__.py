"""`python -m connectors.salesforce.sandbox --port 8080 --state sandbox.db`."""

from __future__ import annotations

import argparse
from pathlib import Path

from connectors.salesforce.sandbox.server import serve


def main() -> None:
    """Parses the command line and serves."""
    parser = argparse.ArgumentParser(prog="python -m connectors.salesforce.sandbox", description="A local server that answers as an org does.")
    parser.add_argument("--port", type=int, default=0, help="TCP port on the loopback interface; 0 takes a free one")
    parser.add_argument("--state", type=Path, required=True, help="SQLite file that keeps the org; made when missing")
    parser.add_argument("--workers", type=int, default=1, help="server processes")
    parser.add_argument("--empty", action="store_true", help="no demo data (a state file that has data keeps it)")
    parser.add_argument("--accounts", type=int, default=500, help="accounts of demo data in a new org")
    parser.add_argument("--seed", type=int, default=1, help="seed of the demo data")
    parser.add_argument("--usage", type=Path, help="folder for the usage files of the demo data; beside the state when left out")
    parser.add_argument("--ready-file", type=Path, help="receives the URL as JSON once the server listens")
    parser.add_argument("--stop-with", type=int, help="id of the parent process: the server ends when it is gone")
    given = parser.parse_args()
    if not given.empty:
        seed_if_new(given.state, given.accounts, given.seed, given.usage or given.state.parent)
    serve(given.state, port=given.port, workers=given.workers, ready_file=given.ready_file, stop_with=given.stop_with)


def seed_if_new(state_path: Path, accounts: int, seed: int, folder: Path) -> None:
    """Puts demo data into an org that has no accounts, and its usage files under `folder`/usage."""
    from connectors.salesforce.sandbox.seed import seed_sandbox
    from connectors.salesforce.sandbox.state import State

    state = State(state_path)
    if not state.read('SELECT 1 FROM "Account" LIMIT 1'):
        seed_sandbox(state, folder, accounts, seed, state.today())
    state.close()


if __name__ == "__main__":
    main()
