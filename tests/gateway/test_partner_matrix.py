"""Every partner against every other: whoever holds another's ids gets nothing for them, by any field.

Driven by the schema: a root field or a kind of thing that partners can reach and that no theft here
tries makes a test fail, and everything below it is asked for, whatever is added there.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from graphql import (
    GraphQLInterfaceType,
    GraphQLNamedType,
    GraphQLObjectType,
    get_named_type,
    is_required_argument,
)

from gateway.http import access_of
from gateway.http.binding import bind
from gateway.schema import make_schema
from gateway.schema.node import global_id
from partners import open_outlet
from partners.clients import SCOPES_OF_KIND, create_client
from tests.gateway.coalition import BY, PHONE, Coalition, a_burn, a_key, a_receipt, an_earn

SCHEMA, _ = bind(make_schema())
assert SCHEMA.query_type is not None
assert SCHEMA.mutation_type is not None
ROOT_FIELDS = {**SCHEMA.query_type.fields, **SCHEMA.mutation_type.fields}

PARTNERS = ((1, "bakery"), (2, "cinema"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Belongings:
    """What one partner has, as another might have got hold of it."""

    nodes: dict[str, str]
    keys: tuple[str, ...]
    hold: str
    receipt: str
    quote: str
    handle: str
    outlet: str
    client: str
    name: str

    @property
    def marks(self) -> set[str]:
        """What tells in an answer that it speaks of this partner."""
        return {*self.nodes.values(), self.hold, self.handle, self.outlet, self.client, self.name} - {""}


async def belongings(coalition: Coalition, number: int, token: str) -> Belongings:
    """Let a partner earn, quote, hold and register a till."""
    code = f"shop-of-{token}"
    member = {"handle": coalition.handle(number)}
    async with coalition.services.database.writer.begin() as connection:
        outlet = await open_outlet(connection, number, code=code, name=code, at=coalition.now, by=BY)
        made = await create_client(
            connection,
            kind="partner",
            partner=number,
            name=f"till-of-{token}",
            scopes=["earn"],
            outlets=None,
            jwks=None,
            wall_time=coalition.now,
            at=coalition.now,
        )
    await coalition.services.directories.reload()
    earn = an_earn(coalition, member=member, receipt=a_receipt(outlet=code))
    hold = a_burn(coalition, 5, receipt=a_receipt(outlet=code))
    hold["member"] = {"qr": coalition.qr(coalition.now.replace(second=30 * (number - 1)))}
    earned = await coalition.do("earn", "operation { id } userErrors { code }", earn, as_=token)
    held = await coalition.do(
        "authorizeBurn", "operation { id hold { id } } userErrors { code }", hold, as_=token
    )
    quoted = {"member": member, "receipt": a_receipt(outlet=code)}
    quote = await coalition.do("quote", "quote { token }", quoted, as_=token)
    agreement = coalition.services.directories.current.agreements_of(number)[0].id
    return Belongings(
        nodes={
            "Partner": global_id("Partner", number),
            "Outlet": global_id("Outlet", outlet.id),
            "Agreement": global_id("Agreement", agreement),
            "Operation": earned["operation"]["id"],
            "Period": global_id("Period", 1),
        },
        keys=(earn["idempotencyKey"], hold["idempotencyKey"]),
        hold=held["operation"]["hold"]["id"],
        receipt=earn["receipt"]["number"],
        quote=quote["quote"]["token"],
        handle=coalition.handle(number),
        outlet=code,
        client=made.client.client_id,
        name=token.capitalize(),
    )


@dataclass(frozen=True, slots=True)
class Theft:
    """Arguments that name another's things, and what the field says to them."""

    arguments: dict[str, Any]
    said: object


Thief = Callable[[Coalition, Belongings, Belongings], list[Theft]]
"""What is tried with the first one's things by the second, who has things of its own."""


def _purchases(
    make: Callable[..., dict[str, Any]],
) -> Callable[[Coalition, Belongings, Belongings], list[tuple[dict[str, Any], str]]]:
    """Another's member, another's shop, another's quote."""

    def tried(coalition: Coalition, theirs: Belongings, own: Belongings) -> list[tuple[dict[str, Any], str]]:
        mine = {"member": {"qr": coalition.qr()}, "receipt": a_receipt(outlet=own.outlet)}
        return [
            (make(coalition, **(mine | {"member": {"handle": theirs.handle}})), "MEMBER_NOT_FOUND"),
            (make(coalition, **(mine | {"receipt": a_receipt(outlet=theirs.outlet)})), "OUTLET_UNKNOWN"),
            (make(coalition, **(mine | {"quote": theirs.quote})), "QUOTE_STALE"),
        ]

    return tried


