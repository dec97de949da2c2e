"""docs/api.md tells the truth: who may ask for what, by which scopes, and what it costs."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from gateway.http import access_of
from gateway.http.access import Access
from gateway.http.binding import bind
from gateway.schema import make_schema
from partners.clients import SCOPES, SCOPES_OF_KIND

PAGE: Final = (Path(__file__).parent.parent / "docs" / "api.md").read_text()
USUAL: Final = {"Query": 1, "Mutation": 10}
KINDS: Final = {"the members' app": "app"} | {kind: kind for kind in SCOPES_OF_KIND if kind != "app"}


def fields_of(root: str) -> dict[str, Access]:
    """The root fields of the schema, each with the terms it is given on."""
    schema, _ = bind(make_schema())
    type_ = {"Query": schema.query_type, "Mutation": schema.mutation_type}[root]
    assert type_ is not None
    known = {name: access_of(field) for name, field in type_.fields.items()}
    return {name: access for name, access in known.items() if access is not None}


def rows_below(heading: str) -> Iterator[list[str]]:
    """The rows of the first table below a heading, cell by cell."""
    section = PAGE.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| (.+) \|$", section, re.MULTILINE)
    return ([cell.strip() for cell in row.split(" | ")] for row in rows[1:])


def named_in(cell: str) -> set[str]:
    """What its code begins with: `operations(key:)` names `operations`."""
    return set(re.findall(r"`([\w:]+)", cell))


FIELDS: Final = fields_of("Query") | fields_of("Mutation")


def test_every_operation_is_told_with_the_scopes_that_open_it() -> None:
    told: dict[str, set[str]] = {}
    for _, scopes, operations in rows_below("Operations"):
        for name in named_in(operations) & FIELDS.keys():
            told.setdefault(name, set()).update(named_in(scopes))

    assert told == {name: set(access.scopes) for name, access in FIELDS.items()}


def test_who_may_ask_is_whoever_may_have_the_scope() -> None:
    for who, scopes, operations in rows_below("Operations"):
        named = named_in(scopes)

        assert named <= SCOPES, operations
        assert {KINDS[each] for each in who.split(", ")} == {
            kind for kind, its in SCOPES_OF_KIND.items() if not its.isdisjoint(named)
        }, operations


def test_every_price_is_told() -> None:
    dear = {name: cost for cost, names in rows_below("Limits") for name in named_in(names)}

    for root, usual in USUAL.items():
        for name, access in fields_of(root).items():
            assert f"{access.price:,}" == dear.get(name, str(usual)), name
    assert dear.keys() <= FIELDS.keys()
    assert "A question costs 1, a mutation 10," in PAGE
