from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from gateway.commands.settlement import settlement_app
from gateway.unable import Unable
from tests.settlement.scenarios import GOLDEN, golden_inputs


def run(*arguments: str) -> str:
    result = CliRunner().invoke(settlement_app, ["simulate", *arguments], catch_exceptions=False)
    assert result.exit_code == 0
    return result.output


@pytest.fixture
def scenario(tmp_path: Path) -> Path:
    file = tmp_path / "scenario.json"
    file.write_text(json.dumps(golden_inputs()))
    return file


def test_a_machine_gets_the_golden_figures(scenario: Path) -> None:
    assert json.loads(run(str(scenario), "--json")) == GOLDEN["expected"]


def test_people_get_a_table(scenario: Path) -> None:
    text = run(str(scenario))

    assert "Period 1" in text
    assert "56.96%" in text
    assert "58.16%" in text


def test_a_name_is_shown_as_it_is_written(scenario: Path) -> None:
    scenario.write_text(scenario.read_text().replace('"A"', '"Shop [7]"'))

    assert "│ Shop [7]" in run(str(scenario))


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"{}", r"INVALID_INPUT: the file has no funding\."),
        (b"\xff\xfe", r"is not UTF-8 text\."),
        (b"nothing", r"INVALID_INPUT: the file is not JSON: "),
        (b'{"funding": {"A": "R"}, "periods": {}}', r"TARIFF_MISSING: the scenario has no tariff\."),
    ],
)
def test_a_file_that_is_no_scenario_is_said_in_one_sentence(
    tmp_path: Path, content: bytes, reason: str
) -> None:
    file = tmp_path / "scenario.json"
    file.write_bytes(content)

    with pytest.raises(Unable, match=reason):
        run(str(file))


def test_a_file_that_is_not_there_is_said_in_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(Unable, match="No such file or directory"):
        run(str(tmp_path / "nowhere.json"))
