"""Rows as objects without a session's ceremony: for what is read and written with every message.

A unit of work, a savepoint and a statement put together anew cost many times what SQLite needs to do the thing.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any, TypeVar

from sqlalchemy import Table, TextClause, bindparam, text
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import make_transient_to_detached

from store.tables import Base

Model = TypeVar("Model", bound=Base)


def detached(model: type[Model], columns: Mapping[str, Any]) -> Model:
    """The object of a row that was read, of no session. `columns` are all of its table's."""
    made = model(**columns)
    make_transient_to_detached(made)
    return made


async def insert_new(session: AsyncSession, model: type[Model], **values: Any) -> Model | None:
    """Insert a row, with its columns' defaults; None where a row with one of its unique keys is there already."""
    columns = _defaults(model) | values
    columns = {name: value(None) if callable(value) else value for name, value in columns.items()}
    number = await session.scalar(_insert(model), columns)
    return None if number is None else detached(model, columns | {"id": number})


@cache
def _defaults(model: type[Base]) -> dict[str, Any]:
    """By column; a default that is made anew for each row as the function that makes it."""
    return {one.name: getattr(one.default, "arg", None) for one in table_of(model).c if one.name != "id"}


@cache
def _insert(model: type[Base]) -> TextClause:
    """As text, because what every database understands here SQLAlchemy puts together anew each time."""
    columns = [one for one in table_of(model).c if one.name != "id"]
    names = ", ".join(f'"{one.name}"' for one in columns)
    values = ", ".join(f":{one.name}" for one in columns)
    said = f'INSERT INTO "{model.__tablename__}" ({names}) VALUES ({values}) ON CONFLICT DO NOTHING RETURNING id'  # noqa: S608
    return text(said).bindparams(*(bindparam(one.name, type_=one.type) for one in columns))


def table_of(model: type[Base]) -> Table:
    """A model's table, for statements that need no session's knowledge."""
    table = model.__table__
    assert isinstance(table, Table)  # noqa: S101 - for the type checker
    return table
