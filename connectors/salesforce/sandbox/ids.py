"""Record ids: 15 case-sensitive characters plus a three-character checksum."""

from __future__ import annotations

import re
from functools import lru_cache

ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
CHECKSUM = "ABCDEFGHIJKLMNOPQRSTUVWXYZ012345"
INSTANCE = "5e0"
ID_PATTERN = re.compile(r"[0-9A-Za-z]{15}(?:[0-9A-Za-z]{3})?")
_PAIRS = [first + second for first in ALPHABET for second in ALPHABET]  # two digits at a time
_UPPER = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZ")


@lru_cache(maxsize=4096)
def _group(text: str) -> str:
    value = 0
    for bit, char in enumerate(text):
        if char in _UPPER:
            value |= 1 << bit
    return CHECKSUM[value]


def checksum(id15: str) -> str:
    """The three characters that make a 15-character id safe in case-insensitive stores."""
    return _group(id15[:5]) + _group(id15[5:10]) + _group(id15[10:])


def to18(value: str) -> str | None:
    """The 18-character form of a 15- or 18-character id; None when the text cannot be an id.

    An 18-character id in the wrong case is repaired from its checksum, as the vendor does.
    """
    if not ID_PATTERN.fullmatch(value):
        return None
    if len(value) == 15:
        return value + checksum(value)
    if checksum(value[:15]) == value[15:]:
        return value
    return _repair(value)


def _repair(value: str) -> str | None:
    suffix = value[15:].upper()
    if any(char not in CHECKSUM for char in suffix):
        return None
    chars = []
    for position, char in enumerate(value[:15]):
        bits = CHECKSUM.index(suffix[position // 5])
        chars.append(char.upper() if bits >> (position % 5) & 1 else char.lower())
    fixed = "".join(chars)
    return fixed + suffix if checksum(fixed) == suffix else None


def base62(number: int, width: int) -> str:
    """Fixed-width base 62, ordered like the number under a byte-wise comparison."""
    pairs = []
    for _ in range((width + 1) // 2):
        number, remainder = divmod(number, 3844)
        pairs.append(_PAIRS[remainder])
    return "".join(reversed(pairs))[-width:]


def make_id(prefix: str, number: int) -> str:
    """The 18-character id of the `number`-th record of a key prefix."""
    id15 = f"{prefix}{INSTANCE}{base62(number, 9)}"
    return id15 + checksum(id15)
