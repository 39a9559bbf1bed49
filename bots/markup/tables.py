"""A table as fixed-width text: columns as wide as their widest cell, a rule under the head. Knows no platform."""

from __future__ import annotations

from collections.abc import Sequence

from markdown_it.tree import SyntaxTreeNode

from bots.markup.characters import columns, shows


def rows_of(table: SyntaxTreeNode) -> list[list[str]]:
    """A table's cells as text, its head first. The addresses of links are written out: fixed-width text has none."""
    return [[_said(cell) for cell in row.children] for part in table.children for row in part.children]


def alternative(image: SyntaxTreeNode) -> str:
    """What stands for a picture: its description, as text."""
    return "".join(
        alternative(child) if child.children else (" " if child.type.endswith("break") else child.content)
        for child in image.children
    )


def _said(node: SyntaxTreeNode) -> str:
    if node.type in ("text", "code_inline"):
        return node.content
    said = alternative(node) if node.type == "image" else "".join(_said(child) for child in node.children)
    address = str(node.attrs.get("href" if node.type == "link" else "src", ""))
    if not address or address == said:
        return said
    return f"{said} ({address})" if shows(said) else said + address


def table_text(rows: Sequence[Sequence[str]], *, padded: bool = True) -> str:
    """The rows, the first of them the head. Unpadded it takes no more room than its source."""
    if not padded:
        return "\n".join("|".join(row) for row in rows)
    wide = [max(columns(row[at]) for row in rows if at < len(row)) for at in range(max(map(len, rows)))]
    lines = [" │ ".join(_filled(cell, wide[at]) for at, cell in enumerate(row)).rstrip() for row in rows]
    return "\n".join([lines[0], "─┼─".join("─" * width for width in wide), *lines[1:]])


def _filled(cell: str, width: int) -> str:
    return cell + " " * (width - columns(cell))
