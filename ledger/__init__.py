"""The ledger: what is owed, for ever. It accepts commands, decides, appends, and proves."""
