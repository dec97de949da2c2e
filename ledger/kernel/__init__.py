"""Ground under the ledger: ids, points and money values, rounding, refusals, clocks, database."""
