"""A month archived from the command line, and recounted from its files."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import asyncpg
import pytest
from typer.testing import CliRunner

from gateway.cli import app
from gateway.services import open_services
from gateway.settings import Settings
from gateway.unable import Unable
from gateway.worker import fold_tallies
from tests import servers
from tests.conftest import START
from tests.gateway.coalition import a_coalition
from tests.gateway.conftest import name_in_environment, run_command, settings_of
from tests.gateway.test_finance import trade
from tests.servers import Running


@pytest.fixture
def environment(run: Running, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Settings]:
    """A coalition in Moscow's time that traded in January and stands in April."""
    urls = asyncio.run(servers.fresh_database(START))
    settings = settings_of(urls)
    asyncio.run(_lived(settings))
    name_in_environment(monkeypatch, settings, tmp_path / "data")
    yield settings
    asyncio.run(servers.drop_database(urls))


async def _lived(settings: Settings) -> None:
    async with open_services(settings) as services:
        await trade(await a_coalition(services))
        await services.ledger.advance(datetime.fromisoformat("2026-02-15T12:00:00+03:00"))


async def _advance(settings: Settings) -> None:
    async with open_services(settings) as services:
        await services.ledger.advance(datetime.fromisoformat("2026-03-15T12:00:00+03:00"))
        await fold_tallies(services)


def test_a_closed_and_sealed_month_is_archived_and_everything_still_proves(
    environment: Settings, tmp_path: Path
) -> None:
    to = tmp_path / "january"
    with pytest.raises(Unable, match="is not closed"):
        run_command("archive", "2026-01", "--to", to)
    run_command("period", "close", "1")
    with pytest.raises(Unable, match=r"is not (closed|sealed)"):
        run_command("archive", "2026-01", "--to", to)
    asyncio.run(_advance(environment))
    run_command("period", "close", "2")
    with pytest.raises(Unable, match="not sealed"):
        run_command("archive", "2026-01", "--to", to)
    assert "Period 2 is sealed" in run_command("seal", "make")

    assert "2 operations" in run_command("archive", "2026-01", "--to", to)

    verified = run_command("verify", to, "--recorded")
    assert "2 operations" in verified
    assert "leads to the seals of periods 1, 2, with nothing missing" in verified
    assert "It is what the installation wrote down." in verified
    figures = json.loads(run_command("verify", to, "--json"))
    assert (figures["ok"], figures["rows"]["operations"], figures["seals"]) == (True, 2, [1, 2])
    assert json.loads(run_command("prove", "--json"))["ok"]
    chain = json.loads(run_command("prove", "--chain", "--json"))
    assert chain["ok"]
    assert chain["findings"] == []
    assert chain["operations"] > 2
    for period in ("1", "2"):
        kept = tmp_path / f"seal{period}"
        kept.write_text(run_command("seal", "show", period, "--json"))
        assert "says the same" in run_command("seal", "verify", period, "--against", kept)
        assert f"period {period} is the one you kept" in run_command("verify", to, "--seal", kept)
    kept.write_text(kept.read_text().replace('"period": 2', '"period": 3'))
    with pytest.raises(Unable, match="signature"):
        run_command("verify", to, "--seal", kept)
    asyncio.run(_hide_wallets(environment))
    for command in (("seal", "verify", "1"), ("prove", "--chain")):
        told = CliRunner().invoke(app, [*command], catch_exceptions=False)
        assert (told.exit_code, "whole.wallets hides" in told.output) == (1, True)
    with pytest.raises(Unable, match="is archived"):
        run_command("archive", "2026-01", "--to", tmp_path / "again")
    with pytest.raises(Unable, match="no month"):
        run_command("archive", "January")
    (to / "manifest.json").write_text((to / "manifest.json").read_text() + " ")
    assert "2 operations" in run_command("verify", to)
    with pytest.raises(Unable, match="not what was archived"):
        run_command("verify", to, "--recorded")
    (to / "lines.parquet").write_bytes(b"nothing")
    with pytest.raises(Unable, match="proves nothing"):
        run_command("verify", to)


async def _hide_wallets(settings: Settings) -> None:
    owner = await asyncpg.connect(settings.require("owner_url"))
    await owner.execute("CREATE VIEW whole.wallets AS SELECT * FROM wallets")
    await owner.close()


async def _forge(settings: Settings, chain: tuple[str, ...]) -> None:
    owner = await asyncpg.connect(settings.require("owner_url"))
    await owner.execute("ALTER TABLE blocks DISABLE TRIGGER USER")
    await owner.execute(
        "UPDATE blocks SET hash = sha256(hash)" if chain else "UPDATE wallets SET available = 1"
    )
    await owner.close()


@pytest.mark.parametrize("chain", [(), ("--chain",)])
def test_what_is_found_is_still_json_and_the_alarm_goes_to_standard_error(
    environment: Settings, chain: tuple[str, ...]
) -> None:
    asyncio.run(_forge(environment, chain))

    told = CliRunner().invoke(app, ["prove", *chain, "--json"], catch_exceptions=False)

    assert told.exit_code == 1
    assert not json.loads(told.stdout)["ok"]
    assert "invariant_broken" in told.stderr
