"""The operator limits what each member may do over all partners."""

from __future__ import annotations

from datetime import datetime

import strawberry
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.context import Info
from partners import DatedLimits, limit_programme

from .access import mutation
from .directory import MANAGE, Programme, programme_of
from .errors import UserError
from .limits import LimitsInput, read_limits
from .requests import KEY
from .scalars import DateTime, stored_utc
from .writes import ERRORS, REPLAYED, Write


@strawberry.input(description="Limits over all partners, in place of those before.")
class LimitProgrammeInput:
    """Limits of the programme as they are sent."""

    idempotency_key: str = strawberry.field(description=KEY)
    limits: LimitsInput = strawberry.field(description="What each member may do; `{}` lifts all limits.")
    starts_at: DateTime | None = strawberry.field(
        default=strawberry.UNSET, description="From when they are in force; now, if left out. Never the past."
    )


@strawberry.type(description="The answer to limits of the programme.")
class LimitProgrammePayload:
    """The programme, or why nothing was limited."""

    programme: Programme | None = strawberry.field(
        default=None, description="The programme with the limits in force now; null when refused."
    )
    replayed: bool = strawberry.field(default=False, description=REPLAYED)
    user_errors: list[UserError] = strawberry.field(description=ERRORS)


@strawberry.type
class LimitMutation:
    """Limits over all partners."""

    @mutation(
        MANAGE,
        payload=LimitProgrammePayload,
        description="Limit what each member may earn, burn and do over all partners, from now or later.",
    )
    async def limit_programme(self, info: Info, input: LimitProgrammeInput) -> LimitProgrammePayload:  # noqa: A002
        """Date new limits."""
        context, limits = info.context, read_limits(input.limits)
        by = context.known_caller.principal
        starts_at = None if input.starts_at is None else stored_utc(input.starts_at, field="startsAt")

        async def act(connection: AsyncConnection, at: datetime) -> DatedLimits:
            return await limit_programme(connection, limits, at=at, by=by, starts_at=starts_at)

        asked = (limits, starts_at)
        write = Write(context, "limitProgramme", input.idempotency_key, asked)
        answered = await write.do(act, DatedLimits)
        directory = context.directory
        programme = programme_of(directory.programme, directory.limits_at(context.now))
        return LimitProgrammePayload(programme=programme, replayed=answered.replayed, user_errors=[])
