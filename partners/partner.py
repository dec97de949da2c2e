"""Partners: created, suspended and reinstated by the operator."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncConnection

from . import store
from .directory import Partner, PartnerUnknown
from .events import record
from .names import name as checked_name
from .novation import NovationUnderWay, is_leaving


async def create_partner(connection: AsyncConnection, *, name: str, at: datetime, by: str) -> Partner:
    """Take a merchant into the coalition. It trades once it has an agreement and an outlet."""
    made = await store.add_partner(connection, name=checked_name(name, field="name"), at=at)
    await record(connection, "partner.created", partner=made.id, at=at, body={"name": name, "by": by})
    return made


async def suspend_partner(
    connection: AsyncConnection, partner: int, *, reason: str, at: datetime, by: str
) -> Partner:
    """Keep a partner from giving and taking points from now on; suspending twice changes nothing."""
    found = await _locked(connection, partner)
    if found.is_suspended:
        return found
    checked_name(reason, field="reason")
    suspended = await store.suspend_partner(connection, partner, at)
    await record(connection, "partner.suspended", partner=partner, at=at, body={"reason": reason, "by": by})
    return suspended


async def reinstate_partner(connection: AsyncConnection, partner: int, *, at: datetime, by: str) -> Partner:
    """Let a suspended partner trade again; reinstating one that trades changes nothing.

    Raises `NovationUnderWay` while its points are changing hands.
    """
    found = await _locked(connection, partner)
    if not found.is_suspended:
        return found
    if await is_leaving(connection, partner):
        raise NovationUnderWay
    reinstated = await store.suspend_partner(connection, partner, None)
    await record(connection, "partner.reinstated", partner=partner, at=at, body={"by": by})
    return reinstated


async def _locked(connection: AsyncConnection, partner: int) -> Partner:
    found = await store.lock_partner(connection, partner)
    if found is None:
        raise PartnerUnknown
    return found
