"""Which member a command is about, by what is known of one."""

from __future__ import annotations

from typing import Annotated, Any, Final

import typer

from gateway.services import Services
from gateway.unable import Unable
from members import find

MOST_NUMBER: Final = 2**63 - 1
"""The largest number that the ledger gives to anything."""

MemberOption = Annotated[
    int | None,
    typer.Option(
        "--member", metavar="NUMBER", help="A member, by the ledger's number.", min=0, max=MOST_NUMBER
    ),
]
PhoneOption = Annotated[str | None, typer.Option("--phone", help="A member, by phone.")]
CardOption = Annotated[str | None, typer.Option("--card", help="A member, by card number.")]


async def member_named(services: Services, kind: str, who: Any) -> int:
    """The ledger's number of whoever has this number, phone or card. Raises `Unable` if nobody has."""
    if kind == "member":
        return int(who)
    async with services.database.writer.connect() as connection:
        found = await find(connection, services.keys, **{kind: who})
    if found is None:
        raise Unable(f"There is no member with this {kind}.")
    return found
