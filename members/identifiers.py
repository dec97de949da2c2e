"""What a member is found by: a phone or a card number, kept only as keyed blind indexes.

A blind index is HMAC-SHA-256 under a key of its own, cut to 16 bytes. It finds a member
whose identifier is already known to the asker and tells nothing to a reader of the table.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Final

import phonenumbers

from ledger.kernel.refusals import InvalidInput, Refusal

from .keys import MasterKeys

INDEX_BYTES: Final = 16
_CARD_DIGITS: Final = range(16, 20)
_LONGEST_TEXT: Final = 40
_SEPARATORS: Final = str.maketrans("", "", " -")


class MemberForgotten(Refusal):
    """The member was erased: neither a file nor a repeat brings them back."""

    code: ClassVar[str] = "MEMBER_FORGOTTEN"

    def __init__(self) -> None:
        super().__init__("this member was erased", field=("member",))


class MemberNotFound(Refusal):
    """No member answers to what was presented; it is not said whether one ever did."""

    code: ClassVar[str] = "MEMBER_NOT_FOUND"

    def __init__(self, message: str = "no such member", *, field: tuple[str, ...] = ()) -> None:
        super().__init__(message, field=field)


@dataclass(frozen=True, slots=True, kw_only=True)
class BlindIndex:
    """An identifier as it is stored: the HMAC and the master key version it was made under."""

    version: int
    digest: bytes = field(repr=False)


def read_phone(text: str) -> str:
    """The phone number in E.164, such as +79161234567; raises `InvalidInput`."""
    if len(text) > _LONGEST_TEXT:
        raise InvalidInput("a phone number is at most 40 characters", field=("phone",))
    try:
        number = phonenumbers.parse(text, None)
    except phonenumbers.NumberParseException:
        raise InvalidInput(
            "a phone number is written with its country code: +7 916 123-45-67", field=("phone",)
        ) from None
    if not phonenumbers.is_valid_number(number):
        raise InvalidInput("no such phone number can exist", field=("phone",))
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)


def read_card(text: str) -> str:
    """The card number as digits, check digit verified; raises `InvalidInput`."""
    digits = text.translate(_SEPARATORS) if len(text) <= _LONGEST_TEXT else ""
    if len(digits) not in _CARD_DIGITS or not (digits.isascii() and digits.isdecimal()):
        raise InvalidInput("a card number has 16 to 19 digits", field=("card",))
    if luhn_digit(digits[:-1]) != digits[-1]:
        raise InvalidInput("the card number's check digit is wrong", field=("card",))
    return digits


def luhn_digit(payload: str) -> str:
    """The check digit (ISO/IEC 7812-1) that makes `payload` followed by it a valid number."""
    doubled = (int(digit) * 2 for digit in payload[-1::-2])
    plain = (int(digit) for digit in payload[-2::-2])
    total = sum(value - 9 if value > 9 else value for value in doubled) + sum(plain)
    return str(-total % 10)


def phone_index(keys: MasterKeys, phone: str) -> BlindIndex:
    """How the phone is stored now."""
    return _index(keys, "phone", keys.current, phone)


def phone_indexes(keys: MasterKeys, phone: str) -> Sequence[BlindIndex]:
    """How the phone may be stored, oldest version first: a rotation may be under way."""
    return [_index(keys, "phone", version, phone) for version in keys.versions]


def card_index(keys: MasterKeys, card: str) -> BlindIndex:
    """How the card number is stored now."""
    return _index(keys, "card", keys.current, card)


def card_indexes(keys: MasterKeys, card: str) -> Sequence[BlindIndex]:
    """How the card number may be stored, oldest version first."""
    return [_index(keys, "card", version, card) for version in keys.versions]


def former_index(keys: MasterKeys, source: str, number: str) -> BlindIndex:
    """How the number that a member had in another programme, `source`, is stored now."""
    return _index(keys, "former", keys.current, f"{source}\0{number}")


def former_indexes(keys: MasterKeys, source: str, number: str) -> Sequence[BlindIndex]:
    """How such a number may be stored, oldest version first."""
    return [_index(keys, "former", version, f"{source}\0{number}") for version in keys.versions]


def _index(keys: MasterKeys, kind: str, version: int, value: str) -> BlindIndex:
    key = keys.derive(f"index/{kind}", version)
    return BlindIndex(version=version, digest=hmac.digest(key, value.encode(), hashlib.sha256)[:INDEX_BYTES])
