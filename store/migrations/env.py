"""Alembic's environment: runs on the connection that store.database hands over."""

from typing import Any, Literal

from alembic import context
from sqlalchemy.types import TypeDecorator

from store.tables import Base


def render_item(kind: str, item: Any, autogen_context: object) -> str | Literal[False]:
    """Migrations name plain SQL types, so they keep working when our column types change."""
    if kind == "type" and isinstance(item, TypeDecorator):
        length = getattr(item.impl, "length", None)
        return f"sa.{type(item.impl).__name__}({length or ''})"
    return False


connection = context.config.attributes["connection"]
context.configure(connection=connection, target_metadata=Base.metadata, render_as_batch=True, render_item=render_item)
with context.begin_transaction():
    context.run_migrations()
