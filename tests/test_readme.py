"""The README tells the truth: what it says can be typed exists, and prints what is shown."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import pytest
import typer
from hypothesis import given
from hypothesis import strategies as st
from typer.core import TyperGroup

from gateway.cli import app
from gateway.embedded.account import remove_server_folder
from gateway.embedded.folder import free_port
from gateway.settings import Settings
from members import make_token

ROOT: Final = Path(__file__).parent.parent
README: Final = (ROOT / "README.md").read_text()
PAGES: Final = sorted([ROOT / "README.md", ROOT / "CHANGELOG.md", *(ROOT / "docs").rglob("*.md")])

_BLOCK: Final = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_ANYTHING: Final = "…"
"""What the README puts in place of a secret, or of what differs from run to run."""
_NEXT: Final = "\x1e"


def test_every_make_target_that_it_names_exists() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))

    named = set(re.findall(r"^make ([a-z]+)|`make ([a-z]+)`", README, re.MULTILINE))

    assert {"run", "test"} <= {first or second for first, second in named} <= targets


def test_every_kopilka_command_that_it_names_exists() -> None:
    command = typer.main.get_command(app)
    assert isinstance(command, TyperGroup)

    named = set(re.findall(r"`kopilka ([a-z]+)|\.venv/bin/kopilka ([a-z]+)", README))

    assert (
        {"up", "prove", "settlement"}
        <= {first or second for first, second in named}
        <= command.commands.keys()
    )


def test_its_variables_and_their_defaults_are_those_of_the_settings() -> None:
    told = dict(re.findall(r"^\| `(KOPILKA_\w+)` \| (?:`([^`]+)` )?\|", README, re.MULTILINE))

    known = {
        str(setting.alias or f"KOPILKA_{name.upper()}"): ""
        if setting.default is None
        else str(setting.default)
        for name, setting in Settings.model_fields.items()
    }

    assert told == known | {"KOPILKA_ISSUER": "http://HOST:PORT"}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_to_files_and_headings(page: Path) -> None:
    prose = _BLOCK.sub("", page.read_text())

    for link in re.findall(r"\]\(([^)\s]+)\)", prose):
        if link.startswith("https://"):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path) if path else page
        assert target.exists(), f"{page.name} links to {link}"
        assert not anchor or anchor in _anchors(target), f"{page.name} links to {link}"


@given(
    key=st.binary(min_size=32, max_size=32),
    number=st.from_regex(r"[0-9]{16,19}", fullmatch=True),
    at=st.datetimes(datetime(2020, 1, 1), datetime(2090, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001
)
def test_the_phone_that_it_shows_makes_the_codes_that_tills_read(
    key: bytes, number: str, at: datetime
) -> None:
    shown = next(text for language, text in _BLOCK.findall(README) if language == "python")
    example = (ROOT / "docs" / "examples" / "qr.py").read_text()
    known: dict[str, Any] = {"__name__": "example"}
    exec(compile(example, "qr.py", "exec"), known)
    encoded = known["base64"].urlsafe_b64encode(key).decode()

    code = known["qr"](encoded, number, at)

    assert shown in example
    assert code == make_token(key, number, at)


def test_the_settlement_example_prints_what_it_shows() -> None:
    shown = next(text for language, text in _BLOCK.findall(README) if "settlement simulate" in text)
    command, _, expected = shown.partition("\n")

    said = _run(command.removeprefix("$ "), {"COLUMNS": "80"})

    assert _trimmed(said).startswith(expected.partition(_ANYTHING)[0])


def test_the_figures_that_it_names_are_those_measured() -> None:
    results = ROOT / "bench" / "results" / "latest.json"
    measured = json.loads(results.read_text()) if results.exists() else {}

    told = re.findall(
        r"^\| `(\w+)` \| ([0-9.,]+) ", _between("<!-- bench -->", "<!-- /bench -->"), re.MULTILINE
    )

    for name, figure in told:
        places = len(figure.partition(".")[2])
        assert figure == f"{measured[name]:,.{places}f}", name


def test_its_three_examples_run_as_they_stand(tmp_path: Path) -> None:
    steps = _steps(_between("## Three examples", "## How it is built"))
    begins = re.search(r"^\$ \.venv/bin/kopilka (up .*)$", README, re.MULTILINE)
    assert begins is not None, "the README says how the copy for the examples is started"

    with _up(begins[1], tmp_path / "tour") as shell:
        script = "".join(f"{step.command}\nprintf '{_NEXT}'\n" for step in steps)
        said = _run(script, shell)

    for step, answer in zip(steps, said.split(_NEXT), strict=False):
        step.check(answer)


@dataclass
class Step:
    """What is typed, and the answers that the README shows for it."""

    command: str
    shown: list[tuple[str, str]] = field(default_factory=list)

    def check(self, said: str) -> None:
        """Compare what was said with what is shown, one JSON document or text after the other."""
        left = said.strip()
        for language, expected in self.shown:
            if language == "json":
                came, end = json.JSONDecoder().raw_decode(left)
                assert _is_like(json.loads(expected), came), f"{self.command}\n{left}"
                left = left[end:].strip()
            else:
                assert _is_like(expected.strip(), _trimmed(left).strip()), f"{self.command}\n{left}"
                left = ""
        assert not left, f"{self.command}\nsaid more than the README shows: {left}"


def _steps(text: str) -> list[Step]:
    steps: list[Step] = []
    for language, block in _BLOCK.findall(text):
        if language == "bash":
            steps.append(Step(block))
        elif language in ("json", "text"):
            steps[-1].shown.append((language, block))
    return steps


def _is_like(shown: Any, came: Any) -> bool:
    """Whether two JSON values are the same, `…` standing for anything."""
    if isinstance(shown, str) and _ANYTHING in shown:
        pattern = ".*".join(map(re.escape, shown.split(_ANYTHING)))
        return shown == _ANYTHING or re.fullmatch(pattern, str(came)) is not None
    if isinstance(shown, dict) and isinstance(came, dict):
        return shown.keys() == came.keys() and all(_is_like(shown[key], came[key]) for key in shown)
    if isinstance(shown, list) and isinstance(came, list):
        return len(shown) == len(came) and all(map(_is_like, shown, came))
    return bool(shown == came)


def _run(script: str, shell: Mapping[str, str]) -> str:
    """What bash says to a script of the README, whose programs are those of this environment."""
    kopilka = f"{shlex.quote(sys.executable)} -m gateway.cli"
    script = script.replace(".venv/bin/kopilka", kopilka).replace(
        "python3 ", f"{shlex.quote(sys.executable)} "
    )
    return subprocess.run(
        ["bash"],
        input=script,
        env={**os.environ, **shell},
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    ).stdout


@contextmanager
def _up(command: str, data: Path) -> Iterator[dict[str, str]]:
    """The copy that the README starts, on a free port; the shell variables that it asks to set."""
    options = shlex.split(command)
    for option, value in (("--port", str(free_port())), ("--data", str(data))):
        options[options.index(option) + 1] = value
    process = subprocess.Popen(
        [sys.executable, "-m", "gateway.cli", *options, "--json"], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        said = json.loads(process.stdout.readline())
        people = {
            who.upper(): "{client_id}:{client_secret}".format(**said[who])
            for who in ("partner", "operator", "finance")
        }
        yield {"URL": said["issuer"], "DATA": str(data), **people}
    finally:
        process.terminate()
        process.wait(60)
        for server in ("postgres", "valkey"):
            remove_server_folder(data / server)


def _trimmed(text: str) -> str:
    """The text without the blanks that fill up its lines."""
    return "".join(f"{line.rstrip()}\n" for line in text.splitlines())


def _between(start: str, end: str) -> str:
    return README.partition(start)[2].partition(end)[0]


def _anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", _BLOCK.sub("", page.read_text()), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
