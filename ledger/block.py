"""A block: what one batch adds to one bucket, gathered row by row until it is written."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import datetime, timedelta
from functools import lru_cache
from hashlib import sha256
from struct import Struct
from typing import Any, Final
from zoneinfo import ZoneInfo

import msgspec

from .accounts import ADJUST, CLAWBACK_DUE, IN_TRANSIT, MOVES, PENDING, POINTS, REDEEMED
from .binary import block_row, instant, line_row, operation_row, salted
from .chain import HASH_MODULUS, SALT_BYTES, block_hash, flow_term, leaf, merkle_root
from .commands import Command, Earn, PostMoney, Refused
from .fence import Calendar
from .folding import FOLD_AFTER
from .journal import Journal, Line
from .kernel.ids import HOME_BUCKETS, compose, sequence_of
from .kernel.packing import bigints
from .keys import Keys
from .lots import Lot
from .outcomes import Balance, Kept, LotMade, LotSet, Outcome, SliceTaken
from .store import Head
from .transits import packed

Row = tuple[Any, ...]

_encode: Final = msgspec.msgpack.Encoder().encode
_POINTS: Final = POINTS.encode()
_HALVES: Final = Struct(">qq")
_TICK: Final = timedelta(microseconds=1)

CHANGING: Final = ("novate", "arm_expiry")
"""Kinds of operations that change lots: they always say which, be it none."""


def salts(most: int) -> Iterator[bytes]:
    """Random bytes for one leaf after the other, drawn from the system for `most` (> 0) leaves at once."""
    while True:
        drawn = os.urandom(most * SALT_BYTES)
        for at in range(0, len(drawn), SALT_BYTES):
            yield drawn[at : at + SALT_BYTES]


class Block:
    """The operations that one batch adds to one bucket, with the flows and stock they move."""

    def __init__(self, head: Head, at: datetime, calendar: Calendar, drawn: Iterator[bytes]) -> None:
        self.head = head
        self.at = max(at, head.recorded_at)
        self.calendar = calendar
        self.height = head.height + 1
        self.next_operation = compose(head.bucket, head.sequence + 1)
        self.period = head.period
        self.moved_fences: list[int] = []
        self._pass_fences()
        span = calendar.span(self.period)
        self._period_start = self.at if span is None else span.starts_at
        self.operations: list[bytes] = []
        self.lines: list[bytes] = []
        self.leaves: list[bytes] = []
        self._salts = drawn
        self._recorded_at = instant(self.at)
        self.flows: dict[Row, list[int]] = {}
        self.stock: dict[Row, int] = {}
        self.folded = self._fold_to()
        self.hash = b""
        self.row = b""

    @property
    def sequence(self) -> int:
        """The sequence of the bucket's last operation."""
        return sequence_of(self.next_operation) - 1

    def _pass_fences(self) -> None:
        """The first batch at or after a period's end moves its own bucket's fence."""
        if self.head.is_fenced:
            return
        while (span := self.calendar.span(self.period)) is not None and self.at >= span.ends_at:
            self.moved_fences.append(self.period)
            self.period += 1

    def _fold_to(self) -> int:
        """Up to which height this batch brings flows and stock into their tables: each bucket in its turn."""
        head = self.head
        is_its_turn = (head.height + FOLD_AFTER // HOME_BUCKETS * head.bucket) % FOLD_AFTER == 0
        return head.height if self.moved_fences or is_its_turn else head.folded

    def post(
        self,
        *,
        kind: str,
        member: int,
        balance: Balance,
        command: Command | None,
        journal: Journal | None,
        refused: Refused | None,
        occurred_at: datetime,
    ) -> Outcome:
        """Add one operation, accepted (`journal`) or finally refused; give its outcome."""
        id_ = self.next_operation
        self.next_operation += 1
        outcome = _outcome(id_, kind, self.at, balance, command, journal, refused)
        origin = self.origin_of(journal, occurred_at)
        if journal is not None:
            lines = self._write_lines(id_, member, journal, origin)
        elif isinstance(command, PostMoney):
            lines = self._write_money(id_, command)
        else:
            lines = b""
        row = self._pack(id_, member, command, journal, origin, occurred_at, outcome)
        salt = next(self._salts)
        self.leaves.append(leaf(salt, row, lines))
        self.operations.append(salted(row, salt))
        return outcome

    def origin_of(self, journal: Journal | None, occurred_at: datetime) -> int:
        """The period in which something happened: of what is undone, that of the purchase."""
        if journal is not None and journal.undoes is not None:
            return journal.undoes.origin_period
        if occurred_at < self._period_start:
            return min(self.calendar.period_at(occurred_at), self.period)
        return self.period

    def _write_lines(self, id_: int, member: int, journal: Journal, origin: int) -> bytes:
        """Pack the lines of a journal, and add them to their flows and stock."""
        rows = []
        bucket, at, period = self.head.bucket, self._recorded_at, self.period
        for ordinal, line in enumerate(journal.lines):
            debit, credit, points = line.debit, line.credit, line.points
            issuer, obligor, redeemer = line.issuer, line.obligor, line.redeemer
            tariff, terms = line.tariff, line.terms
            rows.append(
                line_row(
                    bucket,
                    id_,
                    ordinal,
                    at,
                    debit,
                    _owner(debit, member, line),
                    credit,
                    line.counterpart if debit == credit else _owner(credit, member, line),
                    points,
                    _POINTS,
                    period,
                    issuer,
                    obligor,
                    redeemer,
                    tariff,
                    terms,
                    origin,
                    line.lot,
                )
            )
            if line.expired_at is not None:
                self._restock(line)
            move = MOVES.get((debit, credit))
            if move is None:
                continue
            code, sign = move
            cell = (issuer, obligor, redeemer, code, tariff, terms, origin)
            term = flow_term(id_, ordinal, points)
            flow = self.flows.get(cell)
            if flow is None:
                self.flows[cell] = [points, 1, term]
            else:
                flow[0] += points
                flow[1] += 1
                flow[2] = (flow[2] + term) % HASH_MODULUS
            if sign:
                self._move_stock(line, sign * points, line.expires_at)
        for line in journal.restocks:
            self._restock(line)
        self.lines += rows
        return b"".join(rows)

    def _write_money(self, id_: int, command: PostMoney) -> bytes:
        at, unit = self._recorded_at, command.currency.encode()
        rows = [
            line_row(
                self.head.bucket,
                id_,
                ordinal,
                at,
                line.debit,
                line.debit_owner,
                line.credit,
                line.credit_owner,
                line.micro,
                unit,
                self.period,
                line.issuer,
                line.obligor,
                line.redeemer,
                line.tariff,
                line.terms,
                line.origin_period,
                0,
            )
            for ordinal, line in enumerate(command.lines)
        ]
        self.lines += rows
        return b"".join(rows)

    def _pack(
        self,
        id_: int,
        member: int,
        command: Command | None,
        journal: Journal | None,
        origin: int,
        occurred_at: datetime,
        outcome: Outcome,
    ) -> bytes:
        """The operation's row: what was asked, what it came to, and what was answered."""
        points = reference = 0
        if journal is not None:
            points, reference = journal.points, journal.hold or journal.reference
        partner = outlet = terms = 0
        principal = key = terminal = number = ""
        digest = items = detail = b""
        if command is not None:
            partner, outlet, terms = command.partner, command.outlet, command.terms
            principal, key, digest, detail = command.principal, command.key, command.digest, command.detail
            if receipt := getattr(command, "receipt", None):
                terminal, number = receipt.terminal, receipt.number
            if sold := getattr(command, "items", ()):
                items = _encode(sold)
            if journal is None:
                reference = getattr(command, "hold", 0)
        return operation_row(
            self.head.bucket,
            id_,
            self._recorded_at,
            self.height,
            member,
            partner,
            outlet,
            terms,
            self.period,
            origin,
            instant(occurred_at),
            points,
            reference,
            outcome.kind,
            principal,
            key,
            terminal,
            number,
            "" if outcome.refused is None else outcome.refused.code,
            digest,
            items,
            detail,
            _encode(outcome),
        )

    def _restock(self, line: Line) -> None:
        """Take points from the month in which they were to expire to the one in which they will."""
        if line.expired_at is not None:
            self._move_stock(line, -line.points, line.expired_at)
            self._move_stock(line, line.points, line.expires_at)

    def _move_stock(self, line: Line, points: int, expires_at: datetime) -> None:
        zone = self.calendar.zone
        cell = (
            line.issuer,
            line.obligor,
            line.tariff,
            month_of(line.earned_at, zone),
            month_of_last_day(expires_at, zone),
        )
        self.stock[cell] = self.stock.get(cell, 0) + points

    def close(self) -> None:
        """Make the block's own row: called once, after the last operation."""
        root = merkle_root(self.leaves)
        count = len(self.leaves)
        flows = bigints([value for cell, flow in self.flows.items() for value in (*cell, *_split(flow))])
        stock = bigints([value for cell, points in self.stock.items() for value in (*cell, points)])
        self.hash = block_hash(
            bucket=self.head.bucket,
            height=self.height,
            period=self.period,
            recorded_at=self.at,
            count=count,
            previous=self.head.hash,
            root=root,
            moved=flows + stock,
        )
        self.row = block_row(
            bucket=self.head.bucket,
            height=self.height,
            recorded_at=instant(self.at),
            period=self.period,
            first=compose(self.head.bucket, self.head.sequence + 1),
            count=count,
            previous=self.head.hash,
            root=root,
            hash_=self.hash,
            flows=flows,
            stock=stock,
        )


def _split(flow: list[int]) -> tuple[int, int, int, int]:
    """Points, count and the additive hash as two signed halves, the higher first."""
    points, count, hash_ = flow
    return points, count, *_HALVES.unpack(hash_.to_bytes(16))


def _outcome(
    id_: int,
    kind: str,
    at: datetime,
    balance: Balance,
    command: Command | None,
    journal: Journal | None,
    refused: Refused | None,
) -> Outcome:
    if journal is None:
        return Outcome(operation=id_, kind=kind, recorded_at=at, balance=balance, refused=refused)
    return Outcome(
        operation=id_,
        kind=kind,
        recorded_at=at,
        balance=balance,
        points=journal.points,
        hold=journal.hold or None,
        hold_left=journal.hold_left,
        hold_expires_at=journal.expires_at if journal.opens else None,
        available_at=journal.available_at,
        expires_at=None if journal.opens else journal.expires_at,
        slices=_slices(journal),
        returned=journal.undoes.returned if journal.undoes else None,
        counted=journal.counted,
        # Earns are most of what there is, and their outcome says it all.
        kept=None if type(command) is Earn else _kept(command, journal),
    )


def _kept(command: Command | None, journal: Journal) -> Kept | None:
    """What the proof needs to know of an operation whose journal has been applied; mostly nothing."""
    # Of an earn, a grant and an adjustment `expires_at` says it all.
    made = journal.new_lots if journal.expires_at is None else ()
    token = getattr(command, "token", b"")
    sends = journal.sends
    if not (made or token or sends or journal.merges_into or journal.kind in CHANGING):
        return None
    return Kept(
        made=tuple(map(_made, made)),
        changed=tuple(
            LotSet(
                lot=change.lot,
                obligor=change.obligor,
                expires_at=change.expires_at,
                armed_at=change.armed_at,
            )
            for change in journal.changes
        ),
        to_member=sends.to_member if sends else journal.merges_into,
        parts=sha256(packed(sends.parts)).digest() if sends else b"",
        token=Keys.of_token(token) if token else b"",
    )


def _made(lot: Lot) -> LotMade:
    return LotMade(
        lot=lot.id,
        obligor=lot.obligor,
        earned_at=lot.earned_at,
        expires_at=lot.expires_at,
        earned=lot.earned,
        available_at=lot.available_at,
        armed_at=lot.armed_at,
        parent=lot.parent,
    )


def _slices(journal: Journal) -> tuple[SliceTaken, ...]:
    if journal.opens is not None:
        return journal.opens.slices
    return tuple(
        SliceTaken(
            lot=line.lot, issuer=line.issuer, obligor=line.obligor, tariff=line.tariff, points=line.points
        )
        for line in journal.lines
        if line.credit == REDEEMED
    )


def _owner(kind: int, member: int, line: Line) -> int:
    if PENDING <= kind <= CLAWBACK_DUE:
        return member
    if kind in (IN_TRANSIT, ADJUST):
        return line.counterpart
    return line.redeemer if kind == REDEEMED else line.obligor


@lru_cache(maxsize=4096)
def month_of(at: datetime, zone: ZoneInfo) -> int:
    """The local month that holds `at`, as yyyymm."""
    local = at.astimezone(zone)
    return local.year * 100 + local.month


@lru_cache(maxsize=4096)
def month_of_last_day(at: datetime, zone: ZoneInfo) -> int:
    """The local month of the last day before `at`, the instant at which that day ends."""
    local = (at - _TICK).astimezone(zone)
    return local.year * 100 + local.month
