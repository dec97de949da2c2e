"""The second wall: whoever asks as the reader is shown one partner's rows, whatever the question."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from contextvars import ContextVar
from datetime import datetime
from typing import Any

import pytest
from sqlalchemy import event, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.pool import QueuePool

from gateway.schema.node import global_id
from ledger import tallies
from ledger.kernel.database import Database
from ledger.kernel.reading import reading
from partners.clients import create_client
from tests.gateway.coalition import Coalition, a_burn, a_receipt, an_earn, partner_id

IS_ASKING: ContextVar[bool] = ContextVar("is_asking", default=False)
"""True of all that a question sets off, and not of what the gateway looks after meanwhile."""

OWNED = {
    "partners": "id",
    "outlets": "partner",
    "agreements": "partner",
    "tariffs": "obligor",
    "clients": "partner",
    "operations": "partner",
    "statements": "partner",
}
"""What a row of a view has for its partner."""

LAID_AWAY = "archived_operations"
"""The same as `operations`, empty here: `test_archive_command` reads months that were archived."""

TAKEN_PART_IN = ("lines", "line_instants", "flows_now", "tallies")
OPEN = {
    "alembic_version",
    "calendar",
    "clock",
    "events_head",
    "programme",
    "programme_limits",
    "tally_late",
    "tally_marks",
}
"""Tables that say nothing of any partner."""


@pytest.fixture
async def traded(coalition: Coalition) -> Coalition:
    """Both partners trade apart and with each other, have clients, and January is closed."""
    await coalition.do("earn", "userErrors { code }", an_earn(coalition))
    burn = a_burn(coalition, 60, receipt=a_receipt())
    await coalition.do("burn", "userErrors { code }", burn, as_="cinema")
    at_cinema = an_earn(coalition, member={"handle": coalition.handle(2)}, receipt=a_receipt("300.00"))
    await coalition.do("earn", "userErrors { code }", at_cinema, as_="cinema")
    async with coalition.services.database.writer.begin() as connection:
        for partner in (1, 2):
            await create_client(
                connection,
                kind="partner",
                name="Till",
                scopes=["earn"],
                partner=partner,
                outlets=None,
                jwks=None,
                wall_time=coalition.now,
                at=coalition.now,
            )
    await coalition.services.ledger.advance(datetime.fromisoformat("2026-02-01T12:00:00+03:00"))
    await coalition.do("closePeriod", "userErrors { code }", {"period": 1}, as_="finance")
    async with coalition.services.database.writer.begin() as connection:
        await tallies.fold(connection)
    return coalition


async def seen(database: Database, partner: int, query: str) -> list[Any]:
    async with reading(database, partner=partner) as connection:
        return list((await connection.execute(text(query))).all())


async def test_a_partner_sees_its_own_rows_and_nobody_elses(traded: Coalition) -> None:
    database = traded.services.database
    for view, owner in OWNED.items():
        for partner in (1, 2):
            rows = await seen(database, partner, f"SELECT DISTINCT {owner} FROM {view}")

            assert rows == [(partner,)], view


async def test_a_partner_sees_the_movements_that_it_has_a_part_in(traded: Coalition) -> None:
    database = traded.services.database
    for view in TAKEN_PART_IN:
        everything = await _count(database, view)
        for partner in (1, 2):
            rows = await seen(database, partner, f"SELECT issuer, obligor, redeemer FROM {view}")

            assert all(partner in row for row in rows), view
            assert 0 < len(rows) < everything, view


async def test_a_key_of_another_partner_is_no_key(traded: Coalition) -> None:
    database = traded.services.database
    own = {partner: await seen(database, partner, "SELECT operation FROM keys") for partner in (1, 2)}

    assert own[1]
    assert own[2]
    assert not set(own[1]) & set(own[2])


async def test_a_condition_written_by_hand_shows_no_more(traded: Coalition) -> None:
    database = traded.services.database

    assert await seen(database, 1, "SELECT DISTINCT partner FROM operations WHERE partner = 2 OR true") == [
        (1,)
    ]
    for table in (*OWNED, *TAKEN_PART_IN, "keys", LAID_AWAY):
        with pytest.raises(DBAPIError, match="permission denied"):
            await seen(database, 1, f"SELECT 1 FROM public.{table}")


async def test_without_a_partner_nothing_is_visible(traded: Coalition) -> None:
    database = traded.services.database
    await seen(database, 1, "SELECT 1")

    async with database.reader.connect() as connection:
        for view in (*OWNED, *TAKEN_PART_IN, "keys", LAID_AWAY):
            assert await connection.scalar(text(f"SELECT count(*) FROM {view}")) == 0, view


async def test_a_partner_is_forgotten_with_its_transaction(traded: Coalition) -> None:
    async with reading(traded.services.database, partner=1) as connection:
        assert await connection.scalar(text("SELECT count(*) FROM outlets")) == 1
        await connection.rollback()
        assert await connection.scalar(text("SELECT count(*) FROM outlets")) == 0


async def test_the_reader_reads_views_and_what_is_nobodys(traded: Coalition) -> None:
    query = """SELECT nspname, relname FROM pg_class JOIN pg_namespace n ON n.oid = relnamespace
        WHERE nspname IN ('public', 'filtered') AND relkind IN ('r', 'p', 'v', 'm', 'f')
          AND has_any_column_privilege(current_user, pg_class.oid, 'SELECT')"""
    found = await seen(traded.services.database, 1, query)

    views = {(name, relation) for name, relation in found if name == "filtered"}
    assert {relation for name, relation in found if name == "public"} == OPEN
    assert {relation for _, relation in views} == {*OWNED, *TAKEN_PART_IN, "keys", LAID_AWAY}


async def test_every_view_is_a_barrier(traded: Coalition) -> None:
    query = """SELECT relname FROM pg_class WHERE relnamespace = 'filtered'::regnamespace
        AND NOT coalesce('security_barrier=true' = ANY (reloptions), false)"""

    assert await seen(traded.services.database, 1, query) == []


async def test_the_reader_writes_nothing(traded: Coalition) -> None:
    for statement in (
        "UPDATE outlets SET name = 'x'",
        "DELETE FROM operations",
        "CREATE TABLE mine (id int)",
    ):
        with pytest.raises(DBAPIError, match=r"permission denied|read-only transaction"):
            await seen(traded.services.database, 1, statement)


async def test_a_partners_questions_never_reach_the_writer(traded: Coalition) -> None:
    document = """query($key: String!, $id: ID!, $outlet: ID!) {
      partner { name agreement { id } agreements { id } outlets { nodes { code } } clients { name }
        position { period } issuedStatements { nodes { number } } }
      statement(number: "0001-0001") { number } theirs: statement(number: "0001-0002") { number }
      partners { nodes { name } }
      operations(key: $key) { id } operation(id: $id) { id }
      node(id: $outlet) { id } }"""
    earned = an_earn(traded)
    made = await traded.do("earn", "operation { id }", earned)
    variables = {
        "key": earned["idempotencyKey"],
        "id": made["operation"]["id"],
        "outlet": global_id("Outlet", 1),
    }
    asked: list[str] = []
    engine = traded.services.database.writer.sync_engine

    def hear(*given: Any) -> None:
        if IS_ASKING.get():
            asked.append(given[2])

    event.listen(engine, "before_cursor_execute", hear)

    IS_ASKING.set(True)
    answer = await traded.ask(document, variables)

    assert asked == []
    async with traded.services.database.writer.connect() as connection:
        await connection.execute(text("SELECT 1"))
    assert asked == ["SELECT 1"]  # it would have been heard
    assert answer.data["partner"]["name"] == "Bakery"
    assert answer.data["partner"]["position"] == {"period": 2}
    assert [each["name"] for each in answer.data["partner"]["clients"]] == ["Till"]
    assert answer.data["partner"]["issuedStatements"]["nodes"] == [{"number": "0001-0001"}]
    assert (answer.data["statement"], answer.data["theirs"]) == ({"number": "0001-0001"}, None)
    assert answer.data["partners"]["nodes"] == [{"name": "Bakery"}]
    assert answer.data["operations"] == [answer.data["operation"]] == [made["operation"]]
    assert answer.data["node"] == {"id": variables["outlet"]}


async def test_the_operators_side_reads_everything(traded: Coalition) -> None:
    document = "query($id: ID!) { partner(id: $id) { name outlets { nodes { code } } } }"

    answer = await traded.ask(document, {"id": partner_id(2)}, as_="operator")

    assert answer.data["partner"] == {"name": "Cinema", "outlets": {"nodes": [{"code": "17"}]}}


ALIASES = "{ partner { " + " ".join(f"a{n}: position {{ issued }}" for n in range(8)) + " } }"


async def test_a_request_has_one_connection_at_a_time_however_many_fields_read(traded: Coalition) -> None:
    pool = traded.services.database.reader.sync_engine.pool
    assert isinstance(pool, QueuePool)
    taken: list[int] = []
    event.listen(pool, "checkout", lambda *_: taken.append(pool.checkedout()))

    answer = await traded.ask(ALIASES)

    assert answer.data["partner"]["a7"] is not None
    assert max(taken) == 1
    assert answer.json["extensions"]["cost"]["requested"] > 800


async def test_whoever_gets_no_connection_is_told_when_to_come_back(
    traded: Coalition, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Exhausted(AbstractAsyncContextManager[None]):
        async def __aenter__(self) -> None:
            raise PoolTimeout("none is free")

        async def __aexit__(self, *_: object) -> None: ...

    monkeypatch.setattr("gateway.context.reading", lambda *_, **__: Exhausted())

    answer = await traded.ask("{ partner { position { issued } } }")

    assert answer.code == "THROTTLED"
    assert answer.json["errors"][0]["extensions"]["seconds"] == 5


async def _count(database: Database, table: str) -> int:
    async with database.writer.connect() as connection:
        return int(await connection.scalar(text(f"SELECT count(*) FROM {table}")) or 0)