def _on_hold(_: Coalition, theirs: Belongings, __: Belongings) -> list[tuple[dict[str, Any], str]]:
    return [({"idempotencyKey": a_key(), "hold": theirs.hold}, "HOLD_NOT_FOUND")]


def _taken_back(
    coalition: Coalition, theirs: Belongings, own: Belongings
) -> list[tuple[dict[str, Any], str]]:
    """Another's purchase, by its operation and by its receipt; another's shop for the return."""
    name = {"terminal": "1", "number": theirs.receipt}
    tried: list[tuple[dict[str, Any], str, str]] = [
        ({"operation": theirs.nodes["Operation"]}, own.outlet, "OPERATION_NOT_FOUND"),
        ({"receipt": name | {"outlet": theirs.outlet}}, own.outlet, "OPERATION_NOT_FOUND"),
        ({"receipt": name | {"outlet": own.outlet}}, own.outlet, "OPERATION_NOT_FOUND"),
        ({"operation": own.nodes["Operation"]}, theirs.outlet, "OUTLET_UNKNOWN"),
    ]
    return [
        (
            {
                "idempotencyKey": a_key(),
                "purchase": purchase,
                "receipt": {"outlet": outlet, "terminal": "1", "number": a_key()},
            },
            code,
        )
        for purchase, outlet, code in tried
    ]


def _reversed(coalition: Coalition, theirs: Belongings, own: Belongings) -> list[tuple[dict[str, Any], str]]:
    given = {"idempotencyKey": a_key(), "operation": theirs.nodes["Operation"], "reason": "not mine"}
    return [(given, "OPERATION_NOT_FOUND")]


def _refused(
    inputs: Callable[[Coalition, Belongings, Belongings], list[tuple[dict[str, Any], str]]],
) -> Thief:
    def tried(coalition: Coalition, theirs: Belongings, own: Belongings) -> list[Theft]:
        return [Theft({"input": given}, code) for given, code in inputs(coalition, theirs, own)]

    return tried


def _a_quote(_: Coalition, *, quote: str = "", **given: Any) -> dict[str, Any]:
    """A quote takes no quote."""
    return given


def _batch(coalition: Coalition, theirs: Belongings, own: Belongings) -> list[Theft]:
    tried = [
        *(("earn", *each) for each in _purchases(an_earn)(coalition, theirs, own)),
        *(("burn", *each) for each in _purchases(a_burn)(coalition, theirs, own)[1:]),
        *((kind, *each) for kind in ("captureBurn", "voidBurn") for each in _on_hold(coalition, theirs, own)),
        *(("returnPurchase", *each) for each in _taken_back(coalition, theirs, own)),
        *(("reverse", *each) for each in _reversed(coalition, theirs, own)),
    ]
    return [
        Theft({"input": {"items": [{kind: given} for kind, given, _ in tried]}}, [code for *_, code in tried])
    ]


def _an_enrolment(phone: str) -> dict[str, Any]:
    return {"input": {"idempotencyKey": a_key(), "identifier": {"phone": phone}, "consents": []}}


THEFTS: dict[str, Thief] = {
    "operation": lambda _, theirs, __: [Theft({"id": each}, None) for each in theirs.nodes.values()],
    "operations": lambda _, theirs, __: [Theft({"key": each}, []) for each in theirs.keys],
    "programme": lambda *_: [Theft({}, ...)],
    "partner": lambda _, theirs, __: [
        *(Theft({"id": each}, None) for each in theirs.nodes.values()),
        Theft({}, ...),
    ],
    "partners": lambda _, theirs, __: [
        Theft({}, ...),
        Theft({"after": global_id("Cursor", 0)}, ...),
    ],
    "statement": lambda *_: [Theft({"number": f"0001-{number:04d}"}, None) for number, _ in PARTNERS],
    "node": lambda _, theirs, __: [Theft({"id": each}, None) for each in theirs.nodes.values()],
    "quote": _refused(lambda *given: _purchases(_a_quote)(*given)[:2]),
    "earn": _refused(_purchases(an_earn)),
    "authorizeBurn": _refused(_purchases(a_burn)),
    "burn": _refused(_purchases(a_burn)),
    "captureBurn": _refused(_on_hold),
    "voidBurn": _refused(_on_hold),
    "returnPurchase": _refused(_taken_back),
    "reverse": _refused(_reversed),
    "postBatch": _batch,
    "memberResolve": _refused(
        lambda _, theirs, __: [({"member": {"handle": theirs.handle}}, "MEMBER_NOT_FOUND")]
    ),
    "memberEnrol": lambda *_: [Theft(_an_enrolment(PHONE), ...)],
}
"""What is tried by each field. `...` is an answer of one's own, in which nothing may be another's."""


