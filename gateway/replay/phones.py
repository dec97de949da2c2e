"""The members' app: it enrols every household by its phone, and keeps the card that it is given."""

from __future__ import annotations

from base64 import urlsafe_b64decode
from typing import Any, Final

import msgspec

from .burns import Card
from .door import Payload, Session
from .journey import Numbers

_CONSENTS: Final = [{"purpose": "programme_rules", "granted": True}]

_DOCUMENT: Final = """
mutation Enrol($input: MemberEnrolInput!) {
  answer: memberEnrol(input: $input) {
    enrolment { cardNumber cardKey }
    userErrors { code message }
  }
}
"""


class _Enrolment(msgspec.Struct, frozen=True, rename="camel"):
    card_number: str
    card_key: str


class _Enrolled(Payload, frozen=True):
    enrolment: _Enrolment | None


async def enrol(app: Session, households: Numbers) -> list[Card]:
    """The households' cards, in their order. Those enrolled before have the card they had.

    One after another: members then have the same ids in every ledger that the year is replayed
    into, and ledgers can be compared.
    """
    cards: list[Card] = []
    for household in households.tolist():
        made = (await app.write(_DOCUMENT, _input(household), _Enrolled)).enrolment
        assert made is not None, "no refusal"
        cards.append(Card(number=made.card_number, key=urlsafe_b64decode(made.card_key)))
    return cards


def phone_of(household: int) -> str:
    """The phone that a household of the data is given."""
    return f"+7999{household:07d}"


def _input(household: int) -> dict[str, Any]:
    return {
        "idempotencyKey": f"journey/household/{household}",
        "identifier": {"phone": phone_of(household)},
        "consents": _CONSENTS,
    }
