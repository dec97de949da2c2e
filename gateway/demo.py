"""The demo coalition: what a newcomer finds after `kopilka up`.

A secret is shown once, so those of the demo are kept in the data folder, readable by its owner
only; the database holds no more than their digests.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.embedded.folder import write_private
from gateway.services import Services
from gateway.unable import Unable
from members import enrol
from partners import (
    Funding,
    ProgrammeExists,
    Terms,
    create_partner,
    create_programme,
    make_agreement,
    open_outlet,
)
from partners.clients import SCOPES_OF_KIND, Kind, create_client

_BY: Final = "demo"
_FILE: Final = "demo.json"

_PARTNERS: Final = (
    ("Ryadom", "shop-1", Terms(funding=Funding.AT_ISSUE, earn_rate_ppm=10_000)),
    ("Lira", "lira-1", Terms(funding=Funding.AT_REDEMPTION, earn_rate_ppm=30_000)),
    ("Toplivo 95", "pump-1", Terms(funding=Funding.AT_REDEMPTION, earn_rate_ppm=5_000)),
)
"""A supermarket, a pharmacy and a filling station: name, code of the first outlet, terms."""

_PHONE: Final = "+79161234567"
"""The demo's one member. Any other phone can be enrolled with `memberEnrol`."""

_EARN: Final = (
    "mutation($input: EarnInput!) { earn(input: $input) { "
    "operation { points availableAt balance { pending available } explanation { text } } "
    "userErrors { code message } } }"
)
_NEW: Final = "NEW"
_RECEIPT: Final = {
    "idempotencyKey": f"try-{_NEW}",
    "member": {"phone": _PHONE},
    "receipt": {
        "outlet": _PARTNERS[0][1],
        "terminal": "1",
        "number": _NEW,
        "lines": [{"sku": "bread", "unitPrice": {"amount": "1234.00", "currency": "RUB"}}],
    },
}


@dataclass(frozen=True, slots=True)
class ClientSecret:
    """An OAuth client and its secret, both made for this installation."""

    id: str
    secret: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoClients:
    """Who may call the demo, and a line to paste that earns points."""

    partner: ClientSecret
    operator: ClientSecret
    finance: ClientSecret
    curl: str


def known(data_dir: Path, issuer: str) -> DemoClients | None:
    """The clients made earlier, None before the first `load`."""
    file = data_dir / _FILE
    if not file.exists():
        return None
    found = {name: ClientSecret(**client) for name, client in json.loads(file.read_text()).items()}
    return DemoClients(**found, curl=_curl(issuer, found["partner"]))


async def load(services: Services, data_dir: Path, notice_days: int | None = None) -> DemoClients:
    """Make the demo coalition in an empty installation, and clients to call it with.

    `notice_days` before points expire its members are told; None where nobody is.
    """
    async with services.database.writer.begin() as connection:
        made = await _make(connection, services.clock.now(), notice_days)
        await enrol(connection, services.keys, phone=_PHONE, consents={}, at=services.clock.now())
        # Written before the commit: a secret in no database is harmless, a lost one is not.
        write_private(data_dir / _FILE, json.dumps({kind: asdict(client) for kind, client in made.items()}))
    return DemoClients(
        partner=made["partner"],
        operator=made["operator"],
        finance=made["finance"],
        curl=_curl(services.settings.issuer, made["partner"]),
    )


def check_notices(services: Services, notice_days: int) -> None:
    """Raise `Unable` if there is a programme that tells members at another time, or nobody."""
    directory = services.directories.current
    if not directory.has_programme or directory.programme.notice_days == notice_days:
        return
    known = directory.programme.notice_days
    when = "never tells members" if known is None else f"tells members {known} days before"
    raise Unable(f"This installation {when} that points expire, and keeps to it: name another data folder.")


async def _make(
    connection: AsyncConnection, at: datetime, notice_days: int | None
) -> dict[Kind, ClientSecret]:
    try:
        async with connection.begin_nested():
            await create_programme(
                connection,
                name="Kopilka",
                currency="RUB",
                time_zone="Europe/Moscow",
                at=at,
                by=_BY,
                notice_days=notice_days,
            )
    except ProgrammeExists:
        pass
    partners = [await _make_partner(connection, *each, at) for each in _PARTNERS]
    return {
        "partner": await _make_client(connection, "partner", partners[0], at),
        "operator": await _make_client(connection, "operator", None, at),
        "finance": await _make_client(connection, "finance", None, at),
    }


async def _make_partner(connection: AsyncConnection, name: str, code: str, terms: Terms, at: datetime) -> int:
    partner = await create_partner(connection, name=name, at=at, by=_BY)
    await make_agreement(connection, partner.id, terms=terms, at=at, by=_BY)
    await open_outlet(connection, partner.id, code=code, name=f"{name}, first outlet", at=at, by=_BY)
    return partner.id


async def _make_client(
    connection: AsyncConnection, kind: Kind, partner: int | None, at: datetime
) -> ClientSecret:
    made = await create_client(
        connection,
        kind=kind,
        partner=partner,
        name=f"demo {kind}",
        scopes=SCOPES_OF_KIND[kind],
        outlets=None,
        jwks=None,
        wall_time=datetime.now(UTC),
        at=at,
    )
    assert made.secret is not None, "a client without keys has a secret"
    return ClientSecret(made.client.client_id, made.secret)


def _curl(issuer: str, client: ClientSecret) -> str:
    """One line for a shell: fetches a token, then posts a receipt that is new each second."""
    token = (
        f"$(curl -s -u {client.id}:{client.secret} -d grant_type=client_credentials {issuer}/oauth/token"
        """ | sed 's/.*"access_token":"\\([^"]*\\)".*/\\1/')"""
    )
    body = json.dumps({"query": _EARN, "variables": {"input": _RECEIPT}}, separators=(",", ":"))
    fresh = body.replace(_NEW, "'$(date +%s)'")
    return (
        f'curl -s {issuer}/graphql -H "Authorization: Bearer {token}" '
        f"-H 'Content-Type: application/json' -d '{fresh}'"
    )
