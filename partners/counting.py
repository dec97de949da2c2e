"""Counting: which limits a till's request meets, those of the programme and those of its partner.

They are those in force now, not on the receipt's day: a late receipt or a quote is no way round them.
"""

from __future__ import annotations

from datetime import datetime

from ledger.commands import Counter

from .directory import Directory
from .limits import PROGRAMME, Limits, acting, burning, earning, issuing, scope_of


def counters_of_earn(directory: Directory, partner: int, points: int, *, at: datetime) -> tuple[Counter, ...]:
    """What an earn of `points` counts towards."""
    found = [
        each for limits, scope in _in_force(directory, partner, at) for each in earning(limits, scope, points)
    ]
    agreement = directory.agreement_at(partner, at)
    if agreement is not None and agreement.terms.issuance_limit_points is not None:
        terms = agreement.terms
        found.append(issuing(partner, points, agreement.terms.issuance_limit_points, terms.issuance_window))
    return tuple(found)


def counters_of_burn(directory: Directory, partner: int, points: int, *, at: datetime) -> tuple[Counter, ...]:
    """What a burn or a hold of `points` counts towards."""
    in_force = _in_force(directory, partner, at)
    return tuple([each for limits, scope in in_force for each in burning(limits, scope, points)])


def counters_of_act(directory: Directory, partner: int, *, at: datetime) -> tuple[Counter, ...]:
    """What any other act of a member counts towards."""
    return tuple(
        [each for limits, scope in _in_force(directory, partner, at) for each in acting(limits, scope)]
    )


def _in_force(directory: Directory, partner: int, at: datetime) -> list[tuple[Limits, str]]:
    found = []
    everywhere = directory.limits_at(at)
    if everywhere is not None:
        found.append((everywhere, PROGRAMME))
    agreement = directory.agreement_at(partner, at)
    if agreement is not None and agreement.terms.limits is not None:
        found.append((agreement.terms.limits, scope_of(partner)))
    return found
