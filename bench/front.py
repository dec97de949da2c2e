"""The whole way: HTTP, token, GraphQL, rules, ledger. One gateway process, the client on the same cores."""

from __future__ import annotations

import base64
import itertools
import json
import shutil
import socket
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any, Final

import uvloop

from bench.client import Connection, drive, post

ROUNDS: Final = 3
MEMBERS: Final = 500
CONNECTIONS: Final = 64
BATCHES_AT_ONCE: Final = 8
BATCH: Final = 500
OUTLET: Final = "shop-1"

_EARN: Final = (
    "mutation($input: EarnInput!) { earn(input: $input) { operation { id points availableAt "
    "balance { pending available } } userErrors { code message } } }"
)
_POST_BATCH: Final = (
    "mutation($input: PostBatchInput!) { postBatch(input: $input) { outcomes { "
    "operation { id points } replayed userErrors { code message } } userErrors { code message } } }"
)
_ENROL: Final = (
    "mutation($input: MemberEnrolInput!) { memberEnrol(input: $input) { enrolment { handle } "
    "userErrors { code message } } }"
)

_run: Final = uuid.uuid4().hex[:8]
_numbers: Final = itertools.count(1)


def measure(*, quick: bool) -> dict[str, float]:
    """Requests and batched operations a second, medians of three alternated rounds."""
    with _coalition() as place:
        return uvloop.run(_measure(place, quick=quick))


async def _measure(place: dict[str, Any], *, quick: bool) -> dict[str, float]:
    url = place["graphql"]
    token = await _token(place)
    handles = await _enrol(url, token)
    earns, batches = (2_000, 12) if quick else (15_000, 60)
    earn_rates, batch_rates = [], []
    for _ in range(ROUNDS):
        requests = [_request(url, token, _EARN, _receipt(handles)) for _ in range(earns)]
        answers, seconds = await drive(url, requests, CONNECTIONS)
        _check(answers, '"userErrors":[]')
        earn_rates.append(earns / seconds)
        requests = [
            _request(url, token, _POST_BATCH, {"items": [{"earn": _receipt(handles)} for _ in range(BATCH)]})
            for _ in range(batches)
        ]
        answers, seconds = await drive(url, requests, BATCHES_AT_ONCE)
        _check(answers, '"operation":{', BATCH)
        batch_rates.append(batches * BATCH / seconds)
    return {"earn_requests_per_s": median(earn_rates), "postbatch_ops_per_s": median(batch_rates)}


def _check(answers: Sequence[bytes], expected: str, times: int = 1) -> None:
    """A fast refusal is no measurement: every answer must be an accepted one."""
    for answer in answers:
        if answer.decode().count(expected) < times:
            raise RuntimeError(f"an operation was not accepted: {answer[:500]!r}")


def _receipt(handles: Sequence[str]) -> dict[str, Any]:
    number = next(_numbers)
    return {
        "idempotencyKey": f"{_run}-{number}",
        "member": {"handle": handles[number % len(handles)]},
        "receipt": {
            "outlet": OUTLET,
            "terminal": "till 1",
            "number": f"{_run}-{number}",
            "lines": [
                {"sku": "bread", "category": "food", "unitPrice": _roubles("54.90")},
                {"sku": "milk", "category": "food", "quantity": "2", "unitPrice": _roubles("89.00")},
                {"sku": "soap", "category": "household", "unitPrice": _roubles("1234.00")},
            ],
        },
    }


def _roubles(amount: str) -> dict[str, str]:
    return {"amount": amount, "currency": "RUB"}


def _request(url: str, token: str, document: str, given: dict[str, Any]) -> bytes:
    body = json.dumps({"query": document, "variables": {"input": given}}).encode()
    return post(url, body, {"Content-Type": "application/json", "Authorization": f"Bearer {token}"})


async def _token(place: dict[str, Any]) -> str:
    client = place["partner"]
    basic = base64.b64encode(f"{client['client_id']}:{client['client_secret']}".encode()).decode()
    headers = {"Content-Type": "application/x-www-form-urlencoded", "Authorization": f"Basic {basic}"}
    url = f"{place['issuer']}/oauth/token"
    connection = await Connection.open(url)
    answer = await connection.exchange(post(url, b"grant_type=client_credentials", headers))
    connection.close()
    token: str = json.loads(answer)["access_token"]
    return token


async def _enrol(url: str, token: str) -> list[str]:
    requests = [
        _request(
            url,
            token,
            _ENROL,
            {
                "idempotencyKey": f"{_run}-{n}",
                "identifier": {"phone": f"+7916{n:07d}"},
                "consents": [{"purpose": "programme", "granted": True}],
            },
        )
        for n in range(1, MEMBERS + 1)
    ]
    answers, _ = await drive(url, requests, 4)
    _check(answers, '"handle":"')
    return [json.loads(answer)["data"]["memberEnrol"]["enrolment"]["handle"] for answer in answers]


@contextmanager
def _coalition() -> Iterator[dict[str, Any]]:
    """`kopilka up` as a child, with a folder of its own."""
    folder = Path(tempfile.mkdtemp(prefix="kopilka-bench-"))
    folder.chmod(0o711)  # as root, the servers' account passes through
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [
        sys.executable,
        "-m",
        "gateway.cli",
        "up",
        "--data",
        str(folder),
        "--port",
        str(port),
        "--json",
    ]
    child = subprocess.Popen(command, stdout=subprocess.PIPE)
    try:
        assert child.stdout is not None
        yield json.loads(child.stdout.readline())
    finally:
        child.terminate()
        child.wait(60)
        shutil.rmtree(folder, ignore_errors=True)
