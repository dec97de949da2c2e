"""What hides history from the proof, or shows it another one than the tills have, is found."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine
from sqlalchemy.pool import NullPool

from ledger.evidence import views
from ledger.evidence.history import WHOLE_HISTORY
from ledger.tables import blocks, lines
from tests.servers import Urls

LINES, BLOCKS = (", ".join(table.columns.keys()) for table in (lines, blocks))

HUNG_THERE = {
    "whole.wallets": "CREATE TABLE whole.wallets AS SELECT * FROM public.wallets",
    "whole.stock_now": "CREATE VIEW whole.stock_now AS SELECT * FROM public.stock_now",
    "whole.latest": "CREATE FUNCTION whole.latest(timestamptz) RETURNS timestamptz RETURN $1",
    "whole.lines": f"CREATE OR REPLACE VIEW whole.lines AS SELECT {LINES} FROM public.lines WHERE amount < 9",
    "whole.blocks": f"CREATE OR REPLACE VIEW whole.blocks AS SELECT {BLOCKS} FROM public.archived_blocks",
    "whole.operations": "DROP VIEW whole.operations",
    "public.archived_lines": f"CREATE OR REPLACE VIEW archived_lines AS SELECT {LINES} FROM public.lines",
}


@pytest.fixture
async def owner(lived_in: Urls) -> AsyncIterator[AsyncConnection]:
    """The owner, in a transaction that is rolled back behind the test."""
    engine = create_async_engine(
        lived_in.owner.replace("postgresql:", "postgresql+asyncpg:"), poolclass=NullPool
    )
    async with engine.connect() as connection:
        yield connection
        await connection.rollback()


@pytest.mark.parametrize("path", ["public", "whole, public"])
async def test_the_views_as_they_were_made_have_no_flaw(owner: AsyncConnection, path: str) -> None:
    await owner.execute(text(f"SET LOCAL search_path TO {path}"))

    assert [flaw async for flaw in views.flaws(owner)] == []


@pytest.mark.parametrize("name", HUNG_THERE)
async def test_what_would_show_the_proof_another_ledger_is_found(owner: AsyncConnection, name: str) -> None:
    await owner.execute(text(HUNG_THERE[name]))
    await owner.execute(WHOLE_HISTORY)

    (flaw,) = [flaw async for flaw in views.flaws(owner)]

    assert f" {name}" in flaw.row


async def test_a_copy_under_the_very_words_of_a_view_is_found(owner: AsyncConnection) -> None:
    await owner.execute(text("CREATE TABLE archive.lines AS SELECT * FROM public.lines"))
    await owner.execute(
        text(f"CREATE OR REPLACE VIEW archived_lines AS SELECT {LINES} FROM archive.lines WHERE false")
    )

    (flaw,) = [flaw async for flaw in views.flaws(owner)]

    assert "archived_lines" in flaw.row
