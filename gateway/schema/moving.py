"""What moves points without a purchase: transfers, merges, a partner that leaves, and arming."""

from __future__ import annotations

from datetime import datetime
from enum import Enum
from typing import Annotated, Final

import strawberry
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.context import Context, Info
from ledger import Outcome, Transit
from ledger.commands import Refused
from ledger.kernel.ids import OPERATOR
from members import Merged, StepUpRequired, merge_members
from partners import (
    ArmRequest,
    TransferRequest,
    begin_novation,
    drive_novation,
    novations_of,
    points_left,
    start_of_day,
)
from partners import (
    Novation as KnownNovation,
)
from partners import arm_expiry as arm
from partners import (
    transfer_points as send_points,
)

from .access import mutation, query
from .directory import MANAGE, known_number
from .errors import UserError, user_error
from .node import global_id, number_of
from .operation import KIND, Balance, balance_of
from .presence import identify
from .receipt import MemberInput
from .requests import KEY
from .scalars import Date, DateTime, Points
from .writes import ERRORS, REPLAYED, Write

TRANSFER: Final = "members:transfer"
"""The scope of the members' own app, in which points are sent."""

MEMBERS: Final = "members:manage"
"""The operator's scope for what changes who a member is, or what members were told; support has it not."""


LeavingPartner = Annotated[strawberry.ID, strawberry.argument(description="The partner that left.")]


@strawberry.enum(description="How far transferred points have come.")
class TransferState(Enum):
    """The states of a transit."""

    ON_THE_WAY = strawberry.enum_value("ON_THE_WAY", description="They have not arrived yet: ask again.")
    ARRIVED = strawberry.enum_value("ARRIVED", description="They are the recipient's.")
    RETURNED = strawberry.enum_value("RETURNED", description="They were refused and went back.")


@strawberry.type(description="Points from one member to another.")
class Transfer:
    """A transfer as its sender sees it."""

    operation: strawberry.ID = strawberry.field(description="The operation by which they left.")
    points: Points = strawberry.field(description="Points sent.")
    state: TransferState = strawberry.field(description="How far they have come.")
    balance: Balance = strawberry.field(description="The sender's points when they had left.")


@strawberry.input(description="Points that a member sends to another.")
class TransferPointsInput:
    """A transfer as it is sent."""

    idempotency_key: str = strawberry.field(description=KEY)
    sender: MemberInput = strawberry.field(description="Who sends; by a current QR code.")
    recipient: MemberInput = strawberry.field(description="Who is to have them.")
    points: Points = strawberry.field(description="Points to send, more than 0.")


@strawberry.type(description="The answer to a transfer.")
class TransferPayload:
    """A transfer, or why there is none."""

    transfer: Transfer | None = strawberry.field(
        default=None, description="The transfer, a returned one too; null when nothing was sent."
    )
    replayed: bool = strawberry.field(default=False, description=REPLAYED)
    user_errors: list[UserError] = strawberry.field(
        description="Why nothing was sent, or why it was returned; empty when it was neither."
    )


@strawberry.input(description="Two members who are one person.")
class MergeMembersInput:
    """A merge as it is sent."""

    idempotency_key: str = strawberry.field(description=KEY)
    merged: str = strawberry.field(description="The handle of the member who is no more.")
    survivor: str = strawberry.field(description="The handle of the member who has everything from now on.")
    reason: str = strawberry.field(description="Why; 1 to 200 characters, kept with it.")


@strawberry.type(description="A merge. Whoever names the merged member means the survivor from now on.")
class Merge:
    """A merge as the operator sees it."""

    merged: str = strawberry.field(description="The merged member's handle.")
    survivor: str = strawberry.field(
        description="The survivor's handle: the last of a chain, if the one named was merged itself."
    )
    merged_at: DateTime = strawberry.field(description="When, in programme time.")
    balance: Balance = strawberry.field(description="What the survivor has now.")


@strawberry.type(description="The answer to a merge.")
class MergePayload:
    """A merge, or why there is none."""

    merge: Merge | None = strawberry.field(default=None, description="The merge; null when refused.")
    replayed: bool = strawberry.field(default=False, description=REPLAYED)
    user_errors: list[UserError] = strawberry.field(description=ERRORS)


@strawberry.input(description="A partner that leaves.")
class NovatePartnerInput:
    """A novation as it is sent."""

    idempotency_key: str = strawberry.field(description=KEY)
    partner: strawberry.ID = strawberry.field(description="The partner that leaves; suspended before.")
    successor: strawberry.ID | None = strawberry.field(
        default=strawberry.UNSET,
        description="The partner that answers for its points from now on; the operator, if left out.",
    )
    reason: str = strawberry.field(description="Why; 1 to 200 characters, kept with it.")


