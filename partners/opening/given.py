"""What a file says of a member, before anybody has asked whether it makes sense."""

from __future__ import annotations

import re
from typing import Final

import msgspec

from ledger.kernel.refusals import InvalidInput

MAX_LOTS: Final = 1_000


class GivenLot(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A lot as it is written. Dates are days of the programme's zone, or instants with an offset.

    `earned` begins with its day, `expires` is the last day, `available` the first. A lot is pending
    when it says so or says when it is available.
    """

    issuer: str
    points: int
    earned: str
    expires: str
    state: str | None = None
    available: str | None = None
    obligor: str | None = None


class GivenMember(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A member as it is written: their number in the old programme, how to find them, their lots."""

    member: str
    phone: str | None = None
    card: str | None = None
    name: str | None = None
    consents: dict[str, bool] = {}
    lots: tuple[GivenLot, ...] = ()


class GivenControl(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the file claims to hold: members, and points by issuer."""

    members: int | None = None
    points: dict[str, int] = {}


class _ControlLine(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    control: GivenControl


_member: Final = msgspec.json.Decoder(GivenMember)
_control: Final = msgspec.json.Decoder(_ControlLine)
_PLACE: Final = re.compile(r" - at `\$(?P<path>[^`]*)`$")
_STEP: Final = re.compile(r"\w+")


def read_line(line: bytes) -> GivenMember | GivenControl:
    """A line of JSON. Raises `InvalidInput` with the path of what is wrong."""
    try:
        if line.lstrip().startswith(b'{"control"'):
            return _control.decode(line).control
        return _member.decode(line)
    except msgspec.ValidationError as error:
        raise _misfit(str(error)) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise InvalidInput("the row is not JSON in UTF-8") from None


def _misfit(text: str) -> InvalidInput:
    place = _PLACE.search(text)
    path = tuple(_STEP.findall(place["path"])) if place else ()
    return InvalidInput(_PLACE.sub("", text), field=path)
