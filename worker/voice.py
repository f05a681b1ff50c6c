"""What customers ask for: survey comments and ticket subjects tagged by the words of voice.yml, summed up by annual revenue and product.

Made when somebody asks, from the lake and the newest full run; a run pays nothing for it.
"""

import re
import unicodedata
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import duckdb

from connectors.entities import Entity, columns
from mappings.models import Mappings
from mappings.models_sales import VoiceTag
from worker._rows import file_of, rows_of
from worker.runtime import Runtime
from worker.sql import literal, query_sql
from worker.steps._crm import load_latest, load_masters
from worker.steps._lake import open_relations
from worker.steps._relations import LakeRelations, Moment
from worker.store.engine import open_engine
from worker.today import newest_full

#: Quotations shown per tag. Chosen: what one reads.
QUOTED = 3
#: Full-width Latin letters, digits and space, and what they are compared as.
_WIDE = "".join(chr(n) for n in (*range(0xFF10, 0xFF1A), *range(0xFF21, 0xFF3B), *range(0xFF41, 0xFF5B))) + "\u3000"
_NARROW = "".join(chr(ord(c) - 0xFEE0) for c in _WIDE[:-1]) + " "
_LATIN = re.compile(r"[\x20-\x7e]+")


def voice(opened: Runtime, mappings: Mappings, since: date | None = None) -> dict[str, Any] | None:
    """By tag and product, by tag, the newest words, and what no tag fits; null before the first full run."""
    found = newest_full(opened, "account_products")
    if found is None:
        return None
    run, folder = found
    con = open_engine(opened.settings, [opened.lake.root, folder])
    try:
        lake = open_relations(con, opened.lake, opened.ledger, mappings, None, ("crm_account", "crm_survey", "crm_ticket"))
        moment = Moment(run.as_of, mappings.calendar.timezone)
        return {"run_id": run.id, "as_of": run.as_of, **read_voice(con, lake, mappings, moment, folder, since)}
    finally:
        con.close()


def read_voice(
    con: duckdb.DuckDBPyConnection, lake: LakeRelations, mappings: Mappings, moment: Moment, folder: Path, since: date | None = None
) -> dict[str, Any]:
    """`by_product`: a row per tag and product; `by_tag`: each account once per tag; `latest`: newest words; `untagged`: texts that no tag fits."""
    load_masters(con, lake.crm[Entity.ACCOUNT])
    for entity in (Entity.SURVEY, Entity.TICKET):
        load_latest(con, lake.crm[entity], f"v_{entity.value}", part=lake.part, exprs={name: f"r.{name}" for name in columns(entity)})
    first = since or moment.on - timedelta(days=mappings.voice.days - 1)
    con.execute(
        query_sql(
            "voice", "said", zone=literal(moment.timezone), as_of=literal(moment.as_of), since=literal(first - timedelta(days=1)),
            products=file_of(folder, "account_products"), plain=plain_sql("d.words"),
        )
    )  # fmt: skip
    tags = ", ".join(f"CASE WHEN {found_sql(tag)} THEN {literal(tag.name)} END" for tag in mappings.voice.tags)
    con.execute(query_sql("voice", "tagged", tags=tags or "CAST(NULL AS VARCHAR)"))
    con.execute(query_sql("voice", "customer", accounts=file_of(folder, "accounts")))
    counts = rows_of(con, query_sql("voice", "counts"))[0]
    return {
        "since": first,
        "products": {p.code: getattr(p.title, mappings.writeback.language) for p in mappings.products.products},
        "titles": {tag.name: getattr(tag.title, mappings.writeback.language) for tag in mappings.voice.tags},
        "by_product": rows_of(con, query_sql("voice", "by_tag", product="product")),
        "by_tag": rows_of(con, query_sql("voice", "by_tag", product="CAST(NULL AS VARCHAR)")),
        "latest": rows_of(con, query_sql("voice", "latest", most=str(QUOTED))),
        **counts,
    }


def plain_sql(words: str) -> str:
    """A text without case and width of its Latin letters."""
    return f"lower(translate(nfc_normalize({words}), {literal(_WIDE)}, {literal(_NARROW)}))"


def found_sql(tag: VoiceTag) -> str:
    """Whether any word of a tag is in `plain`: Latin ones as whole words (`api` is not in `rapid`), others anywhere, since Japanese has no spaces."""
    found = []
    for word in tag.words:
        plain = unicodedata.normalize("NFC", word).translate(str.maketrans(_WIDE, _NARROW)).strip().lower()
        if _LATIN.fullmatch(plain):
            found.append(f"regexp_matches(plain, {literal(rf'(^|[^a-z0-9]){re.escape(plain)}($|[^a-z0-9])')})")
        else:
            found.append(f"contains(plain, {literal(plain)})")
    return f"({' OR '.join(found)})"