@strawberry.type(description="Points of a partner that leaves, on their way into other hands.")
class Novation:
    """A novation as the operator sees it."""

    partner: strawberry.ID = strawberry.field(description="The partner that leaves.")
    successor: strawberry.ID | None = strawberry.field(
        description="The partner that takes over; null for the operator."
    )
    reason: str = strawberry.field(description="Why.")
    begun_at: DateTime = strawberry.field(description="Since when, in programme time.")
    begun_by: str = strawberry.field(description="Who began it.")
    done_at: DateTime | None = strawberry.field(
        description="When nothing was left; null while wallets are still to be done, which goes on by itself."
    )
    points_left: Points = strawberry.field(
        description="Points outstanding that the leaving partner still answers for."
    )


@strawberry.type(description="The answer to a novation.")
class NovationPayload:
    """A novation, or why there is none."""

    novation: Novation | None = strawberry.field(default=None, description="The novation; null when refused.")
    replayed: bool = strawberry.field(default=False, description=REPLAYED)
    user_errors: list[UserError] = strawberry.field(description=ERRORS)


@strawberry.input(description="Members who were told that points will expire.")
class ArmExpiryInput:
    """An arming as it is sent."""

    idempotency_key: str = strawberry.field(description=KEY)
    expiring_before: Date = strawberry.field(
        description="Lots that expire before this day are armed: the first of a month, to arm all before it."
    )
    member: str | None = strawberry.field(
        default=strawberry.UNSET,
        description="The one member who was told, by handle; everybody, if left out.",
    )
    lots: list[strawberry.ID] | None = strawberry.field(
        default=strawberry.UNSET, description="These lots of the member alone; at most 500."
    )


@strawberry.type(description="What was armed: it expires on its day, or when the notice has run.")
class Arming:
    """An arming as it was done."""

    members: int = strawberry.field(description="How many members had such lots.")
    points: Points = strawberry.field(description="Points armed.")
    is_complete: bool = strawberry.field(
        description="False when more members are left: send it again, under another key."
    )


@strawberry.type(description="The answer to an arming.")
class ArmExpiryPayload:
    """An arming, or why there is none."""

    arming: Arming | None = strawberry.field(default=None, description="What was armed; null when refused.")
    user_errors: list[UserError] = strawberry.field(description=ERRORS)


@strawberry.type
class MovingQuery:
    """What became of partners that left."""

    @query(MANAGE, description="The novations of a partner's points, the latest first.")
    async def novations(self, info: Info, partner: LeavingPartner) -> list[Novation]:
        """How far each has come."""
        number = known_number(partner)
        async with info.context.services.database.writer.connect() as connection:
            known = await novations_of(connection, number)
            left = await points_left(connection, number)
        return [_novation_of(each, left) for each in known]


