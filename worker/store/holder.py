"""Who holds a lease: a process, told apart from a later one with the same pid. A dead one on this host is known at once, without waiting."""

import os
import socket
from pathlib import Path


def me() -> str:
    """host/pid namespace/pid/start time of this process."""
    return f"{_here()}/{os.getpid()}/{_started(os.getpid()) or 0}"


def is_dead(holder: str) -> bool:
    """The process is certainly gone. False for another host's, or where this cannot be known: then the lease has to run out."""
    where, _, rest = holder.rpartition("/")
    where, _, pid = where.rpartition("/")
    if where != _here() or not pid.isdigit() or not Path("/proc/self/stat").exists():
        return False
    return _started(int(pid)) != rest


def is_running(pid: int) -> bool:
    """A process of this number runs here; True where this cannot be known."""
    return not Path("/proc/self/stat").exists() or _started(pid) is not None


def _here() -> str:
    """Containers may share a host name but not a pid namespace."""
    try:
        namespace = os.readlink("/proc/self/ns/pid")
    except OSError:
        namespace = "-"
    return f"{socket.gethostname()}/{namespace}"


def _started(pid: int) -> str | None:
    """Start time in clock ticks since boot, field 22 of /proc/<pid>/stat (man 5 proc); null if there is no such process or it is a zombie."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] in "ZX" else fields[19]
