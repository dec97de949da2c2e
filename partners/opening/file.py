"""A file of balances: read line by line, never held whole, each row with the number it has there."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import BinaryIO, Final

from ledger.kernel.refusals import InvalidInput, Refusal

from . import table
from .given import GivenControl, GivenMember, read_line
from .table import Header

MAX_ROW_BYTES: Final = 1 << 20

Line = tuple[int, bytes | None]
"""A line's number from 1, and the line without its end; None when it is longer than a row may be."""

_BOM: Final = b"\xef\xbb\xbf"
_WIDE: Final = (b"\xff\xfe", b"\xfe\xff")


class Format(StrEnum):
    """How a file is written."""

    CSV = "csv"
    JSON_LINES = "jsonl"


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """One row's worth: a member, control totals, or why it is neither.

    `row` is the number of its first line, `rows` that of each of its lots, `last` of its last line.
    """

    row: int
    rows: tuple[int, ...]
    last: int
    given: GivenMember | GivenControl | Refusal


@dataclass(frozen=True, slots=True)
class Chunk:
    """Some sources, and the number of the last line that they came from."""

    sources: tuple[Source, ...]
    last: int


def chunks(stream: BinaryIO, format_: Format, *, size: int, after: int = 0) -> Iterator[Chunk]:
    """The file past the row `after`, in chunks of `size` members, one at a time in memory.

    Raises `InvalidInput` when its header cannot be read.
    """
    sources: list[Source] = []
    for source in _sources(_lines(stream), format_):
        if source.row <= after:
            continue
        sources.append(source)
        if len(sources) == size:
            yield Chunk(tuple(sources), source.last)
            sources = []
    if sources:
        yield Chunk(tuple(sources), sources[-1].last)


def read_text(text: str, format_: Format, *, first_row: int) -> Chunk:
    """A part of a file that was sent as text, its first row being the `first_row`-th.

    A part of a table begins with the header, which is not counted. Raises `InvalidInput`.
    """
    lines = [line.rstrip("\r") for line in text.split("\n")]
    if lines and not lines[-1]:
        lines.pop()
    headers = 1 if format_ is Format.CSV else 0
    numbered: list[Line] = [(first_row - headers + place, line.encode()) for place, line in enumerate(lines)]
    return Chunk(tuple(_sources(iter(numbered), format_)), first_row - 1 + len(lines) - headers)


def _lines(stream: BinaryIO) -> Iterator[Line]:
    number = 0
    while line := stream.readline(MAX_ROW_BYTES + 1):
        number += 1
        if number == 1:
            if line.startswith(_WIDE):
                raise InvalidInput("the file is not UTF-8 text but UTF-16", field=("file",))
            line = line.removeprefix(_BOM)
        if len(line) > MAX_ROW_BYTES and not line.endswith(b"\n"):
            while (rest := stream.readline(MAX_ROW_BYTES)) and not rest.endswith(b"\n"):
                pass
            yield number, None
        else:
            yield number, line.rstrip(b"\r\n")


def _sources(lines: Iterator[Line], format_: Format) -> Iterator[Source]:
    return _of_json(lines) if format_ is Format.JSON_LINES else _of_table(lines)


def _of_json(lines: Iterable[Line]) -> Iterator[Source]:
    for number, line in lines:
        if line is not None and not line.strip():
            continue
        try:
            given: GivenMember | GivenControl | Refusal = read_line(_whole(line))
        except Refusal as refusal:
            given = refusal
        yield Source(row=number, rows=(), last=number, given=given)


def _of_table(lines: Iterator[Line]) -> Iterator[Source]:
    """Rows of one member that follow each other are one source; a row that is none stands alone."""
    header = Header(_whole(next(lines, (1, b""))[1]))
    gathered: list[tuple[int, Mapping[str, str]]] = []
    for number, line in lines:
        if line is not None and not line.strip():
            continue
        try:
            row = header.row(_whole(line))
        except Refusal as refusal:
            if gathered:
                yield _gather(gathered)
                gathered = []
            yield Source(row=number, rows=(), last=number, given=refusal)
            continue
        if gathered and gathered[0][1].get("member") != row.get("member"):
            yield _gather(gathered)
            gathered = []
        gathered.append((number, row))
    if gathered:
        yield _gather(gathered)


def _gather(gathered: list[tuple[int, Mapping[str, str]]]) -> Source:
    numbers, rows = tuple(number for number, _ in gathered), [row for _, row in gathered]
    given: GivenMember | GivenControl | Refusal
    try:
        is_control = rows[0].get("member") == table.CONTROL
        given = table.control_of(rows) if is_control else table.member_of(rows)
    except Refusal as refusal:
        given = refusal
    return Source(row=numbers[0], rows=numbers, last=numbers[-1], given=given)


def _whole(line: bytes | None) -> bytes:
    if line is None:
        raise InvalidInput(f"a row has at most {MAX_ROW_BYTES} bytes")
    return line
