"""From the place of a row to its line in the file, as an editor counts. Only for files with rows set aside.

DuckDB tells where a broken line starts (a byte), and nothing about the lines of rows it read. So the bytes are walked once more, in chunks and
by columns: line ends, quote parity, blank lines.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import IO

import orjson
import pyarrow as pa
import pyarrow.compute as pc

from connectors.usage.reading import CHUNK, Reader, opened

CARRY_MAX = 64 << 20  # a line longer than this: give up on line numbers, not on the file


@dataclass(frozen=True)
class Lines:
    """`rows[i]`: line of the i-th asked row; `bytes_[i]`: line of the i-th asked byte. Null where the walk and DuckDB disagree."""

    rows: list[int | None]
    bytes_: list[int | None]
    not_objects: list[str | None]  # JSON lines: begin of an asked row's line if that is no JSON object
    open_line: int | None  # line of a record whose quote is still open at the end of the file


def lines_of(reader: Reader, wanted_rows: Sequence[int], wanted_bytes: Sequence[int], broken_starts: pa.Array, row_count: int) -> Lines:
    """Lines of `wanted_rows` (places among the rows DuckDB gave, ascending) and of the records at `wanted_bytes` (ascending).

    `broken_starts`: where the records begin that DuckDB set aside, ascending; `row_count`: how many rows it gave.
    """
    rows: list[int | None] = [None] * len(wanted_rows)
    bytes_: list[int | None] = [None] * len(wanted_bytes)
    rows_text: list[str | None] = [None] * len(wanted_rows)
    if reader.text_path is None:
        return Lines([row + 1 for row in wanted_rows], bytes_, list(rows_text), None)
    seen, skip_header, last_start, parity = 0, reader.header, None, 0
    with opened(reader.text_path, reader.gzipped) as stream:
        for block in _blocks(stream, reader):
            parity = block.parity
            first, starts, numbers = block.first_line, block.starts, block.numbers
            if skip_header and len(starts):
                starts, numbers, skip_header = starts[1:], numbers[1:], False
            if not len(starts):
                continue
            last_start = first + numbers[-1].as_py()
            low, high = starts[0].as_py(), starts[-1].as_py()
            for at in range(bisect_left(wanted_bytes, low), bisect_right(wanted_bytes, high)):
                found = pc.index(starts, pa.scalar(wanted_bytes[at], starts.type)).as_py()
                bytes_[at] = None if found < 0 else first + numbers[found].as_py()
            good = numbers.filter(pc.invert(pc.is_in(starts, value_set=broken_starts)))
            for at in range(bisect_left(wanted_rows, seen), bisect_left(wanted_rows, seen + len(good))):
                number = good[wanted_rows[at] - seen].as_py()
                rows[at] = first + number
                if not reader.quoted:
                    rows_text[at] = _unless_object(block.lines[number].as_py())
            seen += len(good)
    if seen != row_count:
        rows = [None] * len(rows)
    return Lines(rows, bytes_, rows_text, last_start if parity else None)


def _unless_object(line: bytes) -> str | None:
    try:
        value = orjson.loads(line)
    except orjson.JSONDecodeError:
        value = None
    return None if isinstance(value, dict) else line[:320].decode("utf-8", "replace")[:80]


@dataclass(frozen=True)
class _Block:
    lines: pa.Array
    first_line: int  # number of the block's first line, from 1
    starts: pa.Array  # byte at which each record of the block begins
    numbers: pa.Array  # its line, from the block's first
    parity: int  # 1: a quote is open at the end of the block


def _blocks(stream: IO[bytes], reader: Reader) -> Iterator[_Block]:
    carry, offset, line, parity = b"", 0, 1, 0
    while True:
        data = stream.read(CHUNK)
        block = carry + data
        cut = block.rfind(reader.newline)
        if data and cut < 0:
            carry = block
            if len(carry) > CARRY_MAX:
                return
            continue
        carry, block = (block[cut + 1 :], block[:cut]) if data else (b"", block)
        lines = pa.array(block.split(reader.newline), pa.binary())
        sizes = pc.add(pc.cast(pc.binary_length(lines), pa.int64()), 1)
        ends = pc.add(pc.cumulative_sum(sizes), offset)
        starts = pc.subtract(ends, sizes)
        is_record = pc.invert(pc.or_(pc.equal(lines, b""), pc.equal(lines, b"\r")))
        if reader.quoted:
            quotes = pc.cast(pc.count_substring(lines, pattern=b'"'), pa.int64())
            total = pc.add(pc.cumulative_sum(quotes), parity)
            is_record = pc.and_(is_record, pc.equal(pc.bit_wise_and(pc.subtract(total, quotes), 1), 0))
            parity = total[-1].as_py() & 1
        else:
            is_record = pc.and_(is_record, pc.match_substring_regex(lines, pattern=r"[^ \t\r]"))
        numbers = pc.indices_nonzero(is_record).cast(pa.int64())
        yield _Block(lines, line, starts.filter(is_record), numbers, parity)
        if not data:
            return
        line += len(lines)
        offset = ends[-1].as_py()
