"""What Alembic runs: the chain on the connection it is given, one transaction a migration."""

from __future__ import annotations

from alembic import context

from gateway.migrations.tables import is_ours, metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    transaction_per_migration=True,
    include_name=is_ours,
)
context.run_migrations()
