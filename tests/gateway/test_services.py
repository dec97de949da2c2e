"""A process that cannot open says why in one sentence; one that has opened waits for a programme."""

from __future__ import annotations

from base64 import b64encode

import pytest
from pydantic import SecretStr

from gateway.services import Services, open_services
from gateway.settings import Settings
from gateway.unable import Unable
from gateway.worker import extend_calendar
from ledger.fence import load_calendar


async def test_an_issuer_that_is_no_secure_address_is_named(settings: Settings) -> None:
    wrong = settings.model_copy(update={"public_url": "http://points.example"})

    with pytest.raises(
        Unable, match=r"^KOPILKA_ISSUER is wrong: the issuer 'http://points\.example' must be"
    ):
        async with open_services(wrong):
            pass


async def test_a_master_key_of_another_installation_is_named(settings: Settings) -> None:
    async with open_services(settings):
        pass
    other = SecretStr(f"1:{b64encode(bytes(32)).decode()}")

    with pytest.raises(Unable, match=r"^KOPILKA_MASTER_KEY is not the one of this database: .*\.$"):
        async with open_services(settings.model_copy(update={"master_key": other})):
            pass


async def test_the_calendar_waits_for_a_programme(services: Services) -> None:
    await extend_calendar(services)

    async with services.database.writer.connect() as connection:
        assert await load_calendar(connection) is None
