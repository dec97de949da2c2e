"""Services on a database of the test's own, and a coalition behind the published schema."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from pydantic import SecretStr
from typer.testing import CliRunner

from gateway.cli import app
from gateway.services import Services, open_services
from gateway.settings import Settings
from ledger import invariants, proof
from settlement import proof as money_proof
from tests.gateway.coalition import Coalition, a_coalition
from tests.servers import Urls

MASTER_KEY = f"1:{b64encode(bytes(range(32))).decode()}"


def settings_of(urls: Urls) -> Settings:
    """What the environment of an installation with that database says."""
    return Settings(
        database_url=SecretStr(urls.writer),
        owner_url=SecretStr(urls.owner),
        reader_url=SecretStr(urls.reader),
        redis_url=SecretStr(urls.redis),
        master_key=SecretStr(MASTER_KEY),
    )


def name_in_environment(monkeypatch: pytest.MonkeyPatch, settings: Settings, data: Path) -> None:
    """Let commands find the installation of `settings`; their data folder is `data`."""
    for name in ("database_url", "owner_url", "reader_url", "redis_url", "master_key"):
        monkeypatch.setenv(f"KOPILKA_{name.upper()}", settings.require(name))
    monkeypatch.setenv("KOPILKA_DATA_DIR", str(data))


def run_command(*arguments: object) -> str:
    """What a command that must succeed prints."""
    result = CliRunner().invoke(app, [*map(str, arguments)], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


@pytest.fixture
def settings(urls: Urls) -> Settings:
    """The environment of one test."""
    return settings_of(urls)


@pytest.fixture
async def services(settings: Settings) -> AsyncIterator[Services]:
    """The rooms, open."""
    async with open_services(settings) as opened:
        yield opened


@pytest.fixture
async def coalition(services: Services) -> AsyncIterator[Coalition]:
    """A coalition; the proof must hold after whatever a test did."""
    made = await a_coalition(services)
    yield made
    everything = (*invariants.INVARIANTS, *money_proof.INVARIANTS)
    found = await proof.prove(services.database.writer, everything)
    assert found.is_ok, found.findings
