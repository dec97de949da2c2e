"""Taking over a programme, through the schema and through the command line."""

from __future__ import annotations

import asyncio
import csv
import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from gateway.cli import app
from gateway.settings import Settings
from gateway.unable import Unable
from tests.gateway.coalition import Coalition, a_key, partner_id
from tests.gateway.conftest import name_in_environment

PAYLOAD = """
    balanceImport {
        id file source endedAt rowsDone accepted refused
        points { issuer points } differences { issuer claimed found }
    }
    replayed userErrors { code field message retryable }
"""


def a_row(number: int, **changes: Any) -> dict[str, Any]:
    lot = {"issuer": "Bakery", "points": 100, "earned": "2025-06-01", "expires": "2026-06-30"}
    return {"member": f"m{number}", "phone": f"+7916000{number:04d}", "lots": [lot | changes]}


def lines(*rows: dict[str, Any]) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


def a_part(*rows: dict[str, Any], **changes: Any) -> dict[str, Any]:
    good = {
        "idempotencyKey": a_key(),
        "source": "old",
        "file": "january",
        "format": "JSON_LINES",
        "rows": lines(*rows),
        "firstRow": 1,
    }
    return good | changes


async def send(coalition: Coalition, part: dict[str, Any]) -> dict[str, Any]:
    payload: dict[str, Any] = await coalition.do("importBalances", PAYLOAD, part, as_="operator")
    return payload


async def test_a_file_comes_in_parts_and_each_row_has_its_outcome(coalition: Coalition) -> None:
    by_id = a_row(3, issuer=partner_id(2))
    first = await send(coalition, a_part(a_row(1), a_row(2, issuer="Nobody")))
    second = await send(coalition, a_part(by_id, {"control": {"members": 3}}, firstRow=3, isLast=True))

    assert first["balanceImport"]["rowsDone"] == 2
    done = second["balanceImport"]
    assert (done["rowsDone"], done["accepted"], done["refused"]) == (4, 2, 1)
    assert done["endedAt"] is not None
    assert done["points"] == [
        {"issuer": partner_id(1), "points": 100},
        {"issuer": partner_id(2), "points": 100},
    ]
    assert done["differences"] == [{"issuer": None, "claimed": 3, "found": 2}]

    query = """query ($id: ID!, $after: String, $refused: Boolean!) { balanceImport(id: $id) {
        rows(first: 2, after: $after, refusedOnly: $refused) {
            nodes { row code message field points operation } pageInfo { hasNextPage endCursor } } } }"""
    page = (await coalition.ask(query, {"id": done["id"], "refused": False}, as_="operator")).data
    rows = page["balanceImport"]["rows"]
    assert [(row["row"], row["code"], row["field"]) for row in rows["nodes"]] == [
        (1, None, []),
        (2, "PARTNER_UNKNOWN", ["lots", "0", "issuer"]),
    ]
    after = {"id": done["id"], "after": rows["pageInfo"]["endCursor"], "refused": False}
    rest = (await coalition.ask(query, after, as_="operator")).data["balanceImport"]["rows"]
    assert [row["row"] for row in rest["nodes"]] == [3]
    assert not rest["pageInfo"]["hasNextPage"]
    refused = (await coalition.ask(query, {"id": done["id"], "refused": True}, as_="operator")).data
    assert [row["row"] for row in refused["balanceImport"]["rows"]["nodes"]] == [2]
    listed = (await coalition.ask("{ balanceImports { nodes { id rowsDone } } }", as_="operator")).data
    assert listed["balanceImports"]["nodes"] == [{"id": done["id"], "rowsDone": 4}]


async def test_what_was_taken_over_can_be_spent(coalition: Coalition) -> None:
    await send(coalition, a_part(a_row(1)))

    seen = await coalition.do(
        "memberResolve", "member { balance { available } }", {"member": {"phone": "+79160000001"}}
    )

    assert seen["member"]["balance"]["available"] == 100


async def test_a_part_that_was_sent_again_is_answered_as_the_first_time(coalition: Coalition) -> None:
    part = a_part(a_row(1), a_row(2))

    first = await send(coalition, part)
    again = await send(coalition, part)
    at_once = await asyncio.gather(
        *(send(coalition, a_part(a_row(7), idempotencyKey="k", firstRow=3)) for _ in "abc")
    )
    changed = await send(coalition, part | {"rows": lines(a_row(5))})

    assert again == first | {"replayed": True}
    assert sorted(answer["replayed"] for answer in at_once) == [False, True, True]
    assert [each["code"] for each in changed["userErrors"]] == ["IDEMPOTENCY_CONFLICT"]


