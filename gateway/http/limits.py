"""How much one request may ask of the gateway."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """The bounds of a request and the budget of a client.

    `body_bytes` holds 500 receipts of a dozen lines, the longest batch that is allowed.
    `fields` counts a document's fields with fragments spread out, so that fragments cannot
    multiply; `repeats` is how often the same one may stand at one place, and `definitions` how
    many operations and fragments there may be. `remembered_characters` is how much source the
    document cache holds; what is not in it is read at the expense of its client, who has
    `read_characters` at once; a short one counts as `read_characters_at_least`, since much of the
    work of reading is the same for all. The budget is a bucket of `budget` points of cost per
    client that fills by `restore_per_second`; a mutation costs 10, an item of a batch 1, and so
    do `variable_bytes` of variables that graphql-core has to read, since the plan cannot.
    """

    body_bytes: int = 4 * 1024 * 1024
    source_characters: int = 100_000
    tokens: int = 4_000
    depth: int = 16
    aliases: int = 30
    fields: int = 2_000
    repeats: int = 20
    definitions: int = 100
    remembered_characters: int = 500_000
    budget: int = 1_000_000
    restore_per_second: int = 100_000
    variable_bytes: int = 5
    read_characters: int = 250_000
    read_characters_per_second: int = 25_000
    read_characters_at_least: int = 250
