"""The note of a closing: what its papers came to, who brought it there, and at what prices.

It is kept with an operation of the treasury, so that the ledger's chain and its seals cover what otherwise
only the tables of the settlement say.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import msgspec

from partners import Note

from .store import StageRow


class ClosingNote(Note, frozen=True, kw_only=True):
    """`papers` is the hash of the sheet and the statements, drawn up for `partners` in this `edition`.

    `stages` are all that the period has passed with them, the last of which is PROPOSED; `prices` those
    that its cells and its stock name, in words. What was stored must decode for ever: fields are only
    added, each with a default.
    """

    period: int
    papers: bytes
    partners: tuple[int, ...]
    stages: tuple[StageRow, ...]
    prices: dict[str, str]
    edition: int = 1

    @property
    def proposed(self) -> StageRow:
        """When and by whom the papers were drawn up."""
        return self.stages[-1]


_encoder: Final = msgspec.msgpack.Encoder()
_decoder: Final = msgspec.msgpack.Decoder(ClosingNote)


def encode_closing_note(note: ClosingNote) -> bytes:
    """The bytes that go under the operation's hash. Whoever reads the notes of staff can read them too."""
    return _encoder.encode(note)


def decode_closing_note(stored: bytes) -> ClosingNote:
    """The note as it was kept. Raises `msgspec.MsgspecError` for other bytes."""
    return _decoder.decode(stored)


def stages_told(stages: Iterable[StageRow]) -> dict[str, str]:
    """Stages in words, by their place."""
    return {f"stage {place}": _told(row) for place, row in enumerate(stages, start=1)}


def _told(row: StageRow) -> str:
    of = f" of {row.hash.hex()}" if row.hash else ""
    return f"{row.stage}{of} at {row.reached_at.isoformat()} by {row.reached_by}"
