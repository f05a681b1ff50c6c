"""From the place of a row to its line in the file, as an editor counts. Only for files with rows set aside.

DuckDB tells where a broken line starts (a byte), and nothing about the lines of rows it read. So the bytes are walked once more, in chunks and
by columns: line ends, quote parity, blank lines.
"""

from bisect import bisect_left
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
    """`rows[i]`: line of the i-th asked row, null where the walk and DuckDB count differently; `broken`: of the broken records asked for."""

    rows: list[int | None]
    broken: list[int | None]
    not_objects: list[str | None]  # JSON lines: begin of an asked row's line if that is no JSON object
    open_line: int | None  # line of a record whose quote is still open at the end of the file


def lines_of(reader: Reader, wanted: Sequence[int], broken: pa.Array, broken_wanted: int, row_count: int) -> Lines:
    """Lines of the rows at the places `wanted` among the rows DuckDB gave (ascending), and of the first `broken_wanted` broken records.

    `broken`: where DuckDB says that the records begin which it set aside (bytes, ascending; before CRLF it means the end of the line before);
    `row_count`: how many rows it gave.
    """
    if reader.text_path is None:
        return Lines([place + 1 for place in wanted], [], [None] * len(wanted), None)
    rows: list[int | None] = [None] * len(wanted)
    texts: list[str | None] = [None] * len(wanted)
    broken_lines: list[int | None] = []
    seen, told, header, last_line, parity = 0, 0, reader.header, None, 0
    with opened(reader.text_path, reader.gzipped) as stream:
        for block in _blocks(stream, reader):
            parity = block.parity
            starts, numbers = (block.starts[1:], block.numbers[1:]) if header else (block.starts, block.numbers)
            header = header and not len(block.starts)
            if not len(starts):
                continue
            last_line = block.first_line + numbers[-1].as_py()
            upto = pc.search_sorted(broken, starts[-1], side="right").as_py()
            at_fault = pc.search_sorted(starts, broken[told:upto], side="left")
            broken_lines += [block.first_line + numbers[at.as_py()].as_py() for at in at_fault[: max(broken_wanted - told, 0)]]
            told = upto
            places = pa.array(range(len(starts)), at_fault.type) if len(at_fault) else None
            good = numbers if places is None else numbers.filter(pc.invert(pc.is_in(places, value_set=at_fault)))
            for at in range(bisect_left(wanted, seen), bisect_left(wanted, seen + len(good))):
                number = good[wanted[at] - seen].as_py()
                rows[at] = block.first_line + number
                texts[at] = None if reader.quoted else _unless_object(block.lines[number].as_py())
            seen += len(good)
    if seen != row_count:
        rows = [None] * len(rows)
    broken_lines += [None] * (broken_wanted - len(broken_lines))
    return Lines(rows, broken_lines, texts, last_line if parity else None)


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
