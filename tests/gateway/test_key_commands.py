"""Keys changed from the command line: the one that signs seals, and the master key under the members."""

from __future__ import annotations

import asyncio
from datetime import datetime
from pathlib import Path

import pytest
from sqlalchemy import text
from typer.testing import CliRunner

from gateway.cli import app
from gateway.commands import rewrap
from gateway.services import Services
from gateway.settings import Settings
from gateway.unable import Unable
from ledger.evidence import sealing
from ledger.evidence.seal_keys import public_keys
from members import MasterKeys, find
from partners.events import read_events
from tests.gateway.coalition import PHONE, Coalition
from tests.gateway.conftest import MASTER_KEY, name_in_environment, run_command
from tests.gateway.test_finance import trade


async def test_a_new_key_signs_seals_and_what_the_old_one_signed_stays_good(
    coalition: Coalition,
    services: Services,
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    name_in_environment(monkeypatch, settings, tmp_path)
    await trade(coalition)
    await services.ledger.advance(datetime.fromisoformat("2026-02-01T12:00:00+03:00"))
    await asyncio.to_thread(run_command, "seal", "make")
    told = [await asyncio.to_thread(run_command, "seal", "new-key") for _ in range(2)]
    await services.ledger.advance(datetime.fromisoformat("2026-03-01T12:00:00+03:00"))
    await asyncio.to_thread(run_command, "seal", "make")

    async with services.database.writer.connect() as connection:
        first, second = [await sealing.find(connection, period) for period in (1, 2)]
        public = await public_keys(connection)
        events = [event for event in await read_events(connection, after=0) if event.kind == "seal_key.made"]
    assert first is not None
    assert second is not None
    assert list(public) == [first.key_id, events[0].body["key"], second.key_id]
    assert second.key_id in told[1]
    assert events[1].body["key"] == second.key_id
    assert events[1].body["by"].startswith("account:")
    for period in ("1", "2"):
        assert "is good" in await asyncio.to_thread(run_command, "seal", "verify", period)


async def test_rewrapped_members_need_the_newest_master_key_only(
    coalition: Coalition,
    services: Services,
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    both = MasterKeys.from_text(MASTER_KEY).with_next_version()
    name_in_environment(monkeypatch, settings, tmp_path)
    monkeypatch.setenv("KOPILKA_MASTER_KEY", both.reveal())

    monkeypatch.setattr(rewrap, "_PAUSE_SECONDS", 0.01)
    async with services.database.writer.connect() as holder:
        await holder.execute(text("SELECT 1 FROM members FOR UPDATE"))
        held = await asyncio.to_thread(CliRunner().invoke, app, ["rewrap"])
    assert held.exit_code == 1
    assert held.stdout.endswith("; 2 are left.\n")
    told = await asyncio.to_thread(run_command, "rewrap")
    again = await asyncio.to_thread(run_command, "rewrap")

    assert "under version 2 of the master key" in told
    assert told.endswith("; 0 are left.\n")
    assert again.startswith("0 members' keys and 0 phones")
    assert both.current == 2
    newest = MasterKeys.from_text(both.reveal().split(",")[0])
    monkeypatch.setenv("KOPILKA_MASTER_KEY", both.with_next_version().reveal().replace("2:", "7:"))
    with pytest.raises(Unable, match="version 2 is not configured"):
        await asyncio.to_thread(run_command, "rewrap")
    async with services.database.writer.connect() as connection:
        assert await find(connection, newest, phone=PHONE) == coalition.member