@strawberry.type
class MovingMutation:
    """Points that change hands without a purchase."""

    @mutation(
        TRANSFER,
        payload=TransferPayload,
        description="Send a member's points to another member; they keep their dates.",
        looks_up=True,
        burns=True,
    )
    async def transfer_points(self, info: Info, input: TransferPointsInput) -> TransferPayload:  # noqa: A002
        """Send; the answer usually tells that they have arrived."""
        context = info.context
        if _is_looked_up(input.sender) and _is_looked_up(input.recipient):
            # Only one is looked up in a document, and no phone or card proves that its member is there.
            return TransferPayload(user_errors=[_sender_error(Refused.of(StepUpRequired()))])
        sender = await identify(context, input.sender, name="sender")
        recipient = await identify(context, input.recipient, name="recipient")
        sent = await send_points(
            context.services.ledger,
            TransferRequest(
                key=input.idempotency_key,
                sender=sender.member,
                recipient=recipient.member,
                points=input.points,
                presence=sender.fingerprint,
                refused=sender.unproven,
            ),
            principal=context.known_caller.principal,
            at=context.now,
        )
        return _transfer_payload(sent.outcome, sent.transit)

    @mutation(
        MEMBERS,
        payload=MergePayload,
        description="Merge a member into another: one person who had two cards. It cannot be undone.",
    )
    async def merge_members(self, info: Info, input: MergeMembersInput) -> MergePayload:  # noqa: A002
        """Merge; what is held or comes back later follows by itself."""
        context, services = info.context, info.context.services
        merged, survivor = await _named(context, input.merged), await _named(context, input.survivor)

        async def act(connection: AsyncConnection, at: datetime) -> Merged:
            return await merge_members(
                connection,
                services.ledger,
                merged=merged,
                survivor=survivor,
                reason=input.reason,
                key=input.idempotency_key,
                at=at,
                by=context.known_caller.principal,
            )

        asked = (merged, survivor, input.reason)
        answered = await Write(context, "mergeMembers", input.idempotency_key, asked).do(act, Merged)
        await services.ledger.drive_all()
        merge = answered.answer
        return MergePayload(
            merge=Merge(
                merged=services.handles.seal(context.namer, merge.merged),
                survivor=services.handles.seal(context.namer, merge.survivor),
                merged_at=merge.merged_at,
                balance=balance_of(await services.ledger.balance(merge.survivor)),
            ),
            replayed=answered.replayed,
            user_errors=[],
        )

    @mutation(
        MANAGE,
        payload=NovationPayload,
        description="Let another obligor answer for every point that a partner gave and that is still out.",
    )
    async def novate_partner(self, info: Info, input: NovatePartnerInput) -> NovationPayload:  # noqa: A002
        """Begin; it goes on by itself until nothing is left."""
        context, services = info.context, info.context.services
        leaver = known_number(input.partner)
        successor = OPERATOR if input.successor is None else known_number(input.successor)

        async def act(connection: AsyncConnection, at: datetime) -> KnownNovation:
            return await begin_novation(
                connection,
                leaver,
                successor=successor,
                reason=input.reason,
                at=at,
                by=context.known_caller.principal,
            )

        asked = (leaver, successor, input.reason)
        answered = await Write(context, "novatePartner", input.idempotency_key, asked).do(act, KnownNovation)
        novation = await drive_novation(
            services.database, services.ledger, answered.answer.id, at=context.now
        )
        async with services.database.writer.connect() as connection:
            left = await points_left(connection, leaver)
        return NovationPayload(
            novation=_novation_of(novation, left), replayed=answered.replayed, user_errors=[]
        )

    @mutation(
        MEMBERS,
        payload=ArmExpiryPayload,
        description="Say that members were told before their points expire, so that they may.",
    )
    async def arm_expiry(self, info: Info, input: ArmExpiryInput) -> ArmExpiryPayload:  # noqa: A002
        """Arm; what is armed already stays as it is."""
        context, services = info.context, info.context.services
        zone = context.directory.programme.zone
        armed = await arm(
            services.database,
            services.ledger,
            context.directory,
            ArmRequest(
                key=input.idempotency_key,
                until=start_of_day(input.expiring_before, zone),
                member=None if input.member is None else await _named(context, input.member),
                lots=tuple(number_of(lot, "Lot", field="lots") for lot in input.lots or ()),
            ),
            principal=context.known_caller.principal,
            at=context.now,
        )
        arming = Arming(members=armed.members, points=armed.points, is_complete=armed.is_complete)
        return ArmExpiryPayload(arming=arming, user_errors=[])


async def _named(context: Context, handle: str) -> int:
    return context.services.handles.open(context.namer, handle)


def _transfer_payload(outcome: Outcome, transit: Transit | None) -> TransferPayload:
    if transit is None:
        refused = outcome.refused
        errors = [] if refused is None else [_sender_error(refused)]
        return TransferPayload(replayed=outcome.replayed, user_errors=errors)
    transfer = Transfer(
        operation=global_id(KIND, outcome.operation),
        points=outcome.points,
        state=_STATES[transit.state],
        balance=balance_of(outcome.balance),
    )
    return TransferPayload(transfer=transfer, replayed=outcome.replayed, user_errors=_why_returned(transit))


def _is_looked_up(given: MemberInput) -> bool:
    return given.phone is not None or given.card is not None


_IN_A_TRANSFER: Final = {"member": "sender", "to": "recipient"}
"""What the rooms call the two: points leave their `member` and go `to` another."""


def _sender_error(refused: Refused) -> UserError:
    """Why nothing left the sender, at the place where the transfer names it."""
    error = user_error(refused)
    if error.field:
        first, *rest = error.field
        error.field = [_IN_A_TRANSFER.get(first, first), *rest]
    return error


def _why_returned(transit: Transit) -> list[UserError]:
    if not transit.refusal:
        return []
    message = "the recipient could not take the points, so they went back"
    return [user_error(Refused(code=transit.refusal, message=message, field=("recipient",)))]


def _novation_of(known: KnownNovation, left: int) -> Novation:
    return Novation(
        partner=global_id("Partner", known.leaver),
        successor=global_id("Partner", known.successor) if known.successor != OPERATOR else None,
        reason=known.reason,
        begun_at=known.begun_at,
        begun_by=known.begun_by,
        done_at=known.done_at,
        points_left=left,
    )


_STATES: Final = {
    "open": TransferState.ON_THE_WAY,
    "arrived": TransferState.ARRIVED,
    "returned": TransferState.RETURNED,
}
