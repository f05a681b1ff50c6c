"""Checks of usage sources, products and the calendar."""

import re
from collections.abc import Iterator
from datetime import date
from functools import lru_cache
from zoneinfo import available_timezones

from holidays.registry import COUNTRIES

from mappings.checker import Checker
from mappings.expressions import ExpressionFault, nearest
from mappings.faults import Fault
from mappings.models import Calendar, Products, UsageSource
from mappings.yaml_files import Document, Path_

_NEEDED = {"events": ("day",), "snapshot": ("metric", "value", "occurred_at")}
_STRAY = {"events": ("metric", "value", "occurred_at"), "snapshot": ("user_key", "feature", "day", "events", "seconds", "row_id")}
_SUFFIXES = {".parquet": "parquet", ".csv": "csv", ".csv.gz": "csv", ".jsonl": "jsonl", ".jsonl.gz": "jsonl"}


def check_sources(checker: Checker) -> Iterator[Fault]:
    products = checker.parts.single("products.yml", Products)
    codes = [product.code for product in products.products] if products else None
    globs: dict[str, str] = {}
    for name, source in checker.parts.models["usage"].items():
        document = checker.parts.documents[("usage", name)]
        yield from _usage(checker, document, source, codes)
        yield from _match_key(checker, document, source)
        other = globs.setdefault(source.glob, document.file)
        if other != document.file:
            yield document.fault(
                ("glob",), f"the same files are already taken by {other}: every row would count twice", "give each source its own files"
            )
    if products is not None:
        yield from _products(checker.parts.documents[("products.yml", "products.yml")], products)
    calendar = checker.parts.single("calendar.yml", Calendar)
    if calendar is not None:
        yield from _calendar(checker, checker.parts.documents[("calendar.yml", "calendar.yml")], calendar)


# --- usage ---------------------------------------------------------------------------------------------------------------------------------------
def _usage(checker: Checker, document: Document, source: UsageSource, codes: list[str] | None) -> Iterator[Fault]:
    given = source.columns.model_dump(exclude_none=True)
    for key in _NEEDED[source.kind]:
        if key not in given:
            yield document.fault(("columns", key), f"`{key}` is missing: {source.kind} rows need it", "name the export's column")
    for key in _STRAY[source.kind]:
        if key in given:
            yield document.fault(("columns", key), f"`{key}` has no place in {source.kind} rows", "drop it, or change the kind")
    yield from _product(document, source, codes)
    names = list(given.values())
    for key, name in given.items():
        if names.count(name) > 1 and key != next(k for k, n in given.items() if n == name):
            yield document.fault(("columns", key), f"the export's column `{name}` is named twice", "each column has one meaning")
    yield from _files(document, source)
    yield from _timezone(document, source.timezone)
    for place, pattern in enumerate(source.date_formats):
        yield from _date_format(checker, document, place, pattern)
    if (source.replaces == "snapshot") != (source.kind == "snapshot"):
        yield document.fault(
            ("replaces",),
            f"replaces {source.replaces} does not fit kind {source.kind}",
            "snapshot replaces snapshot; events replace file, day or tenant_day",
        )


def _match_key(checker: Checker, document: Document, source: UsageSource) -> Iterator[Fault]:
    """Usage joins on a match key that some connection must map."""
    mappings = checker.parts.models["crm"]
    if mappings and len(mappings) == len(checker.parts.stems("crm")):
        keyed = any("match_key" in one.columns for mapping in mappings.values() for one in mapping.entities.get(source.matches, []))
        if not keyed:
            yield document.fault(
                ("matches",), f"no connection maps `match_key` of {source.matches}: no usage row would find its account", "map it in crm/"
            )


def _product(document: Document, source: UsageSource, codes: list[str] | None) -> Iterator[Fault]:
    column = source.columns.product
    if source.product is not None and column is not None:
        yield document.fault(("product",), "the product comes from a column and is a constant: one of the two", "drop columns.product or product")
    if source.product is None and column is None and source.matches == "account":
        yield document.fault(
            ("columns", "product"), "`product` is missing: usage would belong to no product", "name the column, or write product: for all rows"
        )
    if source.product is not None and codes is not None and source.product not in codes:
        yield document.fault(
            ("product",), f"`{source.product}` is not in products.yml", nearest(source.product, codes) or f"known: {', '.join(codes)}"
        )


def _files(document: Document, source: UsageSource) -> Iterator[Fault]:
    if ".." in re.split(r"[\\/]", source.glob):
        yield document.fault(("glob",), "may not climb out of the usage folder with `..`", "give a path below SCORESYNC_USAGE, or an absolute one")
    ending = next((kind for suffix, kind in _SUFFIXES.items() if source.glob.lower().endswith(suffix)), None)
    if ending is not None and source.format not in ("auto", ending):
        yield document.fault(("format",), f"format {source.format} does not fit files named {source.glob}", f"write format: {ending}")
    if len(source.delimiter) != 1:
        yield document.fault(("delimiter",), f"must be one character, not {len(source.delimiter)}", 'write "," ";" or "\\t"')


