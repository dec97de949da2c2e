"""A person's operations, page by page, for the operator's side."""

from __future__ import annotations

from typing import Annotated

import strawberry

from gateway.context import Info
from ledger.kernel.refusals import InvalidInput
from members import MemberNotFound

from .access import query
from .directory import MANAGE
from .node import First, PageInfo, page_size, read_id
from .operation import KIND, Operation, recorded_operation

OfMember = Annotated[
    strawberry.ID, strawberry.argument(description="The member's handle, as this caller was given it.")
]
AfterOperation = Annotated[
    strawberry.ID | None,
    strawberry.argument(description="The `endCursor` of the page before, or any operation; else the newest."),
]


@strawberry.type(description="A page of operations, newest first.")
class OperationConnection:
    """Operations by key: the cursor is the id of the last one."""

    nodes: list[Operation] = strawberry.field(description="The operations.")
    page_info: PageInfo = strawberry.field(description="Where this page stands.")


@strawberry.type
class HistoryQuery:
    """What happened to a member."""

    # Not for partners: history is found by member, not by member and partner, so that a page of
    # one partner's own operations could mean reading everything that happened to the member.
    @query(
        MANAGE,
        description=(
            "A member's operations in the order in which they were recorded, newest first, with those of "
            "members merged into it; null when there is no such member."
        ),
    )
    async def member_history(
        self, info: Info, member: OfMember, first: First = 20, after: AfterOperation = None
    ) -> OperationConnection | None:
        """A page, archived months included."""
        context, size = info.context, page_size(first)
        before = None if after is None else _operation_number(after)
        try:
            number = context.services.handles.open(context.namer, member)
        except MemberNotFound:
            return None
        found = await context.services.ledger.history(number, before=before, limit=size + 1)
        nodes = [recorded_operation(each) for each in found[:size]]
        end = nodes[-1].id if nodes else None
        return OperationConnection(
            nodes=nodes, page_info=PageInfo(has_next_page=len(found) > size, end_cursor=end)
        )


def _operation_number(after: str) -> int:
    cursor = read_id(after)
    if cursor is None or cursor[0] != KIND:
        raise InvalidInput("not a cursor", field=("after",))
    return cursor[1]
