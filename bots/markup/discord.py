"""Markdown for Discord, whose own kind knows no tables, images, task lists, small headings or fences of tildes.

Promises: what Discord would show otherwise than it was meant is written in a way that it shows: a table as fixed-width
text, an image as a link, the smallest headings as small ones; all else stays as the assistant wrote it. Nobody is
mentioned: what would become a mention keeps its looks but for an invisible character. Each part has 1 to 2000
characters, not only blanks. What goes out is free of characters that reorder text; see bots/markup/characters.py.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from markdown_it.token import Token
from markdown_it.tree import SyntaxTreeNode

from bots.markup.blocks import block_tokens, reader
from bots.markup.characters import NAME, ZERO_WIDTH_SPACE, sendable
from bots.markup.splitting import Piece, fitting
from bots.markup.tables import rows_of, table_text

LIMIT = 2000
"""Characters of a message."""
_MENTION = re.compile(r"@(?=everyone|here)|<(?:@[!&]?|#)(?=\d)|<(?=/[^<>\n]{1,100}:\d)")
_BACKTICKS = re.compile(r"`+")
_LINE_BEGINS = re.compile(
    r"^(?:(?P<quote> {0,3}>)(?=>)|(?P<item>[ \t]*(?:[-*+]|\d{1,9}[.)])[ \t]+)\[(?P<task>[ xX])\](?=[ \t])|-(?=#[ \t]))",
    re.MULTILINE,
)
_ALT = r"!\[((?:\\.|[^\[\]\\\n]){0,300})\]"
_ADDRESS = r"\((<[^<>\n]{1,600}>|[^()\s]{1,600})(?:[ \t]+[\"'(][^\n]{0,100}?[\"')])?\)"
_IMAGE = re.compile(rf"(?<!\\){_ALT}{_ADDRESS}")
_LINKED_IMAGE = re.compile(rf"(?<![\\!])\[{_ALT}{_ADDRESS}\](?=\()")
_GROWING = re.compile(r"[@<_`~\\#-]|    |\t")
_BRACKETS = re.compile(r"[\[\]]")
_LINE_BREAK = re.compile(r"(?<![\\#*+>\s-])((?:\\\\)*)\\\n(?=[ \t>]*[^\s>])")
_STRONG = re.compile(r"(?<![\w\\_])__(?=[^\s_])(?=[^_\n]*[^\W_])([^_\n]{1,300}?)(?<=[^\s_])__(?![\w_])")
_BARS = re.compile(r"(?<!\\)\|\|")

_KNOWN_AS = {("list_item_open", "+"): "-", **{("heading_open", "#" * level): "###" for level in (4, 5, 6)}}
"""Blocks that begin otherwise at Discord."""
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
    added = 8 * (len(_GROWING.findall(piece.text)) + 1)  # the most that any of these grows by
    if "|" not in piece.text and len(piece.text) + added <= LIMIT:
        return True
    return len(_rendered(piece.text)) <= LIMIT


def plain(text: str) -> str:
    """`text` as it stands, for Discord to read as it likes; no mentions where there is room to break them."""
    harmless = _outside_code(sendable(text), _without_mentions).strip()
    return harmless if len(harmless) <= LIMIT else sendable(text).strip()


def _rendered(markdown: str) -> str:
    """With the parts that Discord does not know in its own terms."""
    source = sendable(markdown)
    lines = source.split("\n")
    tokens = block_tokens(source)
    for token in tokens:
        known = _KNOWN_AS.get((token.type, token.markup))
        if known is not None and token.map is not None:
            lines[token.map[0]] = lines[token.map[0]].replace(token.markup, known, 1)
    written = []
    for kept, first, last in _segments(tokens, len(lines)):
        whole = "\n".join(lines[first:last])
        written.append(_text(whole) if kept is None else _kept_block(kept, whole))
    return "\n".join(written).strip()


def _segments(tokens: list[Token], lines: int) -> Iterator[tuple[Token | None, int, int]]:
    """All lines in their order: fences, tables and indented code with their token, other blocks without."""
    done = 0
    for token in tokens:
        kept = token.type in ("fence", "code_block", "table_open")
        if token.map is None or token.map[0] < done or not (kept or token.type in ("inline", "heading_open")):
            continue
        first, last = token.map
        if first > done:
            yield None, done, first
        yield (token if kept else None), first, last
        done = last
    if done < lines:
        yield None, done, lines


def _kept_block(token: Token, source: str) -> str:
    """What stands by itself in Discord's own terms; within lists and quotes it stays as it is."""
    if token.level:
        return source
    if token.type == "table_open":
        table = SyntaxTreeNode(_PARSER.parse(source)).children[0]
        return f"```\n{_harmless_code(table_text(rows_of(table)))}\n```"
    if token.type == "code_block":
        return f"```\n{_harmless_code(token.content.rstrip())}\n```"
    first, _, rest = source.rpartition("\n")
    closed = bool(first) and rest.strip(" \t>").startswith(token.markup)
    if token.markup != "```" or not closed:
        info = token.info.strip()
        begin = f"```\n{_harmless_code(info)}" if "`" in info else f"```{info}"
        return f"{begin}\n{_harmless_code(token.content.removesuffix(chr(10)))}\n```"
    return source


