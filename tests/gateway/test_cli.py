"""The `kopilka` command as a newcomer types it: up, twice, beside another, killed, and in the way."""

from __future__ import annotations

import base64
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from gateway.commands.migrate import in_utc
from gateway.embedded.account import remove_server_folder
from gateway.embedded.folder import LAYOUT, free_port
from tests.servers import Urls


@dataclass(frozen=True, slots=True)
class Running:
    process: subprocess.Popen[str]
    said: dict[str, Any]
    seconds: float


@pytest.fixture
def data(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "data"
    yield folder
    for server in ("postgres", "valkey"):
        remove_server_folder(folder / server)


def test_up_serves_tokens_and_stops_cleanly(data: Path) -> None:
    with _up(data) as running:
        token = _token(running.said["issuer"], running.said["partner"])
        ready = _get(f"{running.said['issuer']}/readyz")

    assert token["token_type"] == "Bearer"
    assert ready == {"ready": True}
    assert running.process.returncode == 0
    assert _left_in(data) == []


def test_the_line_that_up_prints_earns_points_when_pasted(data: Path) -> None:
    with _up(data, json_line=False) as running:
        answer = subprocess.run(["bash", "-c", running.said["curl"]], capture_output=True, check=True)
        proof = _kopilka("prove", "--data", str(data), "--json")

    earned = json.loads(answer.stdout)["data"]["earn"]
    assert (earned["operation"]["points"], earned["userErrors"]) == (12, [])
    assert (proof.returncode, json.loads(proof.stdout)["operations"]) == (0, 1)


def test_the_demo_shows_its_clients_again(data: Path) -> None:
    with _up(data) as running:
        port = running.said["issuer"].rpartition(":")[2]
        shown = _kopilka("demo", "--data", str(data), "--port", port, "--json")

    assert json.loads(shown.stdout) == running.said


def test_notices_that_up_was_started_with_are_kept(data: Path) -> None:
    with _up(data, "--notice-days", "30"):
        same = _kopilka("demo", "--data", str(data), "--notice-days", "30", "--json")
        other = _kopilka("demo", "--data", str(data), "--notice-days", "31", "--json")

    assert same.returncode == 0
    _is_one_sentence(other, "kopilka: This installation tells members 30 days before")


def test_a_second_start_is_quick_and_keeps_the_data(data: Path) -> None:
    with _up(data) as first:
        pass

    with _up(data) as second:
        token = _token(second.said["issuer"], first.said["finance"])
        assert second.seconds < 30  # 5 s on a machine that does nothing else; here others test too

    assert token["token_type"] == "Bearer"
    assert second.said["operator"] == first.said["operator"]


def test_a_killed_kopilka_leaves_nothing_running_and_starts_again(data: Path) -> None:
    with _up(data) as running:
        running.process.kill()
        running.process.wait()

    with _up(data) as again:
        assert _get(f"{again.said['issuer']}/readyz") == {"ready": True}


def test_a_second_copy_does_not_disturb_the_first(data: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"

    with _up(data) as first:
        with _up(other) as second:
            assert second.said["issuer"] != first.said["issuer"]
        assert _get(f"{first.said['issuer']}/readyz") == {"ready": True}

    for server in ("postgres", "valkey"):
        remove_server_folder(other / server)


def test_doctor_finds_everything_well_while_it_runs_and_says_what_to_do_after(data: Path) -> None:
    with _up(data):
        well = _kopilka("doctor", "--data", str(data), "--json")
    ill = _kopilka("doctor", "--data", str(data), "--json")

    assert (well.returncode, json.loads(well.stdout)["ok"]) == (0, True)
    assert ill.returncode == 1
    advice = {each["advice"] for each in json.loads(ill.stdout)["findings"] if not each["is_well"]}
    assert any("kopilka up" in each for each in advice)


def test_a_port_in_use_is_one_clear_sentence(data: Path) -> None:
    with socket.socket() as squatter:
        squatter.bind(("127.0.0.1", 0))
        squatter.listen()
        port = squatter.getsockname()[1]

        refused = _kopilka("up", "--data", str(data), "--port", str(port))

    _is_one_sentence(refused, f"kopilka: Port {port} is in use: ")
    assert not data.exists()


@pytest.mark.parametrize("port", ["0", "65536"])
def test_a_port_that_cannot_be_is_refused_as_typed(data: Path, port: str) -> None:
    refused = _kopilka("up", "--data", str(data), "--port", port)

    assert refused.returncode == 2
    assert "'--port'" in refused.stderr
    assert not data.exists()


def test_where_a_clock_begins_that_is_not_driven_is_not_passed_over(data: Path) -> None:
    refused = _kopilka("up", "--data", str(data), "--starts-at", "2026-01-15")

    _is_one_sentence(refused, "kopilka: Only a driven clock begins somewhere: ")
    assert not data.exists()


@pytest.mark.parametrize(("typed", "hour"), [("2026-01-15T03:00:00", 3), ("2026-01-15T03:00:00+03:00", 0)])
def test_a_driven_clock_begins_at_the_instant_that_was_typed(typed: str, hour: int) -> None:
    assert in_utc(datetime.fromisoformat(typed)) == datetime(2026, 1, 15, hour, tzinfo=UTC)


def test_a_data_folder_of_a_newer_version_is_one_clear_sentence(data: Path) -> None:
    data.mkdir()
    (data / "layout").write_text(f"{LAYOUT + 1}\n")

    refused = _kopilka("up", "--data", str(data), "--port", str(free_port()))

    _is_one_sentence(refused, f"kopilka: The data folder {data} is of a newer Kopilka: ")


def test_a_data_folder_that_cannot_be_made_is_one_clear_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")

    refused = _kopilka("up", "--data", str(tmp_path / "file" / "data"), "--port", str(free_port()))

    _is_one_sentence(refused, "kopilka: Opening the data folder ")


@pytest.mark.parametrize(
    ("variable", "value", "said"),
    [
        ("KOPILKA_PORT", "many", "kopilka: KOPILKA_PORT is wrong: "),
        (
            "KOPILKA_DATABASE_URL",
            "postgresql://a:b@127.0.0.1:1/c",
            "kopilka: To use a PostgreSQL of yours, set ",
        ),
        ("KOPILKA_REDIS_URL", "nonsense", "kopilka: KOPILKA_REDIS_URL is wrong: "),
        (
            "KOPILKA_DATABASE_URL",
            "postgresql://a:b@127.0.0.1:1,127.0.0.1:2/c",
            "kopilka: KOPILKA_DATABASE_URL is wrong: Value error, it names one host and one port.",
        ),
    ],
)
def test_a_wrong_variable_is_named(data: Path, variable: str, value: str, said: str) -> None:
    refused = _kopilka("up", "--data", str(data), environment={variable: value})

    _is_one_sentence(refused, said)


def test_a_postgresql_of_ones_own_that_does_not_answer_is_one_clear_sentence(data: Path) -> None:
    port = free_port()
    urls = {f"KOPILKA_{role}_URL": f"postgresql://a:secret@127.0.0.1:{port}/c" for role in _ROLES}

    refused = _kopilka("migrate", "--data", str(data), environment=urls)

    _is_one_sentence(refused, f"kopilka: PostgreSQL at 127.0.0.1:{port} does not answer: ")
    assert "secret" not in refused.stderr


def test_a_password_that_is_wrong_is_one_clear_sentence(data: Path, urls: Urls) -> None:
    wrong = {
        "KOPILKA_OWNER_URL": urls.owner,
        "KOPILKA_DATABASE_URL": urls.writer.replace("kopilka_writer:", "kopilka_writer:x"),
        "KOPILKA_READER_URL": urls.reader,
    }

    refused = _kopilka("migrate", "--data", str(data), environment=wrong)

    _is_one_sentence(refused, "kopilka: PostgreSQL at 127.0.0.1:")
    assert "does not let kopilka_writer in" in refused.stderr


def test_doctor_names_an_owner_whose_password_is_wrong(data: Path, urls: Urls) -> None:
    wrong = {
        "KOPILKA_OWNER_URL": urls.owner.replace("kopilka_owner:", "kopilka_owner:x"),
        "KOPILKA_DATABASE_URL": urls.writer,
        "KOPILKA_READER_URL": urls.reader,
    }

    told = _kopilka("doctor", "--data", str(data), "--json", environment=wrong)

    assert (told.returncode, told.stderr) == (1, "")
    found = {each["name"]: each["found"] for each in json.loads(told.stdout)["findings"]}
    assert "does not let kopilka_owner in" in found["migrations"]


def test_doctor_names_a_server_that_may_lose_what_was_answered(data: Path, urls: Urls) -> None:
    """As the run's server may."""
    own = {
        "KOPILKA_OWNER_URL": urls.owner,
        "KOPILKA_DATABASE_URL": urls.writer,
        "KOPILKA_READER_URL": urls.reader,
    }

    told = _kopilka("doctor", "--data", str(data), "--json", environment=own)

    (storage,) = [each for each in json.loads(told.stdout)["findings"] if each["name"] == "storage"]
    assert (storage["is_well"], storage["found"]) == (False, "fsync off, synchronous_commit off")


_ROLES = ("DATABASE", "OWNER", "READER")


@contextmanager
def _up(data: Path, *options: str, json_line: bool = True) -> Iterator[Running]:
    """`kopilka up` on a free port until the block ends; then SIGTERM, unless it ended already."""
    started = time.monotonic()
    process = subprocess.Popen(
        [
            *_COMMAND,
            *("up", "--data", str(data), "--port", str(free_port())),
            *options,
            *(["--json"] * json_line),
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stderr is not None
    try:
        found = (_said(line) for line in process.stdout)
        said = next((it for it in found if it is not None), None)
        assert said is not None, process.stderr.read()
        yield Running(process, said, time.monotonic() - started)
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        process.wait(60)
        process.stdout.close()
        process.stderr.close()


def _said(line: str) -> dict[str, Any] | None:
    """What a line of `up` tells a program, or the command it tells a person to paste."""
    if line.startswith("curl "):
        return {"curl": line}
    return dict(json.loads(line)) if line.startswith("{") else None


_COMMAND = (sys.executable, "-m", "gateway.cli")


def _kopilka(*arguments: str, environment: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*_COMMAND, *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        env={**os.environ, **(environment or {})},
    )


def _is_one_sentence(refused: subprocess.CompletedProcess[str], beginning: str) -> None:
    assert refused.returncode == 1
    assert refused.stderr.startswith(beginning), refused.stderr
    assert refused.stderr.endswith(".\n")
    assert refused.stderr.count("\n") == 1
    assert refused.stdout == ""


def _token(issuer: str, client: dict[str, str]) -> dict[str, Any]:
    credentials = base64.b64encode(f"{client['client_id']}:{client['client_secret']}".encode()).decode()
    request = urllib.request.Request(
        f"{issuer}/oauth/token",
        data=b"grant_type=client_credentials",
        headers={"Authorization": f"Basic {credentials}"},
    )
    with urllib.request.urlopen(request, timeout=10) as response:
        return dict(json.load(response))


def _get(url: str) -> dict[str, Any]:
    with urllib.request.urlopen(url, timeout=10) as response:
        return dict(json.load(response))


def _left_in(data: Path) -> list[str]:
    """Command lines of processes that still speak of `data`."""
    found = []
    for process in Path("/proc").iterdir():
        if process.name.isdigit() and int(process.name) != os.getpid():
            try:
                line = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            except OSError:
                continue
            if str(data) in line:
                found.append(line)
    return found
