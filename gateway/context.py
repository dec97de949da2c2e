"""What a resolver may reach: who asks, what time it is, the rooms, and what the request costs."""

from __future__ import annotations

from asyncio import Lock
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

import strawberry
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.caller import Caller, Unauthenticated
from gateway.http import Budgets, Limits, Meter
from ledger.kernel.ids import OPERATOR
from ledger.kernel.reading import reading
from ledger.kernel.refusals import Throttled
from partners import Directory, Till, shown_directory

from .services import Services

MISSES_PER_CLIENT: Final = Limits(budget=1_000, restore_per_second=1)
"""How many identifiers of nobody a client may present: a thousand at once, then one a second."""

PROOFS_PER_CLIENT: Final = Limits(budget=100, restore_per_second=1)
"""How many inclusion proofs a client may draw: a hundred at once, then one a second."""


CONNECTION_SECONDS: Final = 5
"""When to try again while every connection is in use."""

PROOF_SECONDS: Final = 5
"""When to try again while the ledger is being proved."""


@dataclass(slots=True)
class Context:
    """One request."""

    caller: Caller | None
    meter: Meter
    services: Services
    misses: Budgets
    proofs: Budgets
    has_looked_up: bool = False
    has_proved: bool = False
    shown: Directory | None = None
    one_connection: Lock = field(default_factory=Lock)

    @property
    def now(self) -> datetime:
        """Programme time."""
        return self.services.clock.now()

    @property
    def known_caller(self) -> Caller:
        """The caller, who has a token: the field demanded a scope."""
        if self.caller is None:
            raise Unauthenticated("an access token is needed", token_presented=False)
        return self.caller

    @property
    def directory(self) -> Directory:
        """Partners, outlets and terms as they are now: what rules are decided on, not what is shown."""
        return self.services.directories.current

    @property
    def till(self) -> Till:
        """The caller as the partners' room knows it."""
        caller = self.known_caller
        assert caller.partner is not None, "scopes of a till are given to partners only"
        return Till(partner=caller.partner, principal=caller.principal, outlets=caller.outlets)

    @property
    def namer(self) -> int:
        """The partner whose handles the caller speaks in; the operator's side has those of the operator."""
        partner = self.known_caller.partner
        return OPERATOR if partner is None else partner

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[AsyncConnection]:
        """A connection that sees what the caller may see: a partner its own rows, the operator's side all.

        A request has one at a time, or else its aliases would keep all of them from everybody else.
        Raises `Throttled` when none has become free.
        """
        partner, database = self.known_caller.partner, self.services.database
        source = database.writer.connect() if partner is None else reading(database, partner=partner)
        async with self.one_connection:
            try:
                async with source as connection:
                    yield connection
            except PoolTimeout:
                raise Throttled("too much is being read at present", seconds=CONNECTION_SECONDS) from None

    @asynccontextmanager
    async def proving(self) -> AsyncIterator[None]:
        """Prove the whole ledger while the block lasts. Raises `Throttled` while somebody else does."""
        if self.services.proving.locked():
            raise Throttled("the ledger is being proved already", seconds=PROOF_SECONDS)
        async with self.services.proving:
            yield

    async def shown_directory(self) -> Directory:
        """The part of the directory that may be shown to the caller."""
        if self.known_caller.partner is None:
            return self.directory
        if self.shown is None:
            async with self.reading() as connection:
                self.shown = await shown_directory(connection)
        return self.shown

    def look_up(self, identifiers: int = 1) -> None:
        """Allow a look-up by phone or card: one in a document, and within the limit on misses."""
        if self.has_looked_up:
            raise Throttled("one member is looked up in a document", seconds=1)
        self.has_looked_up = True
        self.misses.of(self.known_caller.client_id).take(identifiers)

    def prove_one(self) -> None:
        """Allow an inclusion proof: one in a document, and within the limit, since each reads many hashes."""
        if self.has_proved:
            raise Throttled("one operation is proved in a document", seconds=1)
        self.has_proved = True
        self.proofs.of(self.known_caller.client_id).take(1)

    def found(self, identifiers: int = 1) -> None:
        """Say how many of them were found, which do not count against the limit."""
        self.misses.of(self.known_caller.client_id).give_back(identifiers)


Info = strawberry.Info[Context, None]


class ContextMaker:
    """Makes the context of each request; what outlasts requests is kept here."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._misses = Budgets(MISSES_PER_CLIENT)
        self._proofs = Budgets(PROOFS_PER_CLIENT)

    def __call__(self, caller: Caller | None, meter: Meter) -> Context:
        """The context of one request."""
        return Context(
            caller=caller,
            meter=meter,
            services=self._services,
            misses=self._misses,
            proofs=self._proofs,
        )
