"""Who may do what with a table: every migration says it beside the table it makes."""

from __future__ import annotations

from dataclasses import dataclass

from alembic import op


@dataclass(frozen=True, slots=True, kw_only=True)
class Roles:
    """The database roles of an installation, as its URLs name them."""

    owner: str
    writer: str
    reader: str


def grant(what: str, *, writer: str = "", reader: str = "") -> None:
    """Grant privileges on `what` to the writer and the reader; an empty string grants nothing.

    `what` is a table, or anything GRANT names: `grant("FUNCTION f(date)", writer="EXECUTE")`.
    Privileges are written as in SQL, columns included: `"SELECT, UPDATE (now)"`.
    """
    roles = present_roles()
    for role, privileges in ((roles.writer, writer), (roles.reader, reader)):
        if privileges:
            op.execute(f"GRANT {privileges} ON {what} TO {quoted(role)}")


def owner_function(signature: str) -> None:
    """Let the writer, and nobody else, call a SECURITY DEFINER function: `owner_function("f(date)")`."""
    op.execute(f"REVOKE ALL ON FUNCTION {signature} FROM PUBLIC")
    grant(f"FUNCTION {signature}", writer="EXECUTE")


def present_roles() -> Roles:
    """The roles of the migration that is running."""
    config = op.get_context().config
    assert config is not None, "migrations run through gateway.migrations.upgrade"
    roles = config.attributes["roles"]
    assert isinstance(roles, Roles)
    return roles


def quoted(name: str) -> str:
    """`name` as an SQL identifier."""
    return '"' + name.replace('"', '""') + '"'