def reachable(name: str) -> bool:
    access = access_of(ROOT_FIELDS[name])
    return access is not None and not SCOPES_OF_KIND["partner"].isdisjoint(access.scopes)


def test_every_field_that_partners_reach_is_tried() -> None:
    assert set(THEFTS) == {name for name in ROOT_FIELDS if reachable(name)}


def test_every_kind_of_thing_is_tried() -> None:
    node = SCHEMA.type_map["Node"]
    assert isinstance(node, GraphQLInterfaceType)
    kinds = {type_.name for type_ in SCHEMA.get_possible_types(node)}

    assert kinds == {"Partner", "Outlet", "Agreement", "Operation", "Period"}


async def test_another_partners_ids_are_worth_nothing(coalition: Coalition) -> None:
    have = {token: await belongings(coalition, number, token) for number, token in PARTNERS}
    assert set(have["bakery"].nodes) == {"Partner", "Outlet", "Agreement", "Operation", "Period"}

    for _, owner in PARTNERS:
        for _, thief in PARTNERS:
            if owner != thief:
                await _steal(coalition, have[owner], have[thief], as_=thief)

    for _, owner in PARTNERS:
        kept = await coalition.do(
            "captureBurn",
            "operation { points } userErrors { code }",
            {"idempotencyKey": a_key(), "hold": have[owner].hold},
            as_=owner,
        )
        assert kept == {"operation": {"points": 5}, "userErrors": []}


async def test_what_is_not_for_partners_is_closed_to_every_token_of_theirs(coalition: Coalition) -> None:
    for name in ROOT_FIELDS:
        if not reachable(name):
            required = {
                key: None for key, each in ROOT_FIELDS[name].args.items() if is_required_argument(each)
            }

            answer = await coalition.ask(_document(name, required))

            assert (answer.status, answer.code) == (403, "FORBIDDEN"), name
            assert "data" not in answer.json, name


async def _steal(coalition: Coalition, theirs: Belongings, own: Belongings, *, as_: str) -> None:
    for name, tried in THEFTS.items():
        for theft in tried(coalition, theirs, own):
            answer = await coalition.ask(_document(name, theft.arguments), theft.arguments, as_=as_)

            assert answer.status == 200, (name, answer.body)
            assert "errors" not in answer.json, (name, answer.body)
            told = [mark for mark in theirs.marks if mark.encode() in answer.body]
            assert told == [], (name, theft.arguments)
            assert _said(answer.data[name], theft.said) == theft.said, (name, theft.arguments)


def _said(answer: Any, expected: object) -> object:
    """An answer in the terms of a theft: a code, codes, or the answer itself."""
    if expected is ...:
        return expected
    if isinstance(expected, str):
        return answer["userErrors"][0]["code"] if answer["userErrors"] else answer
    if isinstance(answer, dict) and "outcomes" in answer:
        return [each["userErrors"][0]["code"] if each["userErrors"] else each for each in answer["outcomes"]]
    return answer


def _document(name: str, arguments: dict[str, Any]) -> str:
    """A document that asks for all there is below a root field."""
    field = ROOT_FIELDS[name]
    assert SCHEMA.query_type is not None
    kind = "query" if name in SCHEMA.query_type.fields else "mutation"
    declared = ", ".join(f"${key}: {field.args[key].type}" for key in arguments)
    passed = ", ".join(f"{key}: ${key}" for key in arguments)
    head = f"{kind}({declared})" if declared else kind
    return f"{head} {{ {name}{f'({passed})' if passed else ''} {_whole(get_named_type(field.type))} }}"


def _whole(type_: GraphQLNamedType, above: tuple[str, ...] = ()) -> str:
    """A selection of everything below a type, but for what needs an argument or leads back up."""
    if isinstance(type_, GraphQLInterfaceType):
        parts = [f"... on {each} {_whole(each, above)}" for each in SCHEMA.get_possible_types(type_)]
        return f"{{ __typename {' '.join(parts)} }}"
    if not isinstance(type_, GraphQLObjectType):
        return ""
    chosen = ["__typename"]
    for name, field in type_.fields.items():
        below = get_named_type(field.type)
        if below.name in above or any(is_required_argument(argument) for argument in field.args.values()):
            continue
        chosen.append(f"{name} {_whole(below, (*above, type_.name))}")
    return f"{{ {' '.join(chosen)} }}"
