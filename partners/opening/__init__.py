"""Opening balances: members, cards and lots of an existing programme, taken over row by row."""

from .file import MAX_ROW_BYTES, Chunk, Format, chunks, read_text
from .imports import (
    MAX_RECORDS,
    Checked,
    ImportOutOfStep,
    Rehearsal,
    begin,
    check_chunk,
    check_step,
    differing,
    end,
    find_import,
    imports,
    keep,
    outcomes,
    post_chunk,
)
from .lots import Issuers, issuers_at
from .rows import BalanceOpened
from .store import Import, RowOutcome
from .totals import Control, Difference, Totals, differences

__all__ = [
    "MAX_RECORDS",
    "MAX_ROW_BYTES",
    "BalanceOpened",
    "Checked",
    "Chunk",
    "Control",
    "Difference",
    "Format",
    "Import",
    "ImportOutOfStep",
    "Issuers",
    "Rehearsal",
    "RowOutcome",
    "Totals",
    "begin",
    "check_chunk",
    "check_step",
    "chunks",
    "differences",
    "differing",
    "end",
    "find_import",
    "imports",
    "issuers_at",
    "keep",
    "outcomes",
    "post_chunk",
    "read_text",
]
