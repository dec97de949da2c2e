"""Master keys, what is sealed under them, and what never shows."""

from __future__ import annotations

import pytest
from cryptography.exceptions import InvalidTag

from ledger.kernel.refusals import InvalidInput
from members.keys import MasterKeys, UnknownKeyVersion
from members.personal import Personal, mask, read_name
from members.sealing import MemberKey


def test_the_written_form_reads_back_to_the_same_keys() -> None:
    keys = MasterKeys.generate().with_next_version()

    again = MasterKeys.from_text(keys.reveal())

    assert again.versions == (1, 2)
    assert again.current == keys.current == 2
    assert all(again.derive("wrap", version) == keys.derive("wrap", version) for version in (1, 2))


@pytest.mark.parametrize("text", ["", "secret!", "1:c2hvcnQ=", "0:" + "A" * 43 + "=", "x:" + "A" * 43 + "="])
def test_a_bad_master_key_is_refused_without_being_repeated(text: str) -> None:
    with pytest.raises(ValueError) as refused:
        MasterKeys.from_text(text)

    assert not text or text not in str(refused.value)


def test_keys_differ_by_purpose_and_by_version() -> None:
    keys = MasterKeys.generate().with_next_version()

    assert len({keys.derive(purpose, version) for purpose in ("a", "b") for version in (1, 2)}) == 4
    with pytest.raises(UnknownKeyVersion):
        keys.derive("a", 3)


def test_a_sealed_value_opens_only_for_its_member_and_field() -> None:
    keys = MasterKeys.generate()
    key = MemberKey.generate(7)
    sealed = key.seal("personal", b"Anna")
    stranger = MemberKey.generate(8)

    assert MemberKey.unwrap(keys, 7, key.wrap(keys)).open("personal", sealed) == b"Anna"
    with pytest.raises(InvalidTag):
        key.open("card", sealed)
    with pytest.raises(InvalidTag):
        stranger.open("personal", sealed)
    with pytest.raises(InvalidTag):
        MemberKey.unwrap(keys, 8, key.wrap(keys))


def test_nothing_secret_shows_in_a_repr() -> None:
    keys = MasterKeys.generate()
    key = MemberKey.generate(7)
    personal = Personal(phone="+79161234567", name="Anna")
    shown = f"{keys!r} {key!r} {key.wrap(keys)!r} {personal!r} {personal}"

    assert shown == ("MasterKeys(versions=(1,)) MemberKey(…) WrappedKey(version=1) Personal(…) Personal(…)")


def test_a_masked_name_tells_initials_or_two_digits() -> None:
    assert mask(Personal(name="Анна Мария", phone="+79161234567")) == "А••• М•••"
    assert mask(Personal(phone="+79161234567")) == "••• 67"
    assert mask(Personal()) == "•••"


def test_a_name_is_one_composed_line() -> None:
    assert read_name("  Анна\u00a0 Мария ") == "Анна Мария"
    assert read_name("   ") is None
    for name in ("a" * 201, "a\nb", "\x00", "\ud800"):
        with pytest.raises(InvalidInput):
            read_name(name)
