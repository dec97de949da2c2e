"""What proves history to whoever was not there: findings and who answered for them, and seals."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Annotated, Final

import strawberry
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.context import Info
from ledger import findings as known_findings
from ledger.evidence import sealing
from ledger.evidence.seal import Seal as KnownSeal
from ledger.evidence.seal import to_file
from ledger.evidence.seal_keys import public_keys
from ledger.findings import Known
from settlement import audits

from .access import mutation, query
from .errors import UserError
from .node import After, First, PageInfo, global_id, page_size, read_id
from .requests import KEY
from .scalars import Count, DateTime
from .writes import ERRORS, REPLAYED, Write

READ: Final = "proof:read"
LIFT: Final = "ledger:lift"

_KIND: Final = "KnownFinding"

OnlyOpen = Annotated[bool, strawberry.argument(description="Leave out those that were lifted.")]


@strawberry.type(description="A row that broke an invariant, as it was recorded when it was found.")
class KnownFinding:
    """A finding with its answer."""

    id: strawberry.ID = strawberry.field(description="Opaque; pages go on behind it.")
    found_at: DateTime = strawberry.field(description="When it was found first, in programme time.")
    invariant: str = strawberry.field(description="The invariant's name.")
    bucket: int | None = strawberry.field(description="The bucket, 0 to 64; null where none is to blame.")
    row: str = strawberry.field(description="The row, in words.")
    lifted_at: DateTime | None = strawberry.field(description="When it was lifted; null while it is open.")
    lifted_by: str | None = strawberry.field(description="Who lifted it.")
    reason: str | None = strawberry.field(description="Why, in the words of whoever did.")


@strawberry.type(description="A page of findings, newest first.")
class KnownFindingConnection:
    """Findings by key."""

    nodes: list[KnownFinding] = strawberry.field(description="The findings.")
    page_info: PageInfo = strawberry.field(description="Where this page stands.")


@strawberry.type(description="The signed Merkle root of everything that a period wrote.")
class Seal:
    """A seal."""

    root: str = strawberry.field(description="The root over all buckets' blocks, in hexadecimal.")
    previous: str = strawberry.field(description="SHA-256 of what the seal before signed, in hexadecimal.")
    key_id: str = strawberry.field(description="The key that signed; published at `/seals/keys`.")
    signature: str = strawberry.field(description="The Ed25519 signature, base64url.")
    sealed_at: DateTime = strawberry.field(description="When it was signed, in programme time.")
    blocks: Count = strawberry.field(description="How many blocks it covers.")
    operations: Count = strawberry.field(description="How many operations they hold.")
    file: str = strawberry.field(
        description="The seal as a file to be kept elsewhere: JSON with all that is signed and the key."
    )


@strawberry.input(description="A bucket that is to be written again.")
class LiftFenceInput:
    """A lifting as it is sent."""

    idempotency_key: str = strawberry.field(description=KEY)
    bucket: int | None = strawberry.field(
        default=strawberry.UNSET,
        description="The bucket, 0 to 64; left out, the findings that blame no bucket are lifted.",
    )
    reason: str = strawberry.field(description="What was wrong and what was done; 1 to 500 characters.")


@strawberry.type(description="The answer to a lifting.")
class LiftFencePayload:
    """The findings answered for, or why the fence stands."""

    findings: list[KnownFinding] | None = strawberry.field(
        default=None, description="The findings that were lifted; null when refused."
    )
    replayed: bool = strawberry.field(default=False, description=REPLAYED)
    user_errors: list[UserError] = strawberry.field(description=ERRORS)


@strawberry.type
class EvidenceQuery:
    """Findings."""

    @query(READ, description="What proofs have found, newest first.")
    async def findings(
        self,
        info: Info,
        only_open: OnlyOpen = True,  # an argument of the schema is always named
        first: First = 20,
        after: After = None,
    ) -> KnownFindingConnection:
        """A page of findings."""
        size = page_size(first)
        cursor = read_id(after) if after is not None else None
        before = cursor[1] if cursor is not None and cursor[0] == _KIND else None
        async with info.context.services.database.writer.connect() as connection:
            known = await known_findings.listed(
                connection, only_open=only_open, before=before, first=size + 1
            )
        nodes = [_finding_of(each) for each in known[:size]]
        end = nodes[-1].id if nodes else None
        return KnownFindingConnection(
            nodes=nodes, page_info=PageInfo(has_next_page=len(known) > size, end_cursor=end)
        )


@strawberry.type
class EvidenceMutation:
    """What answers for a finding."""

    @mutation(
        LIFT,
        payload=LiftFencePayload,
        description="Let a bucket be written again. Everything is proved once more, and must hold in it.",
        price=1_000,
    )
    async def lift_fence(self, info: Info, input: LiftFenceInput) -> LiftFencePayload:  # noqa: A002
        """Lift."""
        context = info.context
        bucket = input.bucket if isinstance(input.bucket, int) else None

        async def act(connection: AsyncConnection, at: datetime) -> list[Known]:
            async with context.proving():
                return await audits.lift(
                    context.services.database,
                    connection,
                    bucket,
                    by=context.known_caller.principal,
                    because=input.reason,
                    at=at,
                )

        write = Write(context, "liftFence", input.idempotency_key, (bucket, input.reason))
        answered = await write.do(act, list[Known])
        return LiftFencePayload(
            findings=[_finding_of(each) for each in answered.answer],
            replayed=answered.replayed,
            user_errors=[],
        )


async def seal_for(connection: AsyncConnection, period: int) -> Seal | None:
    """The seal of a period as the schema has it, None before it is sealed."""
    known = await sealing.find(connection, period)
    if known is None:
        return None
    return _seal_of(known, (await public_keys(connection))[known.key_id])


def _seal_of(known: KnownSeal, public: bytes) -> Seal:
    file = to_file(known, public)
    return Seal(
        root=file["root"],
        previous=file["previous"],
        key_id=known.key_id,
        signature=file["signature"],
        sealed_at=known.sealed_at,
        blocks=known.blocks,
        operations=known.operations,
        file=json.dumps(file),
    )


def _finding_of(known: Known) -> KnownFinding:
    return KnownFinding(
        id=global_id(_KIND, known.id),
        found_at=known.found_at,
        invariant=known.invariant,
        bucket=known.bucket,
        row=known.what,
        lifted_at=known.lifted_at,
        lifted_by=known.lifted_by,
        reason=known.lifted_because,
    )
