"""`scoresync`: everything a person does from a terminal."""

from worker.cli.main import main

__all__ = ["main"]
