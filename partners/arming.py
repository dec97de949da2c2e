"""Arming: members were told that points will expire, so they may."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Final

import msgspec

from ledger import ArmExpiry, Ledger, notices
from ledger.kernel.database import Database
from ledger.kernel.ids import MEMBER_BUCKETS, OPERATOR
from ledger.kernel.refusals import InvalidInput, Refusal

from .digest import digest_of
from .directory import Directory
from .names import idempotency_key

AT_ONCE: Final = 500

MOST_LOTS: Final = 500
"""Lots that one call may name."""


class NoNotices(Refusal):
    """The programme tells nobody beforehand: its lots are armed when they are released."""

    code = "NO_NOTICES"

    def __init__(self) -> None:
        super().__init__("in this programme points are armed at their release")


class Armed(msgspec.Struct, frozen=True, kw_only=True):
    """What one call armed. `is_complete` is false when more wallets wait for another call."""

    members: int
    points: int
    is_complete: bool


class ArmRequest(msgspec.Struct, frozen=True, kw_only=True):
    """Arm unarmed lots that expire by `until`.

    Of `member`, and of these only `lots` if any are named; or of `most` members, whoever has such
    lots, when `member` is None.
    """

    key: str
    until: datetime
    member: int | None = None
    lots: tuple[int, ...] = ()
    most: int = 10_000


async def arm_expiry(
    database: Database,
    ledger: Ledger,
    directory: Directory,
    request: ArmRequest,
    *,
    principal: str,
    at: datetime,
) -> Armed:
    """Arm what members were told of. Armed late, it expires `notice_days` of the programme after now.

    A repeat under the same key arms nothing twice. Raises `NoNotices`, `InvalidInput`, `Throttled`.
    """
    notice_days = directory.programme.notice_days
    if notice_days is None:
        raise NoNotices
    idempotency_key(request.key)
    _check_lots(request)

    async def arm(members: Sequence[int]) -> int:
        outcomes = await ledger.submit_many(
            [_command(request, member, notice_days, principal, at) for member in members]
        )
        return sum(outcome.points for outcome in outcomes if outcome.refused is None)

    if request.member is not None:
        return Armed(members=1, points=await arm([request.member]), is_complete=True)
    members = points = 0
    for bucket in range(MEMBER_BUCKETS):
        after = -1
        while members < request.most:
            async with database.writer.connect() as connection:
                page = await notices.unarmed_wallets(
                    connection, bucket, until=request.until, after=after, limit=AT_ONCE
                )
            if not page:
                break
            points += await arm(page)
            members += len(page)
            after = page[-1]
    return Armed(members=members, points=points, is_complete=members < request.most)


def _check_lots(request: ArmRequest) -> None:
    """Lots are some member's: in all other wallets there would be nothing to arm."""
    if request.lots and request.member is None:
        raise InvalidInput("lots are named together with their member", field=("lots",))
    if len(request.lots) > MOST_LOTS:
        raise InvalidInput(f"{MOST_LOTS} lots at most are named at once", field=("lots",))


def _command(request: ArmRequest, member: int, notice_days: int, principal: str, at: datetime) -> ArmExpiry:
    return ArmExpiry(
        principal=principal,
        key=f"{request.key}:{member}",
        digest=digest_of("arm_expiry", member, request.until, request.lots),
        member=member,
        occurred_at=at,
        partner=OPERATOR,
        until=request.until,
        notice_days=notice_days,
        lots=request.lots,
    )
