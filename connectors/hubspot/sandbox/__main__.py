"""`python -m connectors.hubspot.sandbox --port 8090 --state portal.db`."""

from __future__ import annotations

import argparse
from pathlib import Path

from connectors.hubspot.sandbox.server import serve


def main() -> None:
    """Parses the command line and serves."""
    parser = argparse.ArgumentParser(
        prog="python -m connectors.hubspot.sandbox", description="A local server that answers as a HubSpot account does."
    )
    parser.add_argument("--port", type=int, default=0, help="TCP port on the loopback interface; 0 takes a free one")
    parser.add_argument("--state", type=Path, required=True, help="SQLite file that keeps the account; made when missing")
    parser.add_argument("--workers", type=int, default=1, help="server processes")
    parser.add_argument("--empty", action="store_true", help="no demo data (there is none yet: the flag is what the kit passes to every sandbox)")
    parser.add_argument("--ready-file", type=Path, help="receives the URL as JSON once the server listens")
    parser.add_argument("--stop-with", type=int, help="id of the parent process: the server ends when it is gone")
    given = parser.parse_args()
    serve(given.state, port=given.port, workers=given.workers, ready_file=given.ready_file, stop_with=given.stop_with)


if __name__ == "__main__":
    main()
