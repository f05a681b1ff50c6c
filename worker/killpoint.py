"""Named places where a test may kill this process with SIGKILL, to show what a crash there leaves behind.

In production nothing is set and a pass costs one dictionary look-up. `SCORESYNC_KILL_AT=item.finish.before_commit#2` kills at the second pass;
passes are counted in the file named by `SCORESYNC_KILL_ONCE`, over all processes, so the restarted worker lives on. Several points, each good for one
death, are separated by commas; each then has a file of its own, `<file>.<name>`.
"""

import os
import signal

#: name -> what a crash there leaves behind, one line. `docs/protocol.md` lists each.
POINTS: dict[str, str] = {}


def register(name: str, leaves: str) -> str:
    """The name, known from now on. Modules register their points when imported, so that tests and the docs can list them all."""
    POINTS[name] = leaves
    return name


def killpoint(name: str) -> None:
    """Pass a named point; die there if the environment says so. An unregistered name is an error, so that none is missing in the docs."""
    if name not in POINTS:
        raise KeyError(f"Kill point {name!r} is not registered.")
    wanted = os.environ.get("SCORESYNC_KILL_AT")
    if not wanted:
        return
    deaths = dict(_parsed(one) for one in wanted.split(","))
    if name in deaths and _passes(f".{name}" if len(deaths) > 1 else "") == deaths[name]:
        os.kill(os.getpid(), signal.SIGKILL)


def _parsed(one: str) -> tuple[str, int]:
    name, _, nth = one.partition("#")
    return name, int(nth or 1)


def _passes(suffix: str) -> int:
    """How often the wanted point was passed, this time included. Each pass appends one byte; the offset after it is the number."""
    path = os.environ.get("SCORESYNC_KILL_ONCE")
    if not path:
        return 1
    handle = os.open(path + suffix, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        os.write(handle, b".")
        return os.lseek(handle, 0, os.SEEK_CUR)
    finally:
        os.close(handle)
