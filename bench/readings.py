"""What a text shows when it is read as Markdown: by the parser's own HTML and the standard library, not by our writers.

Two readings are compared as sequences of visible characters. What stands for a form, not for a word, is left out on
both sides: bullets and rules, the lines of tables, bars, underscores, and characters that are not sent at all. The
language of a fence, the numbers of a list, and the address of what no platform can link are words.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from html import escape
from html.parser import HTMLParser
from typing import Any

from markdown_it import MarkdownIt

from bench.platform_rules import visible

_NOT_SENT = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\u202a-\u202e\u2066-\u2069]")
_LEFT_OUT = re.compile(r"[\s\u200b•│─┼—|_]")
_TASK = re.compile(r"\[([ xX])\]")
_LINKABLE = re.compile(r"https?://[^/\s]|mailto:\S|tel:\S|tg://\S", re.IGNORECASE)


def said(markdown: str, *, tables: bool = True) -> str:
    """The visible characters of a Markdown text; `tables`: whether who reads it knows them."""
    reading = _Reading()
    reading.feed((_READER if tables else _WITHOUT_TABLES).render(_NOT_SENT.sub("", markdown)))
    reading.close()
    return shown("".join(reading.parts))


def shown(text: str, entities: Sequence[Mapping[str, Any]] = ()) -> str:
    """The visible characters of a text that is shown as it stands, with Telegram's entities: languages of code are
    words there as well."""
    units = text.encode("utf-16-le")
    at, parts = 0, []
    for entity in entities:
        if entity.get("language"):
            parts += [units[2 * at : 2 * entity["offset"]].decode("utf-16-le"), f" {entity['language']} "]
            at = entity["offset"]
    whole = "".join([*parts, units[2 * at :].decode("utf-16-le")])
    whole = _TASK.sub(lambda found: "☐" if found[1] == " " else "☑", whole)
    return _LEFT_OUT.sub("", whole)


def alike(markdown: str, expected: str, arrived: str) -> tuple[str, str]:
    """Both readings, to be compared. Hidden text, which only the platforms know, may take the partner of an asterisk or
    a tilde: then these are left out as well."""
    if "||" not in markdown:
        return expected, arrived
    return re.sub("[*~]", "", expected), re.sub("[*~]", "", arrived)


def _fence(renderer: Any, tokens: Any, at: int, options: Any, env: Any) -> str:
    return f"<pre>{escape(tokens[at].info)}\n{escape(tokens[at].content)}</pre>"


def _item(renderer: Any, tokens: Any, at: int, options: Any, env: Any) -> str:
    return f'<li data-mark="{tokens[at].markup}">'


def _image(renderer: Any, tokens: Any, at: int, options: Any, env: Any) -> str:
    return f'<img src="{tokens[at].attrs["src"]}" alt="{escape(_texts(tokens[at].children))}">'


def _texts(tokens: Any) -> str:
    return "".join(_texts(token.children) if token.children else token.content for token in tokens or ())


def _reader(*more: str) -> MarkdownIt:
    reader = MarkdownIt("commonmark", {"html": False, "maxNesting": 1000}).enable(list(more)).disable("reference")
    reader.add_render_rule("fence", _fence)
    reader.add_render_rule("list_item_open", _item)
    reader.add_render_rule("image", _image)
    return reader


_READER, _WITHOUT_TABLES = _reader("strikethrough", "table"), _reader("strikethrough")


class _Reading(HTMLParser):
    """The text of a page: numbers of lists, names of pictures, addresses of what cannot be a link."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.parts: list[str] = []
        self._numbers: list[int | None] = []
        self._links: list[tuple[str, int]] = []
        self._cell = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        if tag in ("ul", "ol"):
            self._numbers.append(int(given.get("start", "1")) if tag == "ol" else None)
        elif tag == "li" and (number := self._numbers[-1]) is not None:
            self.parts.append(f"{number}{given['data-mark']}")
            self._numbers[-1] = number + 1
        elif tag in ("td", "th"):
            self._cell = True
        elif tag == "a":
            self._links.append((given.get("href", ""), len(self.parts)))
        elif tag == "img":
            self._linked(given.get("src", ""), given.get("alt", ""))

    def handle_endtag(self, tag: str) -> None:
        if tag in ("ul", "ol"):
            self._numbers.pop()
        elif tag in ("td", "th"):
            self._cell = False
        elif tag == "a":
            address, begin = self._links.pop()
            inner = "".join(self.parts[begin:])
            del self.parts[begin:]
            self._linked(address, inner)

    def handle_data(self, data: str) -> None:
        self.parts.append(data)

    def _linked(self, address: str, inner: str) -> None:
        written_out = self._cell or not _LINKABLE.match(address)
        if not visible(inner):
            self.parts.append(inner + address)
        elif written_out and address and address != inner:
            self.parts.append(f"{inner} ({address})")
        else:
            self.parts.append(inner)
