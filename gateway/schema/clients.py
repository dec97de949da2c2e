"""OAuth clients: registered, given new secrets, and ended by the operator."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import cast

import msgspec
import strawberry
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.context import Context, Info
from ledger.kernel.refusals import InvalidInput
from partners import Answered
from partners.clients import Kind, clients_of, find_client, register_jwks
from partners.clients import create_client as register_client
from partners.clients import revoke_client as end_client
from partners.clients import rotate_secret as change_secret

from .access import mutation, query
from .directory import MANAGE, Client, ClientKind, client_of, known_number
from .errors import UserError
from .node import number_of
from .requests import KEY
from .writes import ERRORS, REPLAYED, Write


@strawberry.input(description="A program that is to get access tokens.")
class CreateClientInput:
    """An OAuth client as it is sent."""

    idempotency_key: str = strawberry.field(description=KEY)
    kind: ClientKind = strawberry.field(description="Whom it acts for.")
    name: str = strawberry.field(description="What people will call it; 1 to 200 characters.")
    scopes: list[str] = strawberry.field(
        description="The most that its tokens allow; an unknown scope is refused."
    )
    partner: strawberry.ID | None = strawberry.field(
        default=strawberry.UNSET, description="The partner it acts for, for that kind only."
    )
    outlets: list[strawberry.ID] | None = strawberry.field(
        default=strawberry.UNSET, description="The partner's outlets it may act for; all, if left out."
    )
    jwks: str | None = strawberry.field(
        default=strawberry.UNSET,
        description="Public keys as a JWK set in JSON, for private_key_jwt; without them it gets a secret.",
    )


@strawberry.input(description="An OAuth client that is to be changed.")
class ClientInput:
    """A change of a client as it is sent."""

    idempotency_key: str = strawberry.field(description=KEY)
    client_id: str = strawberry.field(description="Its name at the token endpoint.")


@strawberry.input(description="New public keys of an OAuth client.")
class ClientKeysInput:
    """A change of keys as it is sent."""

    idempotency_key: str = strawberry.field(description=KEY)
    client_id: str = strawberry.field(description="Its name at the token endpoint.")
    jwks: str = strawberry.field(
        description="Its public keys from now on, as a JWK set in JSON: the old one too while it signs."
    )


@strawberry.type(description="The answer to a change of an OAuth client.")
class ClientPayload:
    """A client, or why it was not changed."""

    client: Client | None = strawberry.field(default=None, description="The client; null when refused.")
    secret: str | None = strawberry.field(
        default=None,
        description="Its new secret, shown this once; null on a repeat, or with keys of its own.",
    )
    replayed: bool = strawberry.field(default=False, description=REPLAYED)
    user_errors: list[UserError] = strawberry.field(description=ERRORS)


class _ClientKept(msgspec.Struct, frozen=True):
    """What is stored of a new client for repeats; the secret is left out of it."""

    client_id: str
    secret: str | None = None


@strawberry.type
class ClientQuery:
    """The clients of no partner."""

    @query(
        MANAGE, description="The OAuth clients of the operator, finance and the app, revoked ones included."
    )
    async def staff_clients(self, info: Info) -> list[Client]:
        """The programs that act for no partner."""
        async with info.context.services.database.writer.connect() as connection:
            return [client_of(each) for each in await clients_of(connection, None)]


@strawberry.type
class ClientMutation:
    """What changes a client."""

    @mutation(MANAGE, payload=ClientPayload, description="Register a program that may ask for access tokens.")
    async def create_client(self, info: Info, input: CreateClientInput) -> ClientPayload:  # noqa: A002
        """Register a client."""
        context = info.context
        partner = None if input.partner is None else known_number(input.partner)
        outlets = _outlets_of(context, partner, input.outlets)
        jwks = _jwks(input.jwks)

        async def act(connection: AsyncConnection, at: datetime) -> _ClientKept:
            made = await register_client(
                connection,
                kind=cast("Kind", input.kind.name.lower()),
                partner=partner,
                name=input.name,
                scopes=input.scopes,
                outlets=outlets,
                jwks=jwks,
                wall_time=_wall_time(),
                at=at,
                created_by=context.known_caller.principal,
            )
            return _ClientKept(made.client.client_id, made.secret)

        asked = (input.kind, input.name, sorted(input.scopes), partner, outlets, jwks)
        write = Write(context, "createClient", input.idempotency_key, asked)
        return await _client_payload(context, await write.do(act, _ClientKept, without_secrets=_forget))

    @mutation(
        MANAGE,
        payload=ClientPayload,
        description="Give a client a new secret; the old one works a day longer.",
    )
    async def rotate_client_secret(self, info: Info, input: ClientInput) -> ClientPayload:  # noqa: A002
        """Change a secret over."""
        by = info.context.known_caller.principal

        async def act(connection: AsyncConnection, at: datetime) -> _ClientKept:
            secret = await change_secret(connection, input.client_id, wall_time=_wall_time(), at=at, by=by)
            return _ClientKept(input.client_id, secret)

        write = Write(info.context, "rotateClientSecret", input.idempotency_key, input.client_id)
        return await _client_payload(info.context, await write.do(act, _ClientKept, without_secrets=_forget))

    @mutation(
        MANAGE,
        payload=ClientPayload,
        description="Replace a client's public keys; a secret that it has works a day longer.",
    )
    async def rotate_client_keys(self, info: Info, input: ClientKeysInput) -> ClientPayload:  # noqa: A002
        """Change keys over."""
        by = info.context.known_caller.principal
        jwks = _jwk_set(input.jwks)

        async def act(connection: AsyncConnection, at: datetime) -> _ClientKept:
            await register_jwks(connection, input.client_id, jwks, wall_time=_wall_time(), at=at, by=by)
            return _ClientKept(input.client_id)

        write = Write(info.context, "rotateClientKeys", input.idempotency_key, (input.client_id, jwks))
        return await _client_payload(info.context, await write.do(act, _ClientKept))

    @mutation(
        MANAGE, payload=ClientPayload, description="End a client for good; its tokens stop within a second."
    )
    async def revoke_client(self, info: Info, input: ClientInput) -> ClientPayload:  # noqa: A002
        """End a client."""
        by = info.context.known_caller.principal

        async def act(connection: AsyncConnection, at: datetime) -> _ClientKept:
            await end_client(connection, input.client_id, wall_time=_wall_time(), at=at, by=by)
            return _ClientKept(input.client_id)

        write = Write(info.context, "revokeClient", input.idempotency_key, input.client_id)
        return await _client_payload(info.context, await write.do(act, _ClientKept))


def _wall_time() -> datetime:
    """Clients and their secrets live by the clock of machines."""
    return datetime.now(UTC)


def _outlets_of(context: Context, partner: int | None, ids: list[strawberry.ID] | None) -> list[int] | None:
    """The numbers of a partner's own outlets. Raises `PartnerUnknown`, and `InvalidInput` for others."""
    if partner is None:
        return None if ids is None else []
    context.directory.partner(partner)
    if ids is None:
        return None
    own = {outlet.id for outlet in context.directory.outlets_of(partner)}
    numbers = [number_of(id_, "Outlet", field="outlets") for id_ in ids]
    if not own.issuperset(numbers):
        raise InvalidInput("an outlet is not this partner's", field=("outlets",))
    return sorted(set(numbers))


def _jwks(text: str | None) -> dict[str, object] | None:
    return None if text is None else _jwk_set(text)


def _jwk_set(text: str) -> dict[str, object]:
    try:
        return msgspec.json.decode(text, type=dict[str, object])
    except msgspec.DecodeError:
        raise InvalidInput("not a JWK set in JSON", field=("jwks",)) from None


def _forget(kept: _ClientKept) -> _ClientKept:
    return _ClientKept(kept.client_id)


async def _client_payload(context: Context, answered: Answered[_ClientKept]) -> ClientPayload:
    async with context.services.database.writer.connect() as connection:
        client = client_of(await find_client(connection, answered.answer.client_id))
    secret = answered.answer.secret
    return ClientPayload(client=client, secret=secret, replayed=answered.replayed, user_errors=[])
