"""Papers: the sheet of a closed period and the statements of its partners, drawn from its frozen figures."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import astuple, dataclass
from hashlib import sha256

import msgspec

from ledger.kernel.ids import OPERATOR

from .closing import Closing
from .netting import Mode
from .sheet import Sheet, SheetLine
from .statements import EDITION, StatementRow, to_row


@dataclass(frozen=True, slots=True, kw_only=True)
class Papers:
    """What finance and the partners are given of a period."""

    sheet: Sheet
    statements: tuple[StatementRow, ...]

    @property
    def hash(self) -> bytes:
        """SHA-256 over all of it."""
        sheet = self.sheet
        lines, owed = list(map(astuple, sheet.lines)), sorted(sheet.owed.items())
        bodies = [(row.number, row.partner, sha256(row.body).hexdigest()) for row in self.statements]
        told = msgspec.json.encode([sheet.currency, sheet.mode, lines, owed, bodies])
        return sha256(b"kopilka/papers/1\n" + told).digest()

    @property
    def rows(self) -> dict[str, str]:
        """Every row of them in words, by what people call it."""
        sheet, owed = self.sheet, self.sheet.owed.items()
        return (
            {"the sheet": f"{sheet.currency}, {sheet.mode}"}
            | {_name(line.partner): _line_told(line) for line in sheet.lines}
            | {f"what {debtor} owes {creditor}": f"{micro} micro" for (debtor, creditor), micro in owed}
            | {f"statement {row.number}": _statement_told(row) for row in self.statements}
        )


def draw(
    closing: Closing,
    *,
    partners: Iterable[int],
    names: Mapping[int, str],
    before: Sheet | None,
    edition: int = EDITION,
) -> Papers:
    """The papers of a closing: a line for `partners` and for everyone who owes or is owed.

    `before` is the sheet of the period before it, None for the first: what was due there is the opening
    here. The same bytes whenever they are drawn from the same data. Raises KeyError for a name or a
    price that is not there.
    """
    openings = {line.partner: line.due_micro for line in before.lines} if before else {}
    openings.pop(OPERATOR, None)
    sheet = closing.sheet(partners=partners, openings=openings, mode=Mode.MULTILATERAL)
    statements = closing.statements(sheet, names, edition=edition)
    return Papers(sheet=sheet, statements=tuple(map(to_row, statements)))


def differences(kept: Mapping[str, str], right: Mapping[str, str]) -> Iterator[str]:
    """Each row in which what is kept is not what is right, with both; rows are in words, by name."""
    for name in {**kept, **right}:
        is_, should_be = kept.get(name, "missing"), right.get(name, "missing")
        if is_ != should_be:
            yield f"{name} is {is_}; it should be {should_be}"


def _name(partner: int) -> str:
    return "the line of the operator" if partner == OPERATOR else f"the line of partner {partner}"


def _line_told(line: SheetLine) -> str:
    return f"opening {line.opening_micro}, charge {line.charge_micro}, payable {line.payable_micro} micro"


def _statement_told(row: StatementRow) -> str:
    told = f"of partner {row.partner}, charge {row.charge_micro} micro, {sha256(row.body).hexdigest()}"
    return told if sha256(row.body).digest() == row.hash else f"{told} under the hash {row.hash.hex()}"
