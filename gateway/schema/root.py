"""The roots of the published schema, one part an audience, and how the whole is built and printed."""

from __future__ import annotations

from functools import cache

import strawberry
from strawberry.schema.config import StrawberryConfig

from gateway.context import Context, Info

from .access import query
from .adjustment import AdjustmentMutation, AdjustmentQuery
from .asof import AsOfQuery
from .batch import BatchMutation
from .clients import ClientMutation, ClientQuery
from .directory import MANAGE, READ, Agreement, Outlet, Partner, agreement_of, outlet_of, visible_partner
from .errors import ErrorCode
from .evidence import EvidenceMutation, EvidenceQuery
from .finance import READ as READ_SETTLEMENT
from .finance import FinanceMutation, FinanceQuery, Period, period_for
from .history import HistoryQuery
from .imports import ImportMutation, ImportQuery
from .limiting import LimitMutation
from .member import MemberMutation
from .moving import MovingMutation, MovingQuery
from .node import Id, Node, read_id
from .operation import Operation
from .operator import OperatorMutation, OperatorQuery
from .partner import OWN_OPERATIONS, TillMutation, TillQuery, operation_for
from .returns import ReturnMutation
from .scalars import SCALARS
from .support import SupportMutation

_READ_ANYTHING = tuple(dict.fromkeys((*OWN_OPERATIONS, READ, MANAGE, READ_SETTLEMENT)))


@strawberry.type(description="What can be asked.")
class Query(
    TillQuery,
    OperatorQuery,
    ClientQuery,
    FinanceQuery,
    ImportQuery,
    MovingQuery,
    EvidenceQuery,
    AdjustmentQuery,
    AsOfQuery,
    HistoryQuery,
):
    """Every question."""

    @query(
        *_READ_ANYTHING, description="Anything by its id; null when there is none that the caller may see."
    )
    async def node(self, info: Info, id: Id) -> Node | None:  # noqa: A002  # the published name
        """The thing that has this id."""
        found = read_id(id)
        if found is None:
            return None
        kind, number = found
        scopes = info.context.known_caller.scopes
        if kind == "Operation" and not scopes.isdisjoint(OWN_OPERATIONS):
            return await operation_for(info.context, number)
        if kind == "Period" and READ_SETTLEMENT in scopes:
            return await period_for(info.context, number)
        return None if scopes.isdisjoint({READ, MANAGE}) else await _in_directory(info.context, kind, number)


@strawberry.type(description="What can be done.")
class Mutation(
    TillMutation,
    ReturnMutation,
    BatchMutation,
    MemberMutation,
    OperatorMutation,
    ClientMutation,
    FinanceMutation,
    ImportMutation,
    MovingMutation,
    EvidenceMutation,
    LimitMutation,
    SupportMutation,
    AdjustmentMutation,
):
    """Every deed."""


async def _in_directory(context: Context, kind: str, number: int) -> Partner | Outlet | Agreement | None:
    """A partner, or what belongs to one, if the caller may see that partner."""
    directory = await context.shown_directory()
    if kind == "Partner":
        return await visible_partner(context, number)
    if kind == "Outlet":
        outlet = directory.outlets.get(number)
        return outlet_of(outlet) if outlet and await visible_partner(context, outlet.partner) else None
    if kind == "Agreement":
        agreement = directory.agreements.get(number)
        if agreement and await visible_partner(context, agreement.partner):
            return agreement_of(agreement, directory.programme.currency)
    return None


def make_schema() -> strawberry.Schema:
    """A schema of its own for whoever binds it."""
    return strawberry.Schema(
        query=Query,
        mutation=Mutation,
        types=[Operation, Partner, Outlet, Agreement, Period, ErrorCode],
        config=StrawberryConfig(scalar_map=SCALARS),
    )


@cache
def published() -> str:
    """The text of `schema.graphql`."""
    return make_schema().as_str() + "\n"
