"""What a load balancer and Prometheus ask a process, and what its logs never say."""

from __future__ import annotations

import asyncio
import io
import json
import logging
from collections.abc import Iterator
from datetime import timedelta
from secrets import token_hex

import httpx
import pytest
import structlog
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine
from starlette.applications import Starlette
from starlette.routing import Route

from gateway import health
from gateway.logging import configure, to_standard_error
from gateway.metrics import Observed, metrics_of
from ledger.kernel.database import Database
from ledger.kernel.poller import Poller
from partners import Directories
from tests.servers import Urls


async def test_a_process_with_a_current_database_is_ready(database: Database) -> None:
    async with _client(database) as client:
        answer = await client.get("/readyz")

    assert (answer.status_code, answer.json()) == (200, {"ready": True})


async def test_a_process_without_its_migrations_lives_and_is_not_ready(
    database: Database, urls: Urls
) -> None:
    engine = create_async_engine(urls.owner.replace("postgresql:", "postgresql+asyncpg:"))
    async with engine.begin() as connection:
        await connection.execute(text("UPDATE alembic_version SET version_num = '0001'"))
    await engine.dispose()

    async with _client(database) as client:
        lives, ready = await client.get("/healthz"), await client.get("/readyz")

    assert lives.status_code == 200
    assert ready.status_code == 503
    assert ready.json()["problem"].startswith("migrations are missing: 0002")


async def test_a_machine_whose_clock_is_wrong_is_not_ready(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(health, "MOST_AHEAD", timedelta(microseconds=-1))

    async with _client(database) as client:
        ready = await client.get("/readyz")

    assert ready.status_code == 503
    assert ready.json()["problem"] == "this machine's clock and PostgreSQL's are 0 s apart"


async def test_a_process_that_reads_no_directory_any_more_says_so_and_is_not_ready(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(health, "STALE_SECONDS", 0.2)
    directories = Directories(database, poll_seconds=0.05)
    await directories.start()

    async with _client(database, directories.poller) as client:
        fresh = await client.get("/readyz")
        monkeypatch.setattr(directories, "_height", _unreadable)
        await asyncio.sleep(0.5)
        stale = await client.get("/readyz")
    await directories.stop()

    assert (fresh.status_code, stale.status_code) == (200, 503)
    assert stale.json()["problem"].startswith("directory: last read ")


async def _unreadable() -> None:
    raise ValueError("a word that only a newer version knows")


async def test_requests_are_counted_by_known_paths_only(database: Database) -> None:
    async with _client(database) as client:
        await client.get("/healthz")
        await client.get("/anything/a/stranger/types")
        counted = (await client.get("/metrics")).text

    assert 'kopilka_http_requests_total{path="/healthz",status="200"}' in counted
    assert 'kopilka_http_requests_total{path="other",status="404"}' in counted
    assert "stranger" not in counted


@pytest.mark.parametrize(
    ("given", "kept"), [("deploy-1234567", True), ("short", False), ("a b\tc" * 9, False)]
)
async def test_a_request_keeps_a_sound_id_and_gets_one_otherwise(
    database: Database, given: str, kept: bool
) -> None:
    async with _client(database) as client:
        answer = await client.get("/healthz", headers={"X-Request-Id": given})

    assert (answer.headers["x-request-id"] == given) is kept
    assert len(answer.headers["x-request-id"]) >= 8


def test_a_logged_secret_does_not_show(logged: io.StringIO) -> None:
    structlog.get_logger("test").info("enrolled", phone="+79161234567", partner=3)
    logging.getLogger("library").warning("a library speaks", extra={"client_secret": "kopilka_abc"})

    first, second = (json.loads(line) for line in logged.getvalue().splitlines())
    assert (first["event"], first["partner"], first["phone"]) == ("enrolled", 3, "…")
    assert (second["event"], second["client_secret"], second["level"]) == ("a library speaks", "…", "warning")


def test_what_a_command_logs_tells_where_it_failed_and_no_secret(capsys: pytest.CaptureFixture[str]) -> None:
    secret = token_hex(8)
    to_standard_error()
    try:
        _fail_with(secret)
    except ZeroDivisionError:
        structlog.get_logger().exception("job_failed", phone="+79161234567")
    finally:
        structlog.reset_defaults()

    said = capsys.readouterr()
    assert (said.out, secret in said.err, "1234567" in said.err) == ("", False, False)
    assert "in _fail_with" in said.err


def _fail_with(_password: str) -> None:
    raise ZeroDivisionError


@pytest.fixture
def logged(monkeypatch: pytest.MonkeyPatch) -> Iterator[io.StringIO]:
    out = io.StringIO()
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    monkeypatch.setattr("sys.stdout", out)
    configure()
    yield out
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


def _client(database: Database, *pollers: Poller) -> httpx.AsyncClient:
    app = Starlette(routes=[*health.routes(database, pollers), Route("/metrics", metrics_of(database))])
    observed = Observed(app, frozenset({"/healthz", "/readyz", "/metrics"}))
    return httpx.AsyncClient(transport=httpx.ASGITransport(observed), base_url="http://test")
