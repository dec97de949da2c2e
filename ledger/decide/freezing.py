"""Freezing: a member neither earns nor spends until support lets go. Nothing is taken or lost by it."""

from __future__ import annotations

from ledger.commands import Freeze, Unfreeze
from ledger.journal import Journal
from ledger.wallet import Wallet

from .situation import Situation


def freeze(_wallet: Wallet, _command: Freeze, _situation: Situation) -> Journal:
    """Stop the wallet; once more is recorded, with its own reason, and changes nothing."""
    return Journal(kind="freeze", points=0, freezes=True)


def unfreeze(_wallet: Wallet, _command: Unfreeze, _situation: Situation) -> Journal:
    """Let the wallet go on."""
    return Journal(kind="unfreeze", points=0, freezes=False)
