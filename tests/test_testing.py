"""The list of tests names tests that exist."""

from __future__ import annotations

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs" / "testing.md").read_text()


def _tests_of(file: str) -> set[str]:
    """The tests of a file by name."""
    tree = ast.parse((ROOT / file).read_text())
    functions = (ast.FunctionDef, ast.AsyncFunctionDef)
    return {node.name for node in tree.body if isinstance(node, functions) and node.name.startswith("test_")}


def test_every_test_that_the_page_names_exists() -> None:
    named = re.findall(r"`(tests/[\w/]+\.py)::(test_\w+)`", PAGE)
    bugs = re.findall(r"^\| .* \| `(test_\w+)` \|$", PAGE, re.MULTILINE)

    missing = [f"{file}::{name}" for file, name in named if name not in _tests_of(file)]
    unknown = set(bugs) - _tests_of("tests/ledger/test_known_bugs.py")

    assert not missing
    assert not unknown
    assert len(named) >= 18
    assert len(bugs) >= 8


def test_each_of_the_eleven_has_its_row() -> None:
    rows = re.findall(r"^\| (\d+) \|", PAGE, re.MULTILINE)

    assert rows == [str(number) for number in range(1, 12)]
