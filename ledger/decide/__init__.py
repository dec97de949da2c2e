"""Deciding: (wallet, command) → journal, or a refusal raised. Pure: no SQL, no clock, no waiting."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from ledger.commands import Authorize, Burn, Capture, Command, Earn, Open, PassFence, PostMoney, Settle, Void
from ledger.journal import Journal
from ledger.refusals import MemberFrozen
from ledger.wallet import Wallet

from . import burning, earning, opening
from .due import next_due
from .situation import Situation

__all__ = ["NEEDS_WHOLE_WALLET", "Situation", "decide", "kind_of", "next_due"]

_DECIDERS: Final[dict[type[Command], tuple[str, Callable[[Wallet, Any, Situation], Journal]]]] = {
    Earn: ("earn", earning.earn),
    Authorize: ("authorize", burning.authorize),
    Capture: ("capture", burning.capture),
    Void: ("void", burning.void),
    Burn: ("burn", burning.burn),
    Open: ("opening", opening.open_balance),
}

_KINDS: Final[dict[type[Command], str]] = {
    **{command: kind for command, (kind, _) in _DECIDERS.items()},
    Settle: "settle",
    PassFence: "pass_fence",
    PostMoney: "money",
}

NEEDS_WHOLE_WALLET: Final = frozenset({Authorize, Capture, Void, Burn})
"""Commands that read lots or holds; an earn gets by with the balances."""


def kind_of(command: Command) -> str:
    """The name of a command's operation, as it is stored."""
    return _KINDS[type(command)]


def decide(wallet: Wallet, command: Command, situation: Situation) -> Journal:
    """What `command` does to `wallet`. Everything due before it has been applied already.

    Raises a `Refusal` when a rule says no; then nothing happens.
    """
    if wallet.is_frozen:
        raise MemberFrozen
    return _DECIDERS[type(command)][1](wallet, command, situation)
