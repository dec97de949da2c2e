"""A small schema of the same make as the real one, for tests of the view alone."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import Annotated, Any, NewType

import msgspec
import strawberry
from strawberry.schema.config import StrawberryConfig

from gateway.caller import Caller, Unauthenticated
from gateway.http import PUBLIC, Exactly, GraphQLEndpoint, Limits, Meter, guarded
from ledger.kernel.refusals import InvalidInput

Points = NewType("Points", int)


@strawberry.enum
class Colour(Enum):
    RED = "RED"
    BLUE = "BLUE"


@strawberry.input(one_of=True)
class Who:
    handle: str | None = strawberry.UNSET
    qr: str | None = strawberry.UNSET


@strawberry.input
class LineInput:
    sku: str
    unit_price: str
    quantity: int = 1
    colour: Colour | None = strawberry.UNSET
    tags: list[str] | None = strawberry.UNSET


@strawberry.input
class EarnInput:
    idempotency_key: str
    member: Who
    points: Points
    lines: list[LineInput]
    note: str | None = strawberry.UNSET


@strawberry.input
class BatchInput:
    items: list[EarnInput]


@strawberry.type
class UserError:
    code: str
    message: str
    field: list[str] | None = None


@strawberry.type
class Line:
    sku: str
    points: Points
    colour: Colour | None = None


@strawberry.type
class Receipt:
    id: strawberry.ID
    points: Points
    key: str
    lines: list[Line]
    note: str | None = None


@strawberry.type
class EarnPayload:
    receipt: Receipt | None
    user_errors: list[UserError]


@strawberry.type
class BatchPayload:
    outcomes: list[EarnPayload]


@strawberry.type
class Page:
    nodes: list[Line]
    is_last: bool


@dataclass
class ToyContext:
    caller: Any
    meter: Meter
    calls: list[str] = field(default_factory=list)


def _earned(item: EarnInput) -> EarnPayload:
    lines = [Line(sku=line.sku, points=Points(line.quantity), colour=line.colour) for line in item.lines]
    receipt = Receipt(
        id=strawberry.ID("1"), points=item.points, key=item.idempotency_key, lines=lines, note=item.note
    )
    return EarnPayload(receipt=receipt, user_errors=[])


@strawberry.type
class Mutation:
    @guarded("earn", description="Earn.", price=10)
    async def earn(self, info: strawberry.Info[ToyContext, None], input: EarnInput) -> EarnPayload:  # noqa: A002
        info.context.calls.append(input.idempotency_key)
        CALLS.append(input)
        if input.note == "boom":
            raise RuntimeError("a secret of the database")
        if input.note == "no":
            raise InvalidInput("not this one", field=("input", "note"))
        if input.note == "null":
            return EarnPayload(receipt=None, user_errors=None)  # type: ignore[arg-type]  # a bug on purpose
        return _earned(input)

    @guarded("earn", description="Many.", price=10)
    async def batch(self, info: strawberry.Info[ToyContext, None], input: BatchInput) -> BatchPayload:  # noqa: A002
        info.context.meter.charge(len(input.items))
        return BatchPayload(outcomes=[_earned(item) for item in input.items])

    @guarded("earn", description="Look.", looks_up=True)
    async def look(self, who: Who) -> str:
        return who.handle or who.qr or ""


@strawberry.type
class Query:
    @guarded(PUBLIC, description="Hello.")
    def hello(self, name: str = "world") -> str:
        return f"hello, {name}"

    @guarded("read", description="Lines.", price=1)
    async def lines(self, first: int = 10) -> Page:
        return Page(nodes=[Line(sku="a", points=Points(n)) for n in range(min(first, 3))], is_last=True)

    @guarded("other", description="Nobody has this.")
    def secret(self) -> str:
        return "secret"


CALLS: list[Any] = []


def a_schema() -> strawberry.Schema:
    scalar = strawberry.scalar(
        name="Points", parse_value=Exactly(Annotated[int, msgspec.Meta(ge=-(2**53), le=2**53)])
    )
    config = StrawberryConfig(scalar_map={Points: scalar})
    return strawberry.Schema(query=Query, mutation=Mutation, config=config)


def verify(authorization: str) -> Caller:
    """One token is good, and its client may earn and read."""
    if authorization != "Bearer good":
        raise Unauthenticated("the token is not good", token_presented=True)
    return Caller(
        client_id="toy",
        kind="partner",
        partner=1,
        scopes=frozenset({"earn", "read"}),
        outlets=None,
        principal="partner:1",
    )


def an_endpoint(limits: Limits | None = None, *, is_development: bool = True) -> GraphQLEndpoint:
    return GraphQLEndpoint(
        a_schema(),
        verify=verify,
        make_context=ToyContext,
        limits=limits,
        is_development=is_development,
    )


EARN = """mutation Earn($input: EarnInput!) { earn(input: $input) {
  receipt { id points key lines { sku points colour } note } userErrors { code message field }
} }"""


def an_earn(**changes: Any) -> dict[str, Any]:
    """The variables of `EARN`."""
    lines = [
        {"sku": "a", "unitPrice": "1.00", "quantity": 2},
        {"sku": "b", "unitPrice": "3.10", "colour": "RED", "tags": ["x"]},
    ]
    good = {"idempotencyKey": "k1", "member": {"qr": "x"}, "points": 5, "lines": lines}
    return {"input": good | changes}
