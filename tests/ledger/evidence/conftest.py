"""One ledger that has lived, for all tests of a file: none of them changes it for good."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from tests import servers
from tests.ledger.builders import START
from tests.servers import Running, Urls

from .living import live


@pytest.fixture(scope="module")
def lived_in(run: Running) -> Iterator[Urls]:
    urls = asyncio.run(servers.fresh_database(START))
    asyncio.run(live(urls))
    yield urls
    asyncio.run(servers.drop_database(urls))
