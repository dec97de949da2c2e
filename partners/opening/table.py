"""Balances as a table: a header, then one lot a row; rows of one member follow each other."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from typing import Final

from ledger.kernel.refusals import InvalidInput

from .given import GivenControl, GivenLot, GivenMember

COLUMNS: Final = (
    "member",
    "phone",
    "card",
    "name",
    "consents",
    "issuer",
    "obligor",
    "points",
    "earned",
    "expires",
    "state",
    "available",
)
_NEEDED: Final = frozenset({"member", "issuer", "points", "earned", "expires"})
_DELIMITERS: Final = (",", ";", "\t")
_ANSWERS: Final = {"yes": True, "true": True, "1": True, "no": False, "false": False, "0": False}
CONTROL: Final = "#control"
"""In the column `member`: a row of control totals. No issuer: the points are the number of members."""


class Header:
    """The columns of a table, and what separates them."""

    def __init__(self, line: bytes) -> None:
        """Read the first line. Raises `InvalidInput` when no table begins so."""
        text = _text(line)
        self.delimiter = max(_DELIMITERS, key=text.count)
        self.columns = [cell.strip().lower() for cell in _cells(text, self.delimiter)]
        unknown = [column for column in self.columns if column not in COLUMNS]
        if unknown:
            raise InvalidInput(
                f"the header has a column {unknown[0][:40]!r}, which is none", field=("header",)
            )
        if len(set(self.columns)) < len(self.columns):
            raise InvalidInput("the header has a column twice", field=("header",))
        missing = sorted(_NEEDED - set(self.columns))
        if missing:
            raise InvalidInput(f"the header lacks the column {missing[0]!r}", field=("header",))

    def row(self, line: bytes) -> dict[str, str]:
        """The row's cells by column, empty ones left out. Raises `InvalidInput`.

        A row is one line: an open quote spoils its own row and no other.
        """
        cells = _cells(_text(line), self.delimiter)
        if len(cells) != len(self.columns):
            raise InvalidInput(f"the row has {len(cells)} cells, the header {len(self.columns)}")
        named = zip(self.columns, cells, strict=True)
        return {column: cell.strip() for column, cell in named if cell.strip()}


def person_of(row: Mapping[str, str]) -> tuple[str, ...]:
    """What must be the same in all rows of one member."""
    return tuple(row.get(column, "") for column in COLUMNS[:5])


def member_of(rows: Sequence[Mapping[str, str]]) -> GivenMember:
    """One member of their rows. Raises `InvalidInput`."""
    first = rows[0]
    if "member" not in first:
        raise InvalidInput("every row names its member", field=("member",))
    if any(person_of(row) != person_of(first) for row in rows):
        raise InvalidInput("rows of one member differ in what they say of the person", field=("member",))
    return GivenMember(
        member=first["member"],
        phone=first.get("phone"),
        card=first.get("card"),
        name=first.get("name"),
        consents=_consents(first.get("consents", "")),
        lots=tuple(
            _lot(number, row) for number, row in enumerate(rows) if "points" in row or "issuer" in row
        ),
    )


def control_of(rows: Sequence[Mapping[str, str]]) -> GivenControl:
    """Control totals of their rows. Raises `InvalidInput`."""
    members, points = None, {}
    for number, row in enumerate(rows):
        total = _points(number, row)
        if "issuer" in row:
            points[row["issuer"]] = total
        else:
            members = total
    return GivenControl(members=members, points=points)


def _lot(number: int, row: Mapping[str, str]) -> GivenLot:
    for column in ("issuer", "points", "earned", "expires"):
        if column not in row:
            raise InvalidInput("this is needed", field=("lots", str(number), column))
    return GivenLot(
        issuer=row["issuer"],
        points=_points(number, row),
        earned=row["earned"],
        expires=row["expires"],
        state=row.get("state"),
        available=row.get("available"),
        obligor=row.get("obligor"),
    )


def _points(number: int, row: Mapping[str, str]) -> int:
    text = row.get("points", "")
    digits = text.removeprefix("-")
    if not (digits.isascii() and digits.isdecimal() and len(digits) <= 18):
        raise InvalidInput("not a whole number", field=("lots", str(number), "points"))
    return int(text)


def _consents(text: str) -> dict[str, bool]:
    """`marketing_sms=yes analytics=no`."""
    stated = {}
    for part in text.split():
        purpose, _, answer = part.partition("=")
        if answer.lower() not in _ANSWERS:
            raise InvalidInput("consents are written purpose=yes or purpose=no", field=("consents",))
        stated[purpose] = _ANSWERS[answer.lower()]
    return stated


def _text(line: bytes) -> str:
    try:
        return line.decode()
    except UnicodeDecodeError:
        raise InvalidInput("the row is not UTF-8 text") from None


def _cells(text: str, delimiter: str) -> list[str]:
    try:
        return next(csv.reader([text], delimiter=delimiter, strict=True), [])
    except csv.Error as error:
        raise InvalidInput(f"the row cannot be read: {error}") from None
