"""What a partner may know of a member that it presented: enough to greet, too little to identify."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncConnection

from . import store
from .keys import MasterKeys
from .personal import Personal, mask
from .sealing import MemberKey

_NOBODY = -1


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """A member as shown to others. Times are programme time."""

    member: int
    masked_name: str
    enrolled_at: datetime


async def profile(connection: AsyncConnection, keys: MasterKeys, member: int | None) -> Profile | None:
    """The member's profile; for None, or for a member who was forgotten, None after the same work."""
    known = await store.member(connection, _NOBODY if member is None else member)
    if known is None:
        _work_as_for_a_hit(keys)
        return None
    personal = Personal.open(MemberKey.unwrap(keys, known.member, known.wrapped), known.personal)
    return Profile(member=known.member, masked_name=mask(personal), enrolled_at=known.enrolled_at)


def _work_as_for_a_hit(keys: MasterKeys) -> None:
    key = MemberKey.generate(_NOBODY)
    MemberKey.unwrap(keys, _NOBODY, key.wrap(keys))
    mask(Personal.open(key, Personal(name="nobody").seal(key)))
