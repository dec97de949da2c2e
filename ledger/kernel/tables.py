"""The one table of the kernel: programme time and who moves it."""

from __future__ import annotations

from typing import Final

from sqlalchemy import Boolean, CheckConstraint, Column, DateTime, SmallInteger, Table

from .database import metadata

clock: Final = Table(
    "clock",
    metadata,
    Column("id", SmallInteger, primary_key=True, autoincrement=False),
    Column("is_driven", Boolean, nullable=False),
    Column("now", DateTime(timezone=True), nullable=False),
    CheckConstraint("id = 1", name="one_row"),
)
"""One row. `now` is programme time when `is_driven`; otherwise the moment of installation."""
