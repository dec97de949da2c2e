"""Outlets: the shops and sites of a partner, under the codes that its tills send."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncConnection

from ledger.kernel.refusals import Refusal

from . import store
from .directory import Outlet, OutletUnknown, PartnerUnknown
from .events import record
from .names import name as checked_name


class OutletExists(Refusal):
    """A partner's outlet codes are its own, and each names one outlet."""

    code = "OUTLET_EXISTS"

    def __init__(self) -> None:
        super().__init__("this partner already has an outlet of that code", field=("code",))


async def open_outlet(
    connection: AsyncConnection, partner: int, *, code: str, name: str, at: datetime, by: str
) -> Outlet:
    """Add an outlet. Raises `PartnerUnknown` and `OutletExists`."""
    if await store.lock_partner(connection, partner) is None:
        raise PartnerUnknown
    checked_name(code, field="code")
    checked_name(name, field="name")
    made = await store.add_outlet(connection, partner=partner, code=code, name=name, at=at)
    if made is None:
        raise OutletExists
    body = {"outlet": made.id, "code": code, "by": by}
    await record(connection, "outlet.opened", partner=partner, at=at, body=body)
    return made


async def suspend_outlet(connection: AsyncConnection, outlet: int, *, at: datetime, by: str) -> Outlet:
    """Take no more receipts from an outlet; suspending twice changes nothing."""
    return await _set_suspended(connection, outlet, at, kind="outlet.suspended", at=at, by=by)


async def reinstate_outlet(connection: AsyncConnection, outlet: int, *, at: datetime, by: str) -> Outlet:
    """Take receipts from a suspended outlet again."""
    return await _set_suspended(connection, outlet, None, kind="outlet.reinstated", at=at, by=by)


async def _set_suspended(
    connection: AsyncConnection,
    outlet: int,
    suspended_at: datetime | None,
    *,
    kind: str,
    at: datetime,
    by: str,
) -> Outlet:
    found = await store.lock_outlet(connection, outlet)
    if found is None:
        raise OutletUnknown
    if found.is_suspended is (suspended_at is not None):
        return found
    changed = await store.suspend_outlet(connection, outlet, suspended_at)
    await record(connection, kind, partner=found.partner, at=at, body={"outlet": outlet, "by": by})
    return changed
