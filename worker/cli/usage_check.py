"""What `scoresync check` says of the usage folder: is there a file for each source, and can the newest one be read as its mapping says."""

import tempfile
from datetime import date, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

from connectors.base import Finding, IngestResult, UsageFile
from connectors.usage.files import UsageFileError, discover, ingest
from mappings.models import Mappings, UsageSource
from worker.settings import Settings
from worker.store.engine import open_engine


def usage_findings(found: Settings, customer: Mappings) -> dict[str, list[Finding]]:
    """Usage source -> findings. Reads the newest file of each source into a folder that is thrown away; lake and ledger are not touched.

    An error where that file cannot be taken at all; a warning for rows that would be set aside, and for a source without any file.
    """
    today = datetime.now(ZoneInfo(customer.calendar.timezone)).date()
    said: dict[str, list[Finding]] = {}
    for source in customer.usage.values():
        try:
            newest = _newest(source, found)
            said[source.name] = _of_file(source, newest, found, today) if newest else [_none(source, found)]
        except UsageFileError as error:
            said[source.name] = [Finding("error", f"usage/{source.name}.yml", f"{error.path}: {error.what}.", error.remedy)]
    return said


def _newest(source: UsageSource, found: Settings) -> UsageFile | None:
    """By time stamp; only that one is hashed."""
    root = found.usage.absolute()
    stamped = [(path.stat().st_mtime, str(path.relative_to(root))) for path in root.glob(source.glob) if path.is_file()]
    if not stamped:
        return None
    return next(iter(discover(source.model_copy(update={"glob": _literal(max(stamped)[1])}), root, 0)), None)


def _literal(path: str) -> str:
    """A path as a glob that matches only itself."""
    return "".join(f"[{letter}]" if letter in "*?[" else letter for letter in path)


def _of_file(source: UsageSource, file: UsageFile, found: Settings, today: date) -> list[Finding]:
    with tempfile.TemporaryDirectory(prefix="scoresync-check-") as name:
        scratch = Path(name)
        with open_engine(found.model_copy(update={"lake": scratch / "lake"}), [Path(file.path).parent, scratch]) as con:
            result = ingest(con, source, file, b"check", scratch / "parts", None, today)
    return _rejects(source, file, result)


def _rejects(source: UsageSource, file: UsageFile, result: IngestResult) -> list[Finding]:
    if not result.rows_set_aside:
        return []
    text = f"{file.path}: {result.rows_set_aside:,} of {result.rows_in:,} rows would be set aside"
    if result.rejects:
        first = result.rejects[0]
        return [Finding("warning", f"usage/{source.name}.yml", f"{text}; the first is {first.where}, {first.column}: {first.reason}.", first.remedy)]
    return [Finding("warning", f"usage/{source.name}.yml", f"{text}.")]


def _none(source: UsageSource, found: Settings) -> Finding:
    where = found.usage.absolute()
    text = f"no file {source.glob!r} in {where}, so this source counts for nobody."
    return Finding("warning", f"usage/{source.name}.yml", text, "Bring the exports there, or set SCORESYNC_USAGE or the glob.")
