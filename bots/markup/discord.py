"""Markdown for Discord, whose own kind knows no tables, images, task lists, small headings or fences of tildes.

Promises: what Discord would show otherwise than it was meant is written in a way that it shows: a table as fixed-width
text, an image as a link, a small heading in bold; all else stays as the assistant wrote it. Nobody is mentioned: what
would become a mention keeps its looks but for an invisible character. Each part has 1 to 2000 characters, not only
blanks. What goes out is free of characters that reorder text; see bots/markup/characters.py.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from markdown_it.token import Token
from markdown_it.tree import SyntaxTreeNode

from bots.markup.blocks import block_tokens, reader
from bots.markup.characters import NAME, ZERO_WIDTH_SPACE, sendable
from bots.markup.splitting import Piece, fitting
from bots.markup.tables import rows_of, table_text

LIMIT = 2000
"""Characters of a message."""
_MENTION = re.compile(r"@(?=everyone|here)|<(?:@[!&]?|#)(?=\d)|</(?=[^<>\n]{1,100}:\d)")
_CODE = re.compile(r"(?<![\\`])(`+)(?!`)(?:(?!\n[ \t]*\n).){1,2000}?(?<!`)\1(?!`)", re.DOTALL)
_HEADING = re.compile(r"^( {0,3})#{4,6}[ \t]+(.*?)[ \t]*#*[ \t]*$", re.MULTILINE)
_QUOTES = re.compile(r"^( {0,3}>)(?=>)", re.MULTILINE)
_BULLET = re.compile(r"^([ \t]*)\+(?=[ \t])", re.MULTILINE)
_TASK = re.compile(r"^([ \t]*(?:[-*+]|\d{1,9}[.)])[ \t]+)\[([ xX])\](?=[ \t])", re.MULTILINE)
_SMALL = re.compile(r"^-(?=#[ \t])", re.MULTILINE)
_IMAGE = re.compile(
    r"(?<!\\)!\[([^\[\]\n]{0,300})\]"
    r"\((<[^<>\n]{1,600}>|[^()\s]{1,600})(?:[ \t]+[\"'(][^\n]{0,100}?[\"')])?\)(?!\]\()"
)
_STRONG = re.compile(r"(?<![\w\\_])__(?=[^\s_])([^_\n]{1,300}?)(?<=[^\s_])__(?![\w_])")
_BARS = re.compile(r"(?<!\\)\|\|")

_PARSER = reader()


def split(markdown: str) -> list[str]:
    """The messages that together say all of `markdown`, ready to be sent; none where it shows nothing."""
    return [render(piece) for piece in pieces(markdown) if piece.text]


def pieces(markdown: str) -> list[Piece]:
    """The same with their sources: `joined(pieces(markdown)) == markdown`."""
    return fitting(markdown, LIMIT, len, lambda text: formatted(Piece(text)))


def render(piece: Piece) -> str:
    """A piece as it is sent."""
    return _rendered(piece.text) if formatted(piece) else plain(piece.text)


def formatted(piece: Piece) -> bool:
    """Whether there is room for what Discord needs to show it as it is meant."""
    return len(_rendered(piece.text)) <= LIMIT


def plain(text: str) -> str:
    """`text` as it stands, for Discord to read as it likes; no mentions where there is room to break them."""
    harmless = _without_mentions(sendable(text)).strip()
    return harmless if len(harmless) <= LIMIT else sendable(text).strip()


def _rendered(markdown: str) -> str:
    """With the parts that Discord does not know in its own terms."""
    source = sendable(markdown)
    lines = source.split("\n")
    blocks: list[str] = []
    done = 0
    for token, first, last in _kept(block_tokens(source)):
        if first > done:
            blocks.append(_text("\n".join(lines[done:first])))
        blocks.append(_kept_block(token, lines[first:last]))
        done = last
    if done < len(lines):
        blocks.append(_text("\n".join(lines[done:])))
    return "\n".join(blocks).strip()


def _kept(tokens: list[Token]) -> Iterator[tuple[Token, int, int]]:
    """Fences anywhere, and tables and indented code that stand by themselves, with their lines."""
    for token in tokens:
        alone = token.level == 0 and token.type in ("table_open", "code_block")
        if token.map is not None and (token.type == "fence" or alone):
            yield token, token.map[0], token.map[1]


def _kept_block(token: Token, lines: list[str]) -> str:
    if token.type == "table_open":
        table = SyntaxTreeNode(_PARSER.parse("\n".join(lines))).children[0]
        return f"```\n{_harmless_code(table_text(rows_of(table)))}\n```"
    if token.type == "code_block":
        return f"```\n{_harmless_code(token.content.rstrip())}\n```"
    closed = len(lines) > 1 and lines[-1].strip(" \t>").startswith(token.markup)
    if token.level == 0 and (token.markup != "```" or not closed):
        return f"```{token.info.strip()}\n{_harmless_code(token.content.removesuffix(chr(10)))}\n```"
    return "\n".join(lines)


def _harmless_code(code: str) -> str:
    """Code that cannot end its own block."""
    return code.replace("```", f"``{ZERO_WIDTH_SPACE}`")


def _text(text: str) -> str:
    """Lines that are not code, with inline code as it is."""
    text = _HEADING.sub(_bold_heading, text)
    text = _QUOTES.sub(r"\1 ", text)  # three of them in a row would quote all that follows
    text = _TASK.sub(lambda found: found[1] + ("☐" if found[2] == " " else "☑"), text)
    text = _BULLET.sub(r"\1-", text)
    text = _SMALL.sub(r"\\-", text)
    done, written = 0, []
    for code in _CODE.finditer(text):
        written += [_inline(text[done : code.start()]), code[0]]
        done = code.end()
    return "".join([*written, _inline(text[done:])])


def _bold_heading(found: re.Match[str]) -> str:
    said = found[2]
    if not said or said.endswith("\\") or said.count("**") % 2 or "***" in said:
        return found[0]
    return f"{found[1]}**{said.replace('**', '')}**"


def _inline(text: str) -> str:
    text = _IMAGE.sub(lambda found: f"[{found[1]}]({found[2]})" if found[1].strip() else found[2].strip("<>"), text)
    text = NAME.sub(lambda found: r"\_\_" + found[0][2:-2] + r"\_\_", text)
    text = _STRONG.sub(r"**\1**", text)
    return _without_mentions_in_text(_without_accidental_spoilers(text))


def _without_accidental_spoilers(text: str) -> str:
    """Two bars that stand for 'or' hide nothing: hidden text has no space at its inner sides."""
    bars = [found.start() for found in _BARS.finditer(text)]
    hiding: set[int] = set()
    at = 0
    while at < len(bars):
        begin = bars[at]
        if text[begin + 2 : begin + 3].strip():
            end = next(
                (n for n in range(at + 1, len(bars)) if bars[n] > begin + 2 and not text[bars[n] - 1].isspace()), None
            )
            if end is not None:
                hiding |= {begin, bars[end]}
                at = end
        at += 1
    return _BARS.sub(lambda found: "||" if found.start() in hiding else r"\|\|", text)


def _without_mentions(text: str) -> str:
    done, written = 0, []
    for code in _CODE.finditer(text):
        written += [_without_mentions_in_text(text[done : code.start()]), code[0]]
        done = code.end()
    return "".join([*written, _without_mentions_in_text(text[done:])])


def _without_mentions_in_text(text: str) -> str:
    return _MENTION.sub(lambda found: found[0] + ZERO_WIDTH_SPACE, text)
