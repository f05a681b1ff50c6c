"""Word matching of the search operators CONTAINS_TOKEN and NOT_CONTAINS_TOKEN."""

from __future__ import annotations

import re
from functools import lru_cache

_WORD = re.compile(r"[\w*]+")


@lru_cache(maxsize=256)
def _pattern(wanted: str) -> tuple[re.Pattern[str], ...]:
    words = _WORD.findall(wanted.lower())
    return tuple(re.compile(re.escape(word).replace(r"\*", r"\w*")) for word in words)


def has_token(value: str | None, wanted: str) -> int:
    """1 when every word of `wanted` (`*` stands for any letters) is a word of `value`; no value has no word."""
    if value is None:
        return 0
    words = re.findall(r"\w+", value.lower())
    return int(all(any(pattern.fullmatch(word) for word in words) for pattern in _pattern(wanted)))
