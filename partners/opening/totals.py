"""Control totals: what an import took over, beside what its file claims to hold."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec


class Totals(msgspec.Struct, frozen=True, kw_only=True):
    """Members, and points by issuer (its partner id)."""

    members: int = 0
    points: Mapping[int, int] = {}

    def plus(self, other: Totals) -> Totals:
        """Both together."""
        points = dict(self.points)
        for issuer, more in other.points.items():
            points[issuer] = points.get(issuer, 0) + more
        return Totals(members=self.members + other.members, points=dict(sorted(points.items())))


class Control(msgspec.Struct, frozen=True, kw_only=True):
    """What the file claims; None and absent issuers claim nothing."""

    members: int | None = None
    points: Mapping[int, int] = {}

    def over(self, earlier: Control) -> Control:
        """This claim, and of an earlier one what this says nothing of."""
        members = earlier.members if self.members is None else self.members
        return Control(members=members, points={**earlier.points, **self.points})


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """A claim that what was taken over does not meet: of an issuer's points, or of members (None)."""

    issuer: int | None
    claimed: int
    found: int


def differences(found: Totals, claimed: Control) -> list[Difference]:
    """Where they differ: members first, then issuers in order."""
    differ = []
    if claimed.members is not None and claimed.members != found.members:
        differ.append(Difference(issuer=None, claimed=claimed.members, found=found.members))
    for issuer, points in sorted(claimed.points.items()):
        if points != found.points.get(issuer, 0):
            differ.append(Difference(issuer=issuer, claimed=points, found=found.points.get(issuer, 0)))
    return differ
