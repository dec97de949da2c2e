"""What a batch does to wallets if all goes as usual: earns that go through, on wallets that live.

A wallet that only earns is moved by the statement that reads it, so it is looked for once. What was
decided is then compared with what was foreseen, and nothing is committed that differs.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import msgspec

from .binary import INFINITY, instant
from .commands import Command, Earn
from .kernel.values import MAX_POINTS


class Foreseen(msgspec.Struct, gc=False):
    """What a member's earns add to `pending` and `available`, when one first falls due, or expires."""

    pending: int = 0
    available: int = 0
    due_at: int = INFINITY
    lots_from: int = INFINITY


def foresee(commands: Sequence[Command], at: datetime, *, arms_at_release: bool) -> dict[int, Foreseen]:
    """What members' wallets gain, of those whose commands are nothing but plain earns.

    An earn that counts, that gives nothing, that a rule has refused or will refuse is not plain.
    """
    foreseen: dict[int, Foreseen] = {}
    others: set[int] = set()
    for command in commands:
        if (
            type(command) is not Earn
            or not 0 < command.points <= MAX_POINTS
            or command.counters
            or command.refused is not None
        ):
            others.add(command.member)
            continue
        gain = foreseen.get(command.member)
        if gain is None:
            gain = foreseen[command.member] = Foreseen()
        expires_at = instant(command.expires_at)
        gain.lots_from = min(gain.lots_from, expires_at)
        available_at = command.available_at
        if available_at is not None and available_at > at:
            gain.pending += command.points
            gain.due_at = min(gain.due_at, instant(available_at))
        else:
            gain.available += command.points
            if arms_at_release:
                gain.due_at = min(gain.due_at, expires_at)
    for member in others:
        foreseen.pop(member, None)
    return foreseen
