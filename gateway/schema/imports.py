"""Taking over an existing programme: parts of a file go in, each row has its outcome."""

from __future__ import annotations

import hmac
from enum import Enum
from typing import Annotated, Final

import strawberry

from gateway.context import Context, Info
from ledger.kernel.refusals import InvalidInput
from partners import is_answered, once, opening
from partners.opening import Chunk, Format
from partners.opening import Import as KnownImport
from partners.opening import RowOutcome as KnownOutcome

from .access import computed, mutation, query
from .directory import MANAGE
from .errors import ErrorCode, UserError, path_of
from .node import After, First, Id, PageInfo, global_id, number_of, page_size, read_id
from .requests import KEY
from .scalars import Count, DateTime, Points
from .writes import ERRORS, REPLAYED

_CURSOR: Final = "ImportRow"
_IMPORT: Final = "BalanceImport"


@strawberry.enum(description="How a file of balances is written.")
class ImportFormat(Enum):
    """The formats."""

    JSON_LINES = strawberry.enum_value("JSON_LINES", description="One member a line, as a JSON object.")
    CSV = strawberry.enum_value("CSV", description="A header, then one lot a row; rows of a member together.")


@strawberry.input(description="A part of a file of opening balances.")
class ImportBalancesInput:
    """Some rows as they are sent."""

    idempotency_key: str = strawberry.field(description=KEY)
    source: str = strawberry.field(
        description="The programme that the member numbers belong to, 1 to 40 characters."
    )
    file: str = strawberry.field(
        description="The caller's name for the file, 1 to 200 characters; its parts have it in common."
    )
    format: ImportFormat = strawberry.field(description="How the rows are written.")
    rows: str = strawberry.field(
        description=f"Whole rows of at most {opening.MAX_RECORDS} members; a part of a table has its header."
    )
    first_row: Count = strawberry.field(
        description="The first row's place in the file, from 1 and without headers: next to the last done."
    )
    is_last: bool = strawberry.field(default=False, description="Whether the file ends here.")


@strawberry.type(description="Points of one issuer.")
class IssuerPoints:
    """A sum of lots."""

    issuer: strawberry.ID = strawberry.field(description="The partner that gave them.")
    points: Points = strawberry.field(description="Points taken over, pending ones included.")


@strawberry.type(description="A control total of the file that what was taken over does not meet.")
class ControlDifference:
    """A claim and what was found."""

    issuer: strawberry.ID | None = strawberry.field(
        description="Whose points are counted; null where members are."
    )
    claimed: Count = strawberry.field(description="What the file claims to hold.")
    found: Count = strawberry.field(description="What was taken over.")


@strawberry.type(description="What became of one row.")
class ImportRow:
    """An outcome."""

    row: Count = strawberry.field(description="The row's place in the file, from 1.")
    code: ErrorCode | None = strawberry.field(description="Why it was refused; null when it was taken over.")
    message: str = strawberry.field(description="The same for people; empty when it was taken over.")
    field: list[str] = strawberry.field(
        description="The path of what is wrong within the row; empty when no single value is to blame."
    )
    points: Points = strawberry.field(description="Points taken over.")
    operation: strawberry.ID | None = strawberry.field(
        description="The ledger's operation; null without points, and where none was posted."
    )


@strawberry.type(description="A page of rows, in the order of the file.")
class ImportRowConnection:
    """Rows by key."""

    nodes: list[ImportRow] = strawberry.field(description="The rows.")
    page_info: PageInfo = strawberry.field(description="Where this page stands.")


RefusedOnly = Annotated[bool, strawberry.argument(description="Whether to leave out what was taken over.")]


@strawberry.type(description="A file of opening balances, and how far it has come.")
class BalanceImport:
    """A job."""

    number: strawberry.Private[int]

    id: strawberry.ID = strawberry.field(description="The import's id.")
    source: str = strawberry.field(description="The programme that the members come from.")
    file: str = strawberry.field(description="The caller's name for the file.")
    begun_at: DateTime = strawberry.field(description="When its first rows came, in programme time.")
    ended_at: DateTime | None = strawberry.field(description="When its last rows came; null while more may.")
    rows_done: Count = strawberry.field(description="The last row that was looked at: the next one goes on.")
    accepted: Count = strawberry.field(description="Members taken over.")
    refused: Count = strawberry.field(description="Rows refused.")
    points: list[IssuerPoints] = strawberry.field(description="What was taken over, by issuer.")
    differences: list[ControlDifference] = strawberry.field(
        description="Where that is not what the file claims; to be judged when it has ended."
    )

    @computed("What became of the rows.")
    async def rows(
        self, info: Info, first: First = 20, after: After = None, refused_only: RefusedOnly = False
    ) -> ImportRowConnection:
        """A page of outcomes."""
        size = page_size(first)
        async with info.context.services.database.writer.connect() as connection:
            found = await opening.outcomes(
                connection, self.number, after=_behind(after), first=size + 1, refused_only=refused_only
            )
        page = found[:size]
        cursor = global_id(_CURSOR, page[-1].row) if page else None
        return ImportRowConnection(
            nodes=[_row_of(row) for row in page],
            page_info=PageInfo(has_next_page=len(found) > size, end_cursor=cursor),
        )


@strawberry.type(description="A page of imports, newest first.")
class BalanceImportConnection:
    """Imports by key."""

    nodes: list[BalanceImport] = strawberry.field(description="The imports.")
    page_info: PageInfo = strawberry.field(description="Where this page stands.")