async def test_a_part_out_of_step_is_refused_and_says_which_is_next(coalition: Coalition) -> None:
    await send(coalition, a_part(a_row(1)))

    gap = await send(coalition, a_part(a_row(3), firstRow=3))
    twice = await send(coalition, a_part(a_row(1)))

    for payload in (gap, twice):
        (error,) = payload["userErrors"]
        assert (error["code"], error["field"], error["message"]) == (
            "IMPORT_OUT_OF_STEP",
            ["firstRow"],
            "the next row is 2",
        )


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"source": ""}, ["source"]),
        ({"file": "x" * 201}, ["file"]),
        ({"firstRow": 0}, ["firstRow"]),
        ({"idempotencyKey": ""}, ["idempotencyKey"]),
        ({"format": "CSV", "rows": "colour\n"}, ["rows"]),
        ({"rows": lines(*(a_row(number) for number in range(501)))}, ["rows"]),
    ],
)
async def test_a_part_that_makes_no_sense_is_refused_whole(
    coalition: Coalition, changes: dict[str, Any], field: list[str]
) -> None:
    payload = await send(coalition, a_part(a_row(1), **changes))

    assert [(each["code"], each["field"]) for each in payload["userErrors"]] == [("INVALID_INPUT", field)]
    listed = (await coalition.ask("{ balanceImports { nodes { rowsDone } } }", as_="operator")).data
    assert all(each["rowsDone"] == 0 for each in listed["balanceImports"]["nodes"])


async def test_only_the_operator_takes_a_programme_over(coalition: Coalition) -> None:
    document = (
        f"mutation Do($input: ImportBalancesInput!) {{ importBalances(input: $input) {{ {PAYLOAD} }} }}"
    )
    for caller in ("bakery", "finance", "app"):
        answer = await coalition.ask(document, {"input": a_part(a_row(1))}, as_=caller)
        assert answer.json["errors"][0]["extensions"]["code"] == "FORBIDDEN"


@pytest.fixture
def at_home(settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A shell whose environment names the test's installation."""
    name_in_environment(monkeypatch, settings, tmp_path / "data")
    return tmp_path


def run(*arguments: str) -> tuple[int, dict[str, Any]]:
    result = CliRunner().invoke(app, ["import", "balances", *arguments, "--json"], catch_exceptions=False)
    return result.exit_code, json.loads(result.stdout)


async def test_the_command_takes_a_file_over_once(coalition: Coalition, at_home: Path) -> None:
    file, told = at_home / "balances.jsonl", at_home / "outcomes.csv"
    file.write_text(lines(*(a_row(number) for number in range(1, 1_201)), a_row(5, points=-1)))

    rehearsed = await asyncio.to_thread(run, str(file), "--dry-run")
    first = await asyncio.to_thread(run, str(file), "--outcomes", str(told))
    again = await asyncio.to_thread(run, str(file))

    for code, figures in (rehearsed, first, again):
        assert code == 1
        assert {key: figures[key] for key in ("rows", "accepted", "refused", "members", "points")} == {
            "rows": 1_201,
            "accepted": 1_200,
            "refused": 1,
            "members": 1_200,
            "points": {"Bakery": 120_000},
        }
    assert (rehearsed[1]["import"], again[1]["import"]) == (None, first[1]["import"])
    with told.open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert len(rows) == 1_201
    assert (rows[0]["code"], rows[-1]["code"], rows[-1]["field"]) == ("OK", "INVALID_INPUT", "lots.0.points")


async def test_the_command_holds_totals_against_the_claim(coalition: Coalition, at_home: Path) -> None:
    file = at_home / "balances.csv"
    file.write_text(
        "member,phone,issuer,points,earned,expires\n"
        "m1,+79160000001,Bakery,100,2025-06-01,2026-06-30\n"
        "#control,,Bakery,99,,\n"
    )

    code, figures = await asyncio.to_thread(run, str(file))

    assert code == 1
    assert figures["control"] == [{"of": "Bakery", "claimed": 99, "found": 100}]


async def test_a_file_that_cannot_be_read_is_said_in_one_sentence(
    coalition: Coalition, at_home: Path
) -> None:
    wide = at_home / "wide.csv"
    wide.write_text("member,phone\n", encoding="utf-16")

    with pytest.raises(Unable, match=r"^INVALID_INPUT: the file is not UTF-8 text but UTF-16\.$"):
        await asyncio.to_thread(run, str(wide))
    with pytest.raises(Unable, match="No such file"):
        await asyncio.to_thread(run, str(at_home / "nowhere.csv"))


async def test_people_are_told_which_rows_were_refused_and_why(coalition: Coalition, at_home: Path) -> None:
    file = at_home / "balances.jsonl"
    file.write_text(lines(a_row(1), *(a_row(number, points=-1) for number in range(2, 9))))

    for mode in (["--dry-run"], []):
        command = ["import", "balances", str(file), *mode]
        told = await asyncio.to_thread(CliRunner().invoke, app, command, catch_exceptions=False)

        assert told.exit_code == 1
        reasons = [line.split(":")[:2] for line in told.stdout.splitlines() if line.startswith("row ")]
        assert reasons == [[f"row {row}", " INVALID_INPUT lots.0.points"] for row in range(2, 7)]
        assert "2 more: --outcomes FILE tells them all." in told.stdout


async def test_outcomes_that_cannot_be_written_stop_an_import_before_it_begins(
    coalition: Coalition, at_home: Path
) -> None:
    file, nowhere = at_home / "balances.jsonl", at_home / "nowhere" / "outcomes.csv"
    file.write_text(lines(a_row(1)))

    with pytest.raises(Unable, match=f"^Writing {nowhere} failed: "):
        await asyncio.to_thread(run, str(file), "--outcomes", str(nowhere))
    _, figures = await asyncio.to_thread(run, str(file))

    assert figures["import"] == 1
