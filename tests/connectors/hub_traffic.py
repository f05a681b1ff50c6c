"""What the HubSpot connector says and hears, held against the contract files beside the reference sheet; nothing is checked where they are absent.

A fault may break an answer on purpose, never a request: every request is checked, and every good answer that can be read. The files know nothing of
account-info, so neither do we here.
"""

import threading
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import orjson
import pytest
import urllib3

from connectors.hubspot import client
from connectors.hubspot.errors import Answer
from tests.sandbox_hubspot.contract import contract, family_of

#: Paths that no contract file describes: the sandbox's own, and account-info.
UNDESCRIBED = ("/__sandbox__", "/account-info/")


class Traffic:
    """Calls checked so far, and what was wrong with them. `answers`: false where a test makes the answers up."""

    def __init__(self, answers: bool = True) -> None:
        self.answers = answers
        self.problems: list[str] = []
        self.checked = 0
        self._last = threading.local()

    def listen(self, patch: pytest.MonkeyPatch) -> None:
        """To everything this process sends, and to what the connector reads of it."""
        send, read = urllib3.connectionpool.HTTPConnectionPool.urlopen, client._answer

        def urlopen(pool: Any, method: str, url: str, body: Any = None, *more: Any, **options: Any) -> Any:
            self.said(method, urlsplit(url).path, body)
            return send(pool, method, url, body, *more, **options)

        def answer(call: Callable[[], Any]) -> Answer:
            found = read(call)
            self.heard(found)
            return found

        patch.setattr(urllib3.connectionpool.HTTPConnectionPool, "urlopen", urlopen)
        patch.setattr(client, "_answer", answer)

    def said(self, method: str, path: str, body: Any) -> None:
        self._last.call = (method, path)
        rules = contract(family_of(path))
        if rules is None or path.startswith(UNDESCRIBED):
            return
        if rules.operation(method, path) is None:
            self.problems.append(f"{method} {path}: the contract has no such operation")
        elif (given := _json(body)) is not None:
            self._note(rules.request_problems(method, path, given), f"{method} {path} sends")

    def heard(self, answer: Answer) -> None:
        method, path = self._last.call
        rules, body = contract(family_of(path)), _json(answer.content)
        if rules is None or not self.answers or answer.status not in (200, 201, 207):
            return
        if isinstance(body, dict) and body.get("status") != "error":  # else a fault's
            self._note(rules.problems(method, path, answer.status, body), f"{method} {path} answers {answer.status}")

    def _note(self, found: list[str] | None, what: str) -> None:
        self.checked += found is not None
        self.problems += [f"{what} {one}" for one in (found or [])[:3]]


def _json(content: Any) -> Any:
    """Null for what is no JSON: forms of a login, answers that a fault cut off."""
    try:
        return orjson.loads(content or b"")
    except (orjson.JSONDecodeError, TypeError):
        return None
