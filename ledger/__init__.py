"""The ledger: what is owed, for ever. It accepts commands, decides, appends, and proves."""

from . import fence, flows, leaving, notices, records, stock
from .commands import (
    ArmExpiry,
    Authorize,
    Burn,
    Capture,
    Command,
    Earn,
    Item,
    LineReturned,
    Merge,
    MoneyLine,
    Novate,
    Open,
    OpeningLot,
    PassFence,
    PostMoney,
    ReceiptKey,
    Refused,
    ReturnPurchase,
    Reverse,
    Settle,
    Transfer,
    Void,
)
from .engine import Ledger
from .flows import Flow
from .lane import LedgerFault
from .outcomes import Balance, LineBack, LotBack, Outcome, Returned, SliceTaken
from .records import Recorded
from .stock import Stock
from .transits import Transit

__all__ = [
    "ArmExpiry",
    "Authorize",
    "Balance",
    "Burn",
    "Capture",
    "Command",
    "Earn",
    "Flow",
    "Item",
    "Ledger",
    "LedgerFault",
    "LineBack",
    "LineReturned",
    "LotBack",
    "Merge",
    "MoneyLine",
    "Novate",
    "Open",
    "OpeningLot",
    "Outcome",
    "PassFence",
    "PostMoney",
    "ReceiptKey",
    "Recorded",
    "Refused",
    "ReturnPurchase",
    "Returned",
    "Reverse",
    "Settle",
    "SliceTaken",
    "Stock",
    "Transfer",
    "Transit",
    "Void",
    "accounts",
    "fence",
    "flows",
    "leaving",
    "notices",
    "proof",
    "records",
    "stock",
]
