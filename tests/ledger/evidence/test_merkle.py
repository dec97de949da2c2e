"""Trees, paths and roots are those of RFC 6962, by the known answers of its first implementation."""

from __future__ import annotations

from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.chain import merkle_root
from ledger.evidence.merkle import Growing, audit_path, root_above, root_around, roots_outside

INPUTS = ("", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f")
LEAVES = [sha256(b"\0" + bytes.fromhex(text)).digest() for text in INPUTS]
ROOTS = (
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
)
PATHS = {
    (0, 1): (),
    (0, 8): (
        "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
    ),
    (5, 8): (
        "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
        "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    ),
    (2, 3): ("fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",),
    (1, 5): (
        "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
    ),
}
"""(leaf, size) → audit path, lowest first."""

a_tree = st.integers(1, 70).flatmap(lambda size: st.tuples(st.just(size), st.integers(0, size - 1)))


@pytest.mark.parametrize(("size", "root"), list(enumerate(ROOTS, start=1)))
def test_roots_are_the_known_answers(size: int, root: str) -> None:
    growing = Growing()
    for leaf in LEAVES[:size]:
        growing.add(leaf)

    assert merkle_root(LEAVES[:size]).hex() == root
    assert growing.root().hex() == root


@pytest.mark.parametrize(("place", "path"), list(PATHS.items()))
def test_paths_are_the_known_answers(place: tuple[int, int], path: tuple[str, ...]) -> None:
    index, size = place

    assert tuple(node.hex() for node in audit_path(LEAVES[:size], index)) == path


def test_nothing_has_the_hash_of_nothing() -> None:
    assert Growing().root() == merkle_root([]) == sha256(b"").digest()


@given(a_tree)
def test_a_path_leads_to_the_root_from_its_own_leaf_and_place_only(tree: tuple[int, int]) -> None:
    size, index = tree
    leaves = [sha256(bytes([number])).digest() for number in range(size)]
    path = audit_path(leaves, index)
    growing = Growing()
    for leaf in leaves:
        growing.add(leaf)

    root = root_above(leaves[index], index=index, size=size, path=path)

    assert root == merkle_root(leaves) == growing.root()
    assert root_above(bytes(32), index=index, size=size, path=path) != root
    assert root_above(leaves[index], index=index, size=size, path=[*path, bytes(32)]) != root
    assert path == [] or root_above(leaves[index], index=index, size=size, path=path[:-1]) != root
    assert root_above(leaves[index], index=size, size=size, path=path) is None
    for other in range(size):
        if other != index:
            assert root_above(leaves[index], index=other, size=size, path=path) != root


a_part = st.integers(1, 40).flatmap(
    lambda size: st.tuples(st.just(size), st.integers(0, size - 1)).flatmap(
        lambda tree: st.tuples(st.just(tree[0]), st.just(tree[1]), st.integers(tree[1] + 1, tree[0]))
    )
)


@given(a_part)
def test_a_part_of_a_tree_leads_to_its_root_and_no_other_part_does(part: tuple[int, int, int]) -> None:
    size, start, stop = part
    leaves = [sha256(bytes([n])).digest() for n in range(size)]

    outside = roots_outside(leaves, start, stop)

    own, root = leaves[start:stop], merkle_root(leaves)
    assert root_around(own, start=start, size=size, outside=outside) == root
    assert root_around([*own[:-1], bytes(32)], start=start, size=size, outside=outside) != root
    assert root_around(own[:-1], start=start, size=size, outside=outside) != root
    assert root_around(own, start=start, size=size, outside=[*outside, bytes(32)]) is None
