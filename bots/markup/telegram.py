"""Markdown for Telegram: text with entities, which cannot be left unclosed as Telegram's own Markdown can.

Promises: nothing that was said is lost (HTML, link definitions and links that Telegram would drop are shown as text);
entities obey the Bot API's rules: UTF-16 offsets on whole characters, properly nested, code and preformatted text
alone, at most 100 in a message; each part fits into 4096 units, formatted and plain. What goes out is free of
characters that reorder text; see bots/markup/characters.py.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import accumulate

from markdown_it.rules_inline import StateInline
from markdown_it.tree import SyntaxTreeNode

from bots.markup.blocks import DEEPEST, reader
from bots.markup.characters import NAME, sendable, shows, utf16_len
from bots.markup.entities import Entity, Runs, Style
from bots.markup.splitting import Piece, fitting
from bots.markup.tables import alternative, rows_of, table_text
from bots.outlet import Part

LIMIT = 4096
"""UTF-16 units of a message."""
MOST_ENTITIES = 100
RULE, BULLET = "———", "• "
_LANGUAGE = re.compile(r"[\w+#.-]{1,32}")
_LINKABLE = re.compile(r"https?://[^/\s]|mailto:[^\s]|tel:[^\s]|tg://[^\s]", re.IGNORECASE)
_BACKTICKS = re.compile(r"`+")
_GROWS = re.compile(r"\||[-*+.)][ \t]+(?:[-*+]|\d{1,9}[.)])(?:\s|$)")
_MARKS = re.compile(r"[*_~\[<>]")
_TASK = re.compile(r"\[([ xX])\] ")
_STYLES = {"strong": "bold", "em": "italic", "s": "strikethrough", "spoiler": "spoiler"}


def split(markdown: str) -> list[Part]:
    """The parts that together say all of `markdown`, each within one message; none where it shows nothing."""
    return [part(piece) for piece in pieces(markdown) if piece.text]


def pieces(markdown: str) -> list[Piece]:
    """The same with their sources: `joined(pieces(markdown)) == markdown`."""
    return fitting(markdown, LIMIT, utf16_len, lambda text: _surely_fits(text) or _within_limits(_rendered(text)))


def part(piece: Piece) -> Part:
    """A piece as the presenter hands it on; plain where its formatting is more than a message may have."""
    if _surely_fits(piece.text):
        return Part(piece.text)
    rendered = _rendered(piece.text)
    return Part(piece.text, plain=rendered is None or not _within_limits(rendered))


def _surely_fits(text: str) -> bool:
    """Whether so little in it can mean anything that it need not be rendered to know: marks for fewer entities than are
    allowed, and nothing that takes much more room than its source, as tables do and lists that begin in one line."""
    entities = len(_MARKS.findall(text)) + 3 * text.count("`") + 2 * text.count("#")  # code cuts what it stands in
    return len(text) < LIMIT // 2 and entities < MOST_ENTITIES and _GROWS.search(text) is None


def _within_limits(rendered: tuple[str, list[Entity]] | None) -> bool:
    return rendered is None or (utf16_len(rendered[0]) <= LIMIT and len(rendered[1]) <= MOST_ENTITIES)


def render(part: Part) -> tuple[str, list[Entity]]:
    """A part's text and entities, as they are sent."""
    rendered = None if part.plain else _rendered(part.text)
    if rendered is not None and shows(rendered[0]):
        return rendered
    return sendable(part.text).strip(), []


def _rendered(markdown: str) -> tuple[str, list[Entity]] | None:
    """None for what is nested too deeply to be read."""
    source = sendable(markdown)
    tokens = _PARSER.parse(source)
    if any(token.level >= DEEPEST - 1 for token in tokens):
        return None  # the parser leaves out what lies deeper
    tree = SyntaxTreeNode(tokens)
    for padded in (True, False):
        writer = _Writer(source.split("\n"), padded)
        writer.blocks(tree.children)
        text, entities = writer.runs.finish()
        if utf16_len(text) <= LIMIT:
            break
    return text, entities


def _spoiler(state: StateInline, silent: bool) -> bool:
    """`||hidden||`, with no space at the inner sides."""
    source, start = state.src, state.pos
    if not source.startswith("||", start) or start + 2 >= state.posMax or source[start + 2] in " |\n\t":
        return False
    end = source.find("||", start + 3, state.posMax)
    while end != -1 and (source[end - 1].isspace() or source[end - 1] == "\\"):
        end = source.find("||", end + 1, state.posMax)
    if end == -1 or _crosses(source[start:end]):
        return False
    if not silent:
        maximum, state.pos, state.posMax = state.posMax, start + 2, end
        state.push("spoiler_open", "", 1).markup = "||"
        state.md.inline.tokenize(state)
        state.push("spoiler_close", "", -1).markup = "||"
        state.posMax = maximum
    state.pos = end + 2
    return True


def _crosses(inner: str) -> bool:
    """Whether it holds one end of something: of code, of a link, of emphasis."""
    if inner.count("*") % 2 or inner.count("~") % 2:
        return True
    depth = list(accumulate((one == "[") - (one == "]") for one in inner))
    if min(depth) < 0 or depth[-1]:
        return True
    runs = [len(run) for run in _BACKTICKS.findall(inner)]
    while runs:
        if runs[0] not in runs[1:]:
            return True
        runs = runs[runs.index(runs[0], 1) + 1 :]
    return False


