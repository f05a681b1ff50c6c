"""Which files of a source lie in the usage folder now, and whether one of them is still the file we registered."""

import glob
import hashlib
import os
import time
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

from connectors.base import UsageFile
from connectors.usage.errors import UsageFileError
from mappings.models import UsageSource

UNREADABLE = "unreadable:"  # begin of the stand-in for the hash of a file that could not be read; such a file is looked at again every time


def discover(source: UsageSource, root: Path, settle_s: int, known: Iterable[UsageFile] = ()) -> list[UsageFile]:
    """Files matching the source's glob, by path. A file changed less than `settle_s` seconds ago waits for the next look: it may still be written.

    `path` is absolute. `known` (optional): files seen before; one with the same path, size and time stamp is not hashed again.
    A file that cannot be read is listed too, under a hash made of its name and stamp, so that `ingest` reports it and its neighbours go on.
    """
    seen = {file.path: file for file in known}
    found: list[UsageFile] = []
    for name in sorted(set(glob.glob(source.glob, root_dir=root, recursive=True, include_hidden=False))):
        path = os.path.abspath(root / name)
        try:
            stat = os.stat(path)
        except FileNotFoundError:
            if not os.path.islink(path):
                continue  # vanished between the listing and now
            stat = os.lstat(path)
        except OSError:
            stat = os.stat_result((0,) * 10)
        if time.time() - stat.st_mtime < settle_s:
            continue
        found.append(_registered(source.name, path, stat, seen.get(path)))
    return found


def _registered(source: str, path: str, stat: os.stat_result, before: UsageFile | None) -> UsageFile:
    modified_at = _modified(stat)
    same = before is not None and (before.size, before.modified_at) == (stat.st_size, modified_at)
    if before is not None and same and not before.content_hash.startswith(UNREADABLE):
        return UsageFile(source, path, stat.st_size, modified_at, before.content_hash)
    try:
        content_hash = _digest(path)
    except OSError as error:
        text = f"{path}\0{stat.st_mtime_ns}\0{error.errno}"
        content_hash = UNREADABLE + hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:40]
    return UsageFile(source, path, stat.st_size, modified_at, content_hash)


def _digest(path: str) -> str:
    with open(path, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _modified(stat: os.stat_result) -> datetime:
    """Whole microseconds, as a database keeps them."""
    seconds, rest = divmod(stat.st_mtime_ns // 1000, 1_000_000)
    return datetime.fromtimestamp(seconds, UTC).replace(microsecond=rest)


Stamp = tuple[int, int, int]


def hold(file: UsageFile) -> Stamp:
    """The file's stamp, after making sure that its bytes are the registered ones. Raises UsageFileError."""
    try:
        stat = os.stat(file.path)
        if os.path.isdir(file.path):
            raise UsageFileError(file.path, "this is a directory, not a file", "Make the glob of the source match files only.")
        if (stat.st_size, _modified(stat)) != (file.size, file.modified_at) and _digest(file.path) != file.content_hash:
            raise UsageFileError(file.path, "the file changed after it was registered", "Nothing to do: the next run takes the new version.")
        with open(file.path, "rb"):
            return stat.st_size, stat.st_mtime_ns, stat.st_ino
    except FileNotFoundError:
        raise UsageFileError(file.path, "the file is gone", "Put it back, or accept that its last version stays in force.") from None
    except PermissionError:
        raise UsageFileError(file.path, "the file may not be read", "Give the worker's user the right to read the file and its folder.") from None


def still(file: UsageFile, stamp: Stamp) -> None:
    """Raises UsageFileError if the file was written to since `hold`."""
    try:
        stat = os.stat(file.path)
    except OSError:
        stat = None
    if stat is None or (stat.st_size, stat.st_mtime_ns, stat.st_ino) != stamp:
        raise UsageFileError(
            file.path,
            "the file changed while it was read",
            "Nothing to do: the next run takes the new version. If this happens often, raise settle_s or let the export rename its finished file.",
        )


def file_id(file: UsageFile) -> str:
    """Identity of a file version in the lake: source, path and content. The same bytes under two paths are two files."""
    text = "\0".join((file.source, file.path, file.content_hash))
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:16]