@strawberry.type(description="The answer to a part of a file.")
class ImportBalancesPayload:
    """How far the import is, or why it did not go on."""

    balance_import: BalanceImport | None = strawberry.field(
        default=None, description="The import after this part; null when the part as a whole was refused."
    )
    replayed: bool = strawberry.field(default=False, description=REPLAYED)
    user_errors: list[UserError] = strawberry.field(description=ERRORS)


@strawberry.type
class ImportQuery:
    """Imports and their outcomes."""

    @query(MANAGE, description="An import of opening balances; null when there is none of that id.")
    async def balance_import(self, info: Info, id: Id) -> BalanceImport | None:  # noqa: A002
        """One import."""
        found = read_id(id)
        if found is None or found[0] != _IMPORT:
            return None
        async with info.context.services.database.writer.connect() as connection:
            known = await opening.find_import(connection, found[1])
        return None if known is None else import_of(known)

    @query(MANAGE, description="Imports of opening balances, newest first.")
    async def balance_imports(
        self, info: Info, first: First = 20, after: After = None
    ) -> BalanceImportConnection:
        """A page of imports."""
        size = page_size(first)
        before = None if after is None else number_of(after, _IMPORT, field="after")
        async with info.context.services.database.writer.connect() as connection:
            found = await opening.imports(connection, before=before, first=size + 1)
        page = [import_of(known) for known in found[:size]]
        return BalanceImportConnection(
            nodes=page,
            page_info=PageInfo(has_next_page=len(found) > size, end_cursor=page[-1].id if page else None),
        )


@strawberry.type
class ImportMutation:
    """Imports."""

    @mutation(
        MANAGE,
        payload=ImportBalancesPayload,
        description="Take over a part of a file of opening balances; a row that is refused stops no other.",
        price=500,
        item_by_item=True,
    )
    async def import_balances(self, info: Info, input: ImportBalancesInput) -> ImportBalancesPayload:  # noqa: A002
        """Make members and open their balances."""
        context, services, at = info.context, info.context.services, info.context.now
        by, key = context.known_caller.principal, input.idempotency_key
        chunk = _chunk_of(input)
        async with services.database.writer.begin() as connection:
            known = await opening.begin(connection, source=input.source, file=input.file, at=at, by=by)
            # After the step was read: a twin that was faster is seen to have answered.
            is_repeat = await is_answered(connection, principal=by, key=key)
            issuers = await opening.issuers_at(connection, context.directory, at, also=_ids(context))
        checked = None
        if not is_repeat:
            opening.check_step(known, after=input.first_row - 1)
            checked = await opening.post_chunk(
                services.database, services.ledger, services.keys, issuers, input.source, chunk, at=at
            )

        async def act() -> KnownImport:
            assert checked is not None, "a key that was answered is never acted on"
            return await opening.keep(
                connection, known.id, chunk, checked, after=input.first_row - 1, at=at, is_last=input.is_last
            )

        async with services.database.writer.begin() as connection:
            answered = await once(
                connection,
                act,
                principal=by,
                key=key,
                request=(
                    "importBalances",
                    input.source,
                    input.file,
                    _blinded(context, input.rows),
                    input.first_row,
                    input.is_last,
                ),
                answer=KnownImport,
                at=at,
            )
        return ImportBalancesPayload(
            balance_import=import_of(answered.answer), replayed=answered.replayed, user_errors=[]
        )


def import_of(known: KnownImport) -> BalanceImport:
    """An import as the schema has it."""
    return BalanceImport(
        number=known.id,
        id=global_id(_IMPORT, known.id),
        source=known.source,
        file=known.file,
        begun_at=known.begun_at,
        ended_at=known.ended_at,
        rows_done=known.done,
        accepted=known.accepted,
        refused=known.refused,
        points=[
            IssuerPoints(issuer=global_id("Partner", issuer), points=points)
            for issuer, points in known.totals.points.items()
        ],
        differences=[
            ControlDifference(
                issuer=None if each.issuer is None else global_id("Partner", each.issuer),
                claimed=each.claimed,
                found=each.found,
            )
            for each in opening.differing(known)
        ],
    )


def _row_of(known: KnownOutcome) -> ImportRow:
    return ImportRow(
        row=known.row,
        code=ErrorCode(known.code) if known.code else None,
        message=known.message,
        field=path_of(known.field),
        points=known.points,
        operation=None if known.operation is None else global_id("Operation", known.operation),
    )


def _chunk_of(given: ImportBalancesInput) -> Chunk:
    if given.first_row < 1:
        raise InvalidInput("rows are counted from 1", field=("firstRow",))
    format_ = Format.CSV if given.format is ImportFormat.CSV else Format.JSON_LINES
    try:
        chunk = opening.read_text(given.rows, format_, first_row=given.first_row)
    except InvalidInput as refusal:
        raise InvalidInput(refusal.message, field=("rows",)) from None
    if len(chunk.sources) > opening.MAX_RECORDS:
        raise InvalidInput(f"a part has at most {opening.MAX_RECORDS} members", field=("rows",))
    return chunk


def _blinded(context: Context, rows: str) -> bytes:
    """The rows under a key: a bare digest of a phone is soon guessed."""
    keys = context.services.keys
    return hmac.digest(keys.derive("requests", min(keys.versions)), rows.encode(), "sha256")


def _ids(context: Context) -> dict[str, int]:
    """Partners by the ids that the schema gives them."""
    return {str(global_id("Partner", number)): number for number in context.directory.partners}


def _behind(after: str | None) -> int:
    return 0 if after is None else number_of(after, _CURSOR, field="after")
