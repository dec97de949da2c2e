"""A coalition behind the published schema: two partners, their tills, the operator, finance, the app."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from itertools import count
from typing import Any

from gateway.caller import Caller, Unauthenticated
from gateway.context import ContextMaker
from gateway.http import GraphQLEndpoint, Limits
from gateway.schema import make_schema
from gateway.schema.node import global_id
from gateway.services import Services
from members import enrol, make_token
from partners import Terms, create_partner, create_programme, make_agreement, open_outlet
from partners.clients import SCOPES_OF_KIND, Kind
from tests.gateway.calls import Answered, ask

BY = "staff:test"
PHONE = "+79161234567"

_numbers = count(1)


def a_caller(kind: Kind, partner: int | None = None, **changes: Any) -> Caller:
    """A client with every scope of its kind."""
    principal = f"partner:{partner}" if partner else f"staff:{kind}"
    known: dict[str, Any] = {
        "client_id": f"{kind}-{partner or 0}",
        "kind": kind,
        "partner": partner,
        "scopes": SCOPES_OF_KIND[kind],
        "outlets": None,
        "principal": principal,
    }
    return Caller(**(known | changes))


@dataclass
class Coalition:
    """What a test talks to. Tokens are names: "bakery", "cinema", "operator", "finance", "app"."""

    services: Services
    endpoint: GraphQLEndpoint
    callers: dict[str, Caller]
    member: int
    card_key: bytes = field(repr=False)
    card_number: str = field(repr=False)

    async def ask(self, query: str, variables: object = None, *, as_: str | None = "bakery") -> Answered:
        """Ask as one of the callers."""
        return await ask(self.endpoint, query, variables, token=as_)

    async def do(self, field_: str, selection: str, given: object, *, as_: str = "bakery") -> Any:
        """Do a mutation and give its payload."""
        type_ = INPUT_TYPES.get(field_, f"{field_[0].upper()}{field_[1:]}Input!")
        document = f"mutation Do($input: {type_}) {{ {field_}(input: $input) {{ {selection} }} }}"
        answer = await self.ask(document, {"input": given}, as_=as_)
        assert answer.status == 200, answer.body
        assert "errors" not in answer.json, answer.json["errors"]
        return answer.data[field_]

    @property
    def now(self) -> datetime:
        """Programme time."""
        return self.services.clock.now()

    def qr(self, at: datetime | None = None) -> str:
        """What the member's app shows."""
        return make_token(self.card_key, self.card_number, at or self.now)

    def handle(self, partner: int = 1) -> str:
        """How a partner names the member."""
        return self.services.handles.seal(partner, self.member)


INPUT_TYPES = {
    "suspendOutlet": "OutletInput!",
    "reinstateOutlet": "OutletInput!",
    "revokeClient": "ClientInput!",
    "freezeMember": "FreezeInput!",
    "unfreezeMember": "FreezeInput!",
    "rotateClientSecret": "ClientInput!",
    "rotateClientKeys": "ClientKeysInput!",
}


async def a_coalition(
    services: Services, limits: Limits | None = None, notice_days: int | None = None
) -> Coalition:
    """Bakery and Cinema with an outlet "17" each, giving 10 % at once; one member."""
    at = services.clock.now()
    terms = Terms(pending_days=0, earn_rate_ppm=100_000)
    async with services.database.writer.begin() as connection:
        await create_programme(
            connection,
            name="Kopilka",
            currency="RUB",
            time_zone="Europe/Moscow",
            at=at,
            by=BY,
            notice_days=notice_days,
        )
        for name in ("Bakery", "Cinema"):
            partner = await create_partner(connection, name=name, at=at, by=BY)
            await make_agreement(connection, partner.id, terms=terms, at=at, by=BY)
            await open_outlet(connection, partner.id, code="17", name="Main street", at=at, by=BY)
        enrolled = await enrol(
            connection, services.keys, phone=PHONE, name="Анна Петрова", consents={}, at=at
        )
    await services.directories.reload()
    await services.ledger.reload_calendar()
    callers = {
        "bakery": a_caller("partner", 1),
        "cinema": a_caller("partner", 2),
        "operator": a_caller("operator"),
        "finance": a_caller("finance"),
        "app": a_caller("app"),
    }

    def verify(authorization: str) -> Caller:
        caller = callers.get(authorization.removeprefix("Bearer "))
        if caller is None:
            raise Unauthenticated("the token is not good", token_presented=True)
        return caller

    endpoint = GraphQLEndpoint(
        make_schema(),
        verify=verify,
        make_context=ContextMaker(services),
        limits=limits,
        is_development=True,
    )
    return Coalition(services, endpoint, callers, enrolled.member, enrolled.card_key, enrolled.card_number)


def rub(amount: str) -> dict[str, str]:
    """An amount in roubles."""
    return {"amount": amount, "currency": "RUB"}


def a_receipt(price: str = "1000.00", **changes: object) -> dict[str, Any]:
    """A receipt of one line with a number of its own."""
    number = f"n{next(_numbers)}"
    line = {"sku": "bread", "unitPrice": rub(price)}
    return {"outlet": "17", "terminal": "1", "number": number, "lines": [line]} | changes


def a_key() -> str:
    """An idempotency key of its own."""
    return f"k{next(_numbers)}"


def an_earn(coalition: Coalition, **changes: object) -> dict[str, Any]:
    """The input of an earn of 100 points, at the bakery."""
    good = {"idempotencyKey": a_key(), "member": {"handle": coalition.handle()}, "receipt": a_receipt()}
    return good | changes


def a_burn(coalition: Coalition, points: object = 50, **changes: object) -> dict[str, Any]:
    """The input of a burn, at the bakery."""
    good = {
        "idempotencyKey": a_key(),
        "member": {"qr": coalition.qr()},
        "receipt": a_receipt(),
        "points": points,
    }
    return good | changes


def partner_id(number: int) -> str:
    """A partner's global id."""
    return global_id("Partner", number)
