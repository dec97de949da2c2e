"""Member handles of one partner."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.kernel.ids import compose
from members import Handles, MasterKeys, MemberNotFound

KEYS = MasterKeys.generate()


@given(bucket=st.integers(0, 63), sequence=st.integers(1, 2**40), partner=st.integers(1, 10_000))
def test_a_partner_opens_its_own_handle(bucket: int, sequence: int, partner: int) -> None:
    handles, member = Handles(KEYS), compose(bucket, sequence)

    handle = handles.seal(partner, member)

    assert handles.open(partner, handle) == member
    assert handles.seal(partner, member) == handle


def test_a_handle_is_useless_to_another_partner() -> None:
    handles = Handles(KEYS)
    handle = handles.seal(1, compose(5, 1))

    assert handles.seal(2, compose(5, 1)) != handle
    with pytest.raises(MemberNotFound):
        handles.open(2, handle)


def test_no_other_spelling_of_a_handle_opens() -> None:
    handles = Handles(KEYS)
    handle = handles.seal(1, compose(5, 1))
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_+/=!é"
    spellings = {handle[:place] + other + handle[place + 1 :] for place in range(34) for other in alphabet}

    for spelling in (spellings - {handle}) | {"", handle + "=", handle * 3_000}:
        with pytest.raises(MemberNotFound):
            handles.open(1, spelling)


def test_older_handles_open_until_their_key_version_goes() -> None:
    rotated = KEYS.with_next_version()
    old = Handles(KEYS).seal(1, compose(5, 1))
    new = Handles(rotated).seal(1, compose(5, 1))

    assert Handles(rotated).open(1, old) == Handles(rotated).open(1, new)
    with pytest.raises(MemberNotFound):
        Handles(KEYS).open(1, new)
