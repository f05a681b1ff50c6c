"""Auto-number display formats: `CSQL-{0000}`."""

from __future__ import annotations

import re

_SLOT = re.compile(r"\{(0+)\}")


def render(pattern: str, number: int) -> str:
    """The display text of the `number`-th record."""
    return _SLOT.sub(lambda match: str(number).zfill(len(match[1])), pattern, count=1)
