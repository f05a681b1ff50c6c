"""Record ids: 15 case-sensitive characters plus a three-character checksum."""

from __future__ import annotations

import re

ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
CHECKSUM = "ABCDEFGHIJKLMNOPQRSTUVWXYZ012345"
INSTANCE = "5e0"
ID_PATTERN = re.compile(r"[0-9A-Za-z]{15}(?:[0-9A-Za-z]{3})?")
_UPPER = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZ")


def checksum(id15: str) -> str:
    """The three characters that make a 15-character id safe in case-insensitive stores."""
    out = []
    for start in (0, 5, 10):
        value = 0
        for bit in range(5):
            if id15[start + bit] in _UPPER:
                value |= 1 << bit
        out.append(CHECKSUM[value])
    return "".join(out)


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
    digits = []
    for _ in range(width):
        number, remainder = divmod(number, 62)
        digits.append(ALPHABET[remainder])
    return "".join(reversed(digits))


def make_id(prefix: str, number: int) -> str:
    """The 18-character id of the `number`-th record of a key prefix."""
    id15 = f"{prefix}{INSTANCE}{base62(number, 9)}"
    return id15 + checksum(id15)