def _harmless_code(code: str) -> str:
    """Code that cannot end its own block."""
    return code.replace("```", f"``{ZERO_WIDTH_SPACE}`")


def _text(text: str) -> str:
    """Lines that are not code, with inline code as it is."""
    text = _at_lines(text)
    text = _with_links_for_pictures(text, _LINKED_IMAGE)
    text = _with_links_for_pictures(text, _IMAGE)
    last = len(text) - len(text.rstrip("\\"))
    return _outside_code(text + "\\" * (last % 2), _inline)  # a backslash at the end is meant as one


def _at_lines(text: str) -> str:
    """Lines that begin in a way of their own: quotes (three in a row would quote all that follows), tasks, and what
    would be small print."""
    code = list(_code_spans(text))

    def changed(found: re.Match[str]) -> str:
        if any(start < found.start() < end for start, end in code):
            return found[0]
        if found["task"] is not None:
            return found["item"] + ("☐" if found["task"] == " " else "☑")
        return f"{found['quote']} " if found["quote"] is not None else "\\-"

    return _LINE_BEGINS.sub(changed, text)


def _outside_code(text: str, change: Callable[[str], str]) -> str:
    """`text` with all of it changed that is not inline code."""
    done, written = 0, []
    for start, end in _code_spans(text):
        written += [change(text[done:start]), text[start:end]]
        done = end
    return "".join([*written, change(text[done:])])


def _code_spans(text: str) -> Iterator[tuple[int, int]]:
    """Where inline code begins and ends: backticks up to the next run of as many, but for those in links."""
    if "`" not in text:
        return
    runs = []
    for found in _BACKTICKS.finditer(text):
        backslashes = found.start() - len(text[: found.start()].rstrip("\\"))
        runs.append((found.start() + backslashes % 2, *found.span()))
    at = 0
    for code in _codes(_PARSER.parseInline(text)):
        for opening, closing in _pairs(runs, at, len(code.markup)):
            start, end = runs[opening][0], runs[closing][2]
            if _code(text[runs[opening][2] : runs[closing][1]]) == code.content:
                yield start, end
                at = closing + 1
                break


def _codes(tokens: list[Token]) -> Iterator[Token]:
    for token in tokens:
        if token.type == "code_inline":
            yield token
        yield from _codes(token.children or [])


def _pairs(runs: list[tuple[int, int, int]], first: int, length: int) -> Iterator[tuple[int, int]]:
    """Runs that may open code, each with the one that closes it. A run is where it opens, begins and ends."""
    for opening in range(first, len(runs)):
        if runs[opening][2] - runs[opening][0] == length:
            for closing in range(opening + 1, len(runs)):
                if runs[closing][2] - runs[closing][1] == length:
                    yield opening, closing
                    break


def _code(inner: str) -> str:
    """What stands between backticks, as Markdown shows it."""
    said = inner.replace("\n", " ")
    return said[1:-1] if said.startswith(" ") and said.endswith(" ") and said.strip() else said


def _with_links_for_pictures(text: str, pattern: re.Pattern[str]) -> str:
    """A picture is a link with its description, a linked picture the link; within other brackets it stays as it is."""
    masked = text
    for start, end in _code_spans(text):
        masked = masked[:start] + "\0" * (end - start) + masked[end:]
    done, depth, written = 0, 0, []
    for found in pattern.finditer(masked):
        for bracket in _BRACKETS.findall(masked, done, found.start()):
            depth = max(0, depth + (1 if bracket == "[" else -1))
        name, address = (text[slice(*found.span(group))] for group in (1, 2))
        shown = name if name.strip() else address.strip("<>")
        if depth:
            link = text[slice(*found.span())]
        elif pattern is _LINKED_IMAGE:
            link = f"[{shown}]"
        else:
            link = f"[{name}]({address})" if name.strip() else shown
        written += [text[done : found.start()], link]
        done = found.end()
    return "".join([*written, text[done:]])


def _inline(text: str) -> str:
    text = _LINE_BREAK.sub(r"\1\n", text)
    text = NAME.sub(lambda found: r"\_\_" + found[0][2:-2] + r"\_\_", text)
    text = _STRONG.sub(r"**\1**", text)
    return _without_mentions(_without_accidental_spoilers(text))


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
    return _MENTION.sub(lambda found: found[0] + ZERO_WIDTH_SPACE, text)
