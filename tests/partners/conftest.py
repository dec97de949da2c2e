"""A small coalition in a real database, and the ledger under it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime

import pytest

from ledger import Ledger, invariants, proof
from ledger.kernel.clock import DrivenClock
from ledger.kernel.database import Database
from partners import (
    Directories,
    Directory,
    Terms,
    Till,
    create_partner,
    create_programme,
    make_agreement,
    open_outlet,
)

BY = "staff:test"


@dataclass(frozen=True, slots=True)
class Coalition:
    """Two partners with an outlet "17" each: one gives 1 % at once, the other takes points too."""

    database: Database
    directories: Directories
    ledger: Ledger
    bakery: Till
    cinema: Till

    @property
    def directory(self) -> Directory:
        """The directory in force."""
        return self.directories.current

    @property
    def now(self) -> datetime:
        """Programme time."""
        return self.ledger.clock.now()


@pytest.fixture
async def coalition(database: Database, driven_clock: DrivenClock) -> AsyncIterator[Coalition]:
    """The coalition, its ledger accepting commands; the proof must hold after whatever a test did."""
    at = driven_clock.now()
    terms = Terms(pending_days=0)
    tills = []
    async with database.writer.begin() as connection:
        await create_programme(
            connection, name="Kopilka", currency="RUB", time_zone="Europe/Moscow", at=at, by=BY
        )
        for name in ("Bakery", "Cinema"):
            partner = await create_partner(connection, name=name, at=at, by=BY)
            await make_agreement(connection, partner.id, terms=terms, at=at, by=BY)
            await open_outlet(connection, partner.id, code="17", name="Main street", at=at, by=BY)
            tills.append(Till(partner=partner.id, principal=f"partner:{partner.id}"))
    directories = Directories(database)
    await directories.reload()
    ledger = Ledger(database, driven_clock)
    await ledger.start()
    yield Coalition(database, directories, ledger, *tills)
    await ledger.drain()
    found = await proof.prove(database.writer, invariants.INVARIANTS)
    assert found.is_ok, found.findings