def _name(state: StateInline, silent: bool) -> bool:
    """A name that begins and ends with two underscores."""
    found = NAME.match(state.src, state.pos, state.posMax)
    if found is None:
        return False
    if not silent:
        state.append_pending(found[0])
    state.pos = found.end()
    return True


_PARSER = reader()
_PARSER.inline.add_terminator_char("|")
_PARSER.inline.ruler.before("emphasis", "spoiler", _spoiler)
_PARSER.inline.ruler.before("emphasis", "name", _name)


@dataclass(slots=True)
class _Writer:
    """Writes a tree of Markdown as runs of text. `padded`: whether tables may take the room for straight columns."""

    lines: list[str]
    padded: bool
    runs: Runs = field(default_factory=Runs)

    def blocks(self, nodes: Iterable[SyntaxTreeNode], depth: int = 0) -> None:
        """Blocks one below the other, with a blank line where the source has one."""
        for number, node in enumerate(nodes):
            if number:
                self.runs.write("\n\n" if self._after_blank(node) else "\n")
            self._block(node, depth)

    def _after_blank(self, node: SyntaxTreeNode) -> bool:
        line = node.map[0] - 1 if node.map else -1
        return line >= 0 and not self.lines[line].strip(" \t>")

    def _block(self, node: SyntaxTreeNode, depth: int) -> None:
        match node.type:
            case "heading":
                kinds = ("bold", "underline") if node.tag == "h1" else ("bold",)
                self.runs.within(map(Style, kinds), lambda: self._inline(node.children))
            case "fence" | "code_block":
                self._code(node)
            case "blockquote":
                self.runs.within([Style("blockquote")], lambda: self.blocks(node.children, depth))
            case "bullet_list" | "ordered_list":
                self._list(node, depth)
            case "table":
                self._table(node)
            case "hr":
                self.runs.write(RULE)
            case _:
                self._inline(node.children)

    def _code(self, node: SyntaxTreeNode) -> None:
        info = node.info.strip()
        known = bool(_LANGUAGE.fullmatch(info))
        said = node.content.removesuffix("\n")
        known = known and shows(said)
        text = said if known or not info else f"{info}\n{said}".rstrip()
        self.runs.write(text, Style("pre", info if known else None))

    def _list(self, node: SyntaxTreeNode, depth: int) -> None:
        number = int(node.attrs.get("start", 1))
        for at, item in enumerate(node.children):
            if at:
                self.runs.write("\n\n" if self._after_blank(item) else "\n")
            mark = f"{number + at}{item.markup or '.'} " if node.type == "ordered_list" else BULLET
            self._item(item, mark, depth)

    def _item(self, item: SyntaxTreeNode, mark: str, depth: int) -> None:
        self.runs.write("  " * depth + mark)
        children = item.children
        if children and children[0].type == "paragraph":
            content = children[0].children[0].content if children[0].children else ""
            task = _TASK.match(content)
            if task is not None:
                if mark == BULLET:
                    self.runs.take_back()
                    self.runs.write("  " * depth)
                self.runs.write("☐ " if task[1] == " " else "☑ ")
            self._inline(children[0].children, skip=4 if task else 0)
            children = children[1:]
        for child in children:
            self.runs.write("\n\n" if self._after_blank(child) else "\n")
            if child.type in ("paragraph", "heading"):
                self.runs.write("  " * depth + "  ")
            self._block(child, depth + 1)

    def _table(self, node: SyntaxTreeNode) -> None:
        self.runs.write(table_text(rows_of(node), padded=self.padded), Style("pre"))

    def _inline(self, nodes: Iterable[SyntaxTreeNode], *, skip: int = 0) -> None:
        for node in nodes:
            match node.type:
                case "inline":
                    self._inline(node.children, skip=skip)
                case "softbreak" | "hardbreak":
                    self.runs.write("\n")
                case "code_inline":
                    self.runs.write(node.content, Style("code"))
                case "strong" | "em" | "s" | "spoiler":
                    style = Style(_STYLES[node.type])
                    self.runs.within([style], lambda node=node: self._inline(node.children))  # type: ignore[misc]
                case "link":
                    self._link(str(node.attrs["href"]), node.children)
                case "image":
                    self._link(str(node.attrs["src"]), [], alternative(node))
                case _:
                    self.runs.write(node.content[skip:])
            skip = 0

    def _link(self, address: str, inner: list[SyntaxTreeNode], name: str = "") -> None:
        before = self.runs.count
        if _LINKABLE.match(address):
            style = Style("text_link", address)
            self.runs.within([style], lambda: self._inline(inner))
            self.runs.within([style], lambda: self.runs.write(name))
            if not shows(self.runs.text_since(before)):
                self.runs.write(address)
            return
        self._inline(inner)
        self.runs.write(name)
        said = self.runs.text_since(before)
        if address and address != said:
            self.runs.write(f" ({address})" if shows(said) else address)
