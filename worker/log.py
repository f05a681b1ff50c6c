"""Log lines: one event, one name (`item.failed`), fields beside it. Ids and counts only; never names, addresses or record bodies.

Every text that goes out passes a masking processor, so a secret that slips into an error message of a library is starred.
"""

import logging
import re
import sys
from collections.abc import MutableMapping
from typing import Any

import structlog

from worker.settings import Settings

MASK = "***"
#: Credentials inside a URL, whoever wrote it: postgresql://user:password@host
_IN_URL = re.compile(r"(?<=://)([^/\s:@]*):([^/\s@]+)@")
#: Shorter secrets would star ordinary words; a secret this short is none.
_LEAST = 6


class Masker:
    """Replaces every known secret, and any password inside a URL, in texts of any depth."""

    def __init__(self, secrets: list[str]) -> None:
        known = sorted({s for s in secrets if len(s) >= _LEAST}, key=len, reverse=True)
        self._known = re.compile("|".join(re.escape(s) for s in known)) if known else None

    def text(self, value: str) -> str:
        value = _IN_URL.sub(rf"\1:{MASK}@", value)
        return self._known.sub(MASK, value) if self._known else value

    def anything(self, value: Any) -> Any:
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, dict):
            return {key: self.anything(one) for key, one in value.items()}
        if isinstance(value, list | tuple):
            return [self.anything(one) for one in value]
        return value if value is None or isinstance(value, bool | int | float) else self.text(str(value))

    def __call__(self, _logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        return {key: self.anything(value) for key, value in event.items()}


def configure(settings: Settings) -> None:
    """Log lines of this process go to stderr, as JSON or for a console. May be called again."""
    masker = Masker(settings.secrets())
    shape = structlog.processors.JSONRenderer(ensure_ascii=False) if settings.log_format == "json" else structlog.dev.ConsoleRenderer(colors=False)
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            masker,
            shape,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(getattr(logging, settings.log_level.upper())),
        # looked up at each line: a test or a tool may put another stream in its place
        logger_factory=lambda *_: structlog.PrintLogger(sys.stderr),
        cache_logger_on_first_use=False,
    )


def get(**fields: Any) -> structlog.stdlib.BoundLogger:
    """A logger with these fields on every line."""
    logger: structlog.stdlib.BoundLogger = structlog.get_logger(**fields)
    return logger
