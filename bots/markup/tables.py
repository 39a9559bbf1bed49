"""A table as fixed-width text: columns as wide as their widest cell, a rule under the head. Knows no platform."""

from __future__ import annotations

from collections.abc import Sequence

from bots.markup.characters import columns


def table_text(rows: Sequence[Sequence[str]], *, padded: bool = True) -> str:
    """The rows, the first of them the head. Unpadded it takes no more room than its source."""
    if not padded:
        return "\n".join("|".join(row) for row in rows)
    wide = [max(columns(row[at]) for row in rows if at < len(row)) for at in range(max(map(len, rows)))]
    lines = [" │ ".join(_filled(cell, wide[at]) for at, cell in enumerate(row)).rstrip() for row in rows]
    return "\n".join([lines[0], "─┼─".join("─" * width for width in wide), *lines[1:]])


def _filled(cell: str, width: int) -> str:
    return cell + " " * (width - columns(cell))
