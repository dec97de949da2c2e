"""Consents: what a member allowed or refused, dated; a later statement stands beside the earlier."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from sqlalchemy.ext.asyncio import AsyncConnection

from ledger.kernel.refusals import InvalidInput

from . import store

_PURPOSE: Final = re.compile(r"[a-z][a-z0-9_]{0,39}")
_MOST: Final = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Consent:
    """A member's latest statement for one purpose."""

    purpose: str
    granted: bool
    stated_at: datetime


async def consents_of(connection: AsyncConnection, member: int) -> list[Consent]:
    """The statement in force for each purpose the member was ever asked about, by purpose."""
    rows = await store.latest_consents(connection, member)
    return [Consent(purpose=row.purpose, granted=row.granted, stated_at=row.stated_at) for row in rows]


def read_consents(consents: Mapping[str, bool]) -> dict[str, bool]:
    """The consents, each purpose checked: lower case letters, digits and `_`, at most 40."""
    if len(consents) > _MOST:
        raise InvalidInput(f"at most {_MOST} consents at once", field=("consents",))
    if not all(_PURPOSE.fullmatch(purpose) for purpose in consents):
        raise InvalidInput("a purpose is a lower-case name such as marketing_sms", field=("consents",))
    return dict(consents)
