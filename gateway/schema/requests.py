"""What a till sends to move points, and the same in the words of the partners' room."""

from __future__ import annotations

from typing import Final

import strawberry

from gateway.context import Context
from partners import AuthorizeRequest, BurnRequest, CaptureRequest, EarnRequest, VoidRequest

from .operation import hold_number
from .presence import Presence
from .receipt import MemberInput, ReceiptInput, receipt_of
from .scalars import Points

KEY: Final = (
    "The caller's own name for this request, 1 to 255 characters; a repeat is answered as the first time."
)
_HOLD: Final = "The hold's id: `operation { hold { id } }` in the answer of `authorizeBurn`."


@strawberry.input(description="A purchase that is to be quoted.")
class QuoteInput:
    """What a till is about to sell."""

    member: MemberInput = strawberry.field(description="Who buys.")
    receipt: ReceiptInput = strawberry.field(description="What is bought, under the number it will have.")


@strawberry.input(description="A purchase that earns points.")
class EarnInput:
    """An earn as it is sent."""

    idempotency_key: str = strawberry.field(description=KEY)
    member: MemberInput = strawberry.field(description="Who earns.")
    receipt: ReceiptInput = strawberry.field(description="The purchase.")
    quote: str | None = strawberry.field(
        default=strawberry.UNSET, description="The token of a quote whose terms are to be kept."
    )


@strawberry.input(description="Points that are to pay for part of a purchase, at once.")
class BurnInput:
    """A burn as it is sent."""

    idempotency_key: str = strawberry.field(description=KEY)
    member: MemberInput = strawberry.field(description="Who pays; by a current QR code.")
    receipt: ReceiptInput = strawberry.field(description="The purchase.")
    points: Points = strawberry.field(description="Points to take, more than 0.")
    quote: str | None = strawberry.field(
        default=strawberry.UNSET, description="The token of a quote whose terms are to be kept."
    )


@strawberry.input(description="Points that are to be held for a purchase under way.")
class AuthorizeBurnInput:
    """An authorisation as it is sent."""

    idempotency_key: str = strawberry.field(description=KEY)
    member: MemberInput = strawberry.field(description="Who pays; by a current QR code.")
    receipt: ReceiptInput = strawberry.field(description="The purchase.")
    points: Points = strawberry.field(description="Points to hold, more than 0.")
    quote: str | None = strawberry.field(
        default=strawberry.UNSET, description="The token of a quote whose terms are to be kept."
    )
    ttl_seconds: int | None = strawberry.field(
        default=strawberry.UNSET,
        description="How many seconds the hold lasts, at most and by default as long as the agreement says.",
    )


@strawberry.input(description="Held points that are to be redeemed.")
class CaptureBurnInput:
    """A capture as it is sent."""

    idempotency_key: str = strawberry.field(description=KEY)
    hold: strawberry.ID = strawberry.field(description=_HOLD)
    points: Points | None = strawberry.field(
        default=strawberry.UNSET, description="Points to redeem; all that is left, if left out."
    )
    final: bool = strawberry.field(
        default=False,
        description="Whether this is the last capture, so that the rest goes back to the member.",
    )


@strawberry.input(description="A hold whose points are to go back to the member.")
class VoidBurnInput:
    """A void as it is sent."""

    idempotency_key: str = strawberry.field(description=KEY)
    hold: strawberry.ID = strawberry.field(description=_HOLD)


def earn_request(context: Context, given: EarnInput, presence: Presence) -> EarnRequest:
    """An earn in the words of the partners' room."""
    return EarnRequest(
        key=given.idempotency_key,
        member=presence.member,
        receipt=receipt_of(context, given.receipt),
        quote=given.quote,
    )


def burn_request(context: Context, given: BurnInput, presence: Presence) -> BurnRequest:
    """A burn; without proof of presence it arrives refused, so that a repeat is still answered."""
    return BurnRequest(
        key=given.idempotency_key,
        member=presence.member,
        points=given.points,
        receipt=receipt_of(context, given.receipt),
        presence=presence.fingerprint,
        quote=given.quote,
        refused=presence.unproven,
    )


def authorize_request(context: Context, given: AuthorizeBurnInput, presence: Presence) -> AuthorizeRequest:
    """An authorisation; without proof of presence it arrives refused."""
    return AuthorizeRequest(
        key=given.idempotency_key,
        member=presence.member,
        points=given.points,
        receipt=receipt_of(context, given.receipt),
        presence=presence.fingerprint,
        quote=given.quote,
        refused=presence.unproven,
        ttl_seconds=given.ttl_seconds,
    )


def capture_request(given: CaptureBurnInput) -> CaptureRequest:
    """A capture in the words of the partners' room."""
    return CaptureRequest(
        key=given.idempotency_key, hold=hold_number(given.hold), points=given.points, final=given.final
    )


def void_request(given: VoidBurnInput) -> VoidRequest:
    """A void in the words of the partners' room."""
    return VoidRequest(key=given.idempotency_key, hold=hold_number(given.hold))