def _timezone(document: Document, name: str) -> Iterator[Fault]:
    if name not in _zones():
        yield document.fault(("timezone",), f"unknown time zone `{name}`", nearest_zone(name))


@lru_cache(maxsize=1)
def _zones() -> frozenset[str]:
    return frozenset(available_timezones())


def nearest_zone(name: str) -> str:
    """A hint for a misspelt zone; names are compared without regard to case."""
    by_lower = {zone.lower(): zone for zone in _zones()}
    if name.lower() in by_lower:
        return f"did you mean `{by_lower[name.lower()]}`?"
    return nearest(name, by_lower) or "write an IANA name such as Asia/Tokyo"


def _date_format(checker: Checker, document: Document, place: int, pattern: str) -> Iterator[Fault]:
    path = ("date_formats", place)
    try:
        checker.expressions.check_date_format(pattern)
    except ExpressionFault as fault:
        yield document.fault(path, f"`{pattern}` is no date format: {fault}", "use strptime codes, as %Y-%m-%d or %d.%m.%Y %H:%M")
        return
    if not (re.search(r"%[Yy]", pattern) and re.search(r"%-?[mbB]", pattern) and re.search(r"%-?d", pattern)) and not re.search(r"%-?j", pattern):
        yield document.fault(path, f"`{pattern}` names no full date", "it needs year, month and day, as %Y-%m-%d")


# --- products and calendar -----------------------------------------------------------------------------------------------------------------------
def _products(document: Document, products: Products) -> Iterator[Fault]:
    codes = [product.code for product in products.products]
    for place, product in enumerate(products.products):
        if product.code in codes[:place]:
            yield document.fault(("products", place, "code"), f"product `{product.code}` is listed twice", "keep one entry per code")
        for key, names in (("plans", product.plans), ("core_features", product.core_features), ("advanced_features", product.advanced_features)):
            for at, name in enumerate(names):
                if name in names[:at]:
                    yield document.fault(("products", place, key, at), f"`{name}` is listed twice", "keep one")
        for at, name in enumerate(product.advanced_features):
            if name in product.core_features:
                yield document.fault(("products", place, "advanced_features", at), f"`{name}` is also a core feature", "a feature is one of the two")


def _calendar(checker: Checker, document: Document, calendar: Calendar) -> Iterator[Fault]:
    yield from _timezone(document, calendar.timezone)
    countries = {code for row in COUNTRIES.values() for code in row[1:]}
    if calendar.country not in countries:
        yield document.fault(("country",), f"unknown country `{calendar.country}`", "write the two letters of ISO 3166, as JP")
    for place, text in enumerate(calendar.closures):
        if not _is_closure(text):
            yield document.fault(("closures", place), f"`{text}` is no date", "write MM-DD for every year or YYYY-MM-DD for one day")
    if calendar.renewal_days < 1:
        yield document.fault(("renewal_days",), f"is {calendar.renewal_days}", "write at least 1")
    yield from _events(checker, document, calendar)


def _events(checker: Checker, document: Document, calendar: Calendar) -> Iterator[Fault]:
    products = checker.parts.single("products.yml", Products)
    known = [product.code for product in products.products] if products is not None else None
    for place, event in enumerate(calendar.events):
        at: Path_ = ("events", place)
        for key, text in (("first", event.first), ("last", event.last)):
            if not _is_closure(text):
                yield document.fault((*at, key), f"`{text}` is no date", "write MM-DD for every year or YYYY-MM-DD for one day")
        if len(event.first) != len(event.last):
            yield document.fault((*at, "last"), "is written unlike `first`", "write both as MM-DD or both as YYYY-MM-DD")
        elif len(event.first) == 10 and event.last < event.first:
            yield document.fault((*at, "last"), f"`{event.last}` lies before `{event.first}`", "turn the two around")
        for language, text in (("en", event.title.en), ("ja", event.title.ja)):
            if "{" in text or "}" in text:
                yield document.fault((*at, "title", language), "holds a slot, but an event has no row", "write plain words")
        for n, code in enumerate(event.products):
            if known is not None and code not in known:
                yield document.fault((*at, "products", n), f"there is no product `{code}` in products.yml", nearest(code, known))


def _is_closure(text: str) -> bool:
    if not re.fullmatch(r"(\d{4}-)?\d{2}-\d{2}", text, re.ASCII):
        return False
    try:
        date.fromisoformat(text if len(text) == 10 else f"2024-{text}")  # a leap year, so that 02-29 is one
    except ValueError:
        return False
    return True
