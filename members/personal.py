"""Personal data: what is known of the person, readable only with the member's key."""

from __future__ import annotations

import unicodedata
from typing import ClassVar, Final

import msgspec

from ledger.kernel.refusals import InvalidInput

from .sealing import MemberKey

_FIELD: Final = "personal"
_LONGEST_NAME: Final = 200
_DOTS: Final = "•••"


class Personal(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Who the member is; its repr tells nothing, so that no log can."""

    redacted: ClassVar[str] = "Personal(…)"

    phone: str | None = None
    name: str | None = None

    def __repr__(self) -> str:
        return self.redacted

    def seal(self, key: MemberKey) -> bytes:
        """As it is stored."""
        return key.seal(_FIELD, msgspec.json.encode(self))

    @classmethod
    def open(cls, key: MemberKey, sealed: bytes) -> Personal:
        """What `seal` was given."""
        return msgspec.json.decode(key.open(_FIELD, sealed), type=cls)


def read_name(text: str | None) -> str | None:
    """A person's name in one line of at most 200 characters, composed (NFC); None when blank."""
    if text is None:
        return None
    if len(text) > _LONGEST_NAME:
        raise InvalidInput(f"a name has at most {_LONGEST_NAME} characters", field=("name",))
    if any(unicodedata.category(character) in ("Cc", "Cs") for character in text):
        raise InvalidInput("a name has no control characters", field=("name",))
    return " ".join(unicodedata.normalize("NFC", text).split()) or None


def mask(personal: Personal) -> str:
    """What a cashier may see, enough to ask "is that you?": initials, or the phone's last two digits."""
    if personal.name:
        return " ".join(f"{word[0]}{_DOTS}" for word in personal.name.split())
    return f"{_DOTS} {personal.phone[-2:]}" if personal.phone else _DOTS
