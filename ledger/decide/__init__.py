"""Deciding: (wallet, command) → journal, or a refusal raised. Pure: no SQL, no clock, no waiting."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import msgspec

from ledger.commands import (
    Adjust,
    ArmExpiry,
    Arrive,
    Authorize,
    Burn,
    Capture,
    Command,
    Conclude,
    Donate,
    Earn,
    Freeze,
    Grant,
    Merge,
    Novate,
    Open,
    PassFence,
    PostMoney,
    ReturnPurchase,
    Reverse,
    Settle,
    Transfer,
    Unfreeze,
    Void,
)
from ledger.counters import count
from ledger.journal import Journal
from ledger.refusals import MemberFrozen
from ledger.wallet import Wallet

from . import (
    adjusting,
    arming,
    burning,
    earning,
    freezing,
    granting,
    novating,
    opening,
    returning,
    reversing,
    travelling,
)
from .due import next_due
from .recovering import recover
from .situation import Situation
from .travelling import follow

__all__ = [
    "NEEDS_WHOLE_WALLET",
    "Situation",
    "decide",
    "follow",
    "follows_survivor",
    "kind_of",
    "next_due",
    "recover",
]

_DECIDERS: Final[dict[type[Command], tuple[str, Callable[[Wallet, Any, Situation], Journal]]]] = {
    Earn: ("earn", earning.earn),
    Authorize: ("authorize", burning.authorize),
    Capture: ("capture", burning.capture),
    Void: ("void", burning.void),
    Burn: ("burn", burning.burn),
    Open: ("opening", opening.open_balance),
    Transfer: ("transfer", travelling.transfer),
    Merge: ("merge", travelling.merge),
    Arrive: ("arrive", travelling.arrive),
    Conclude: ("conclude", travelling.conclude),
    Novate: ("novate", novating.novate),
    ArmExpiry: ("arm_expiry", arming.arm_expiry),
    ReturnPurchase: ("return", returning.return_purchase),
    Reverse: ("reverse", reversing.reverse),
    Donate: ("donate", burning.donate),
    Grant: ("grant", granting.grant),
    Adjust: ("adjust", adjusting.adjust),
    Freeze: ("freeze", freezing.freeze),
    Unfreeze: ("unfreeze", freezing.unfreeze),
}

_KINDS: Final[dict[type[Command], str]] = {
    **{command: kind for command, (kind, _) in _DECIDERS.items()},
    Settle: "settle",
    PassFence: "pass_fence",
    PostMoney: "money",
}

NEEDS_WHOLE_WALLET: Final = frozenset(
    {
        Authorize,
        Capture,
        Void,
        Burn,
        Donate,
        Adjust,
        ReturnPurchase,
        Reverse,
        Transfer,
        Merge,
        Arrive,
        Novate,
        ArmExpiry,
    }
)
"""Commands that read lots or holds; an earn gets by with the balances."""

_FOLLOWS_SURVIVOR: Final = frozenset(
    {Earn, Authorize, Burn, Donate, Grant, Adjust, Freeze, Unfreeze, Transfer, Arrive}
)
_DESPITE_FREEZE: Final = frozenset(
    {Capture, Void, ReturnPurchase, Reverse, Adjust, Freeze, Unfreeze, Conclude, Novate, ArmExpiry}
)
"""What no member asks for, or what goods went over the counter for: it must not wait for a freeze to end."""


def follows_survivor(command: Command) -> bool:
    """Whether a command that names a merged member means the survivor.

    What concerns a hold, a purchase or a transit stays where that is; whatever it gives to the
    merged member sets off to the survivor by itself.
    """
    return type(command) in _FOLLOWS_SURVIVOR


def kind_of(command: Command) -> str:
    """The name of a command's operation, as it is stored."""
    return _KINDS[type(command)]


def decide(wallet: Wallet, command: Command, situation: Situation) -> Journal:
    """What `command` does to `wallet`. Everything due before it has been applied already.

    Raises a `Refusal` when a rule says no; then nothing happens, and nothing is counted.
    """
    if wallet.is_frozen and not _is_despite_freeze(command):
        raise MemberFrozen
    journal = _DECIDERS[type(command)][1](wallet, command, situation)
    return _counted(wallet, command, situation, journal) if command.counters else journal


def _counted(wallet: Wallet, command: Command, situation: Situation, journal: Journal) -> Journal:
    """The journal with what the command's counters come to."""
    counted = count(
        command.counters,
        wallet.counts,
        situation.escrow,
        bucket=command.bucket,
        at=situation.at,
        zone=situation.zone,
    )
    return msgspec.structs.replace(journal, counted=counted)


def _is_despite_freeze(command: Command) -> bool:
    return type(command) in _DESPITE_FREEZE or (isinstance(command, Arrive) and command.sort == "merge")
