"""What every check shares: the parts of the folder, the expression checker, the warnings found on the way."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from mappings.columns import ACCOUNT_PRODUCTS, ACCOUNTS, LIFT, PRIORITY, RESULTS, Column
from mappings.columns_onboarding import FACTS_OF
from mappings.columns_sales import DEALS
from mappings.expressions import Checked, ExpressionFault, Expressions, nearest
from mappings.faults import Fault
from mappings.models import Text
from mappings.parts import Parts
from mappings.texts import SLOTS, Slot, TextFault, parse, slot_fault, widths
from mappings.yaml_files import Document, Path_

#: what an expression stands in -> columns it may use
COLUMNS: dict[str, dict[str, str]] = {
    "account": {name: column.type for name, column in ACCOUNTS.items()},
    "lift": {name: column.type for name, column in (ACCOUNTS | LIFT).items()},
    "csql": {name: column.type for name, column in (ACCOUNTS | ACCOUNT_PRODUCTS | RESULTS).items()},
    "alert": {name: column.type for name, column in (ACCOUNTS | RESULTS).items()},
    "priority": {name: column.type for name, column in (ACCOUNTS | RESULTS | PRIORITY).items()},
    "deal": {name: column.type for name, column in DEALS.items()},
    **{context: {name: column.type for name, column in columns.items()} for context, columns in FACTS_OF.items()},
}


@dataclass
class Checker:
    """What all checks share: the parts, the expression checker, and the warnings found on the way."""

    parts: Parts
    expressions: Expressions
    warnings: list[Fault] = field(default_factory=list)

    def sql(self, document: Document, path: Path_, sql: str | None, context: str, want: str) -> Iterator[Fault]:
        """Faults of one expression; null is none."""
        if sql is not None:
            try:
                self.expressions.check(sql, COLUMNS[context], want)
            except ExpressionFault as fault:
                yield document.fault(path, str(fault), fault.remedy)

    def checked(self, sql: str, context: str) -> Checked | None:
        """The expression's description, null when it is refused (told elsewhere)."""
        try:
            return self.expressions.check(sql, COLUMNS[context])
        except ExpressionFault:
            return None

    def text(self, document: Document, path: Path_, text: Text, slots: str, field_key: tuple[str, str] | None = None) -> Iterator[Fault]:
        """Faults of a text in both languages; `field_key` = (object, column) whose field must hold it."""
        for language, words in (("en", text.en), ("ja", text.ja)):
            yield from self._one_text(document, (*path, language), words, SLOTS[slots], self._length(field_key, language))

    def _one_text(self, document: Document, path: Path_, words: str, columns: Mapping[str, Column], length: int | None) -> Iterator[Fault]:
        try:
            parts = parse(words)
        except TextFault as fault:
            yield document.fault(path, str(fault))
            return
        slots = [part for part in parts if isinstance(part, Slot)]
        unknown = [slot for slot in slots if slot.column not in columns]
        for slot in unknown:
            yield document.fault(path, f"unknown column `{slot.column}` in the text", nearest(slot.column, columns))
        wrong = [what for slot in slots if slot.column in columns and (what := slot_fault(slot, columns))]
        yield from (document.fault(path, what) for what in wrong)
        if length is None or unknown or wrong:
            return
        bare, most = widths(parts, columns)
        if bare > length:
            yield document.fault(
                path, f"has {bare} characters without its slots, its field holds {length}", "shorten the text or lengthen the field in writeback.yml"
            )
        elif most > length:
            self.warnings.append(
                document.fault(
                    path, f"may reach {most} characters with its slots, its field holds {length}: the end would be cut", "shorten the text"
                )
            )

    def _length(self, field_key: tuple[str, str] | None, language: str) -> int | None:
        writeback = self.parts.writeback
        if field_key is None or writeback is None or writeback.language != language:
            return None
        lengths = [f.length for f in writeback.fields if f.object == field_key[0] and (f.value or f.key) == field_key[1] and f.owner == "worker"]
        return min((length for length in lengths if length), default=None)
