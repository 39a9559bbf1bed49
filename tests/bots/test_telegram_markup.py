from __future__ import annotations

from dataclasses import asdict

import pytest

from bench.answers import answers
from bench.delivery import on_telegram
from bench.platform_rules import telegram_faults
from bots.card_text import escape
from bots.markup.characters import utf16_len
from bots.markup.splitting import joined
from bots.markup.telegram import LIMIT, MOST_ENTITIES, pieces, render, split
from bots.outlet import Part


def shown(markdown: str) -> tuple[str, list[tuple[str, str]]]:
    """The text, and each entity's type with the text it covers."""
    text, entities = render(Part(markdown))
    units = text.encode("utf-16-le")
    covered = [units[2 * one.offset : 2 * (one.offset + one.length)].decode("utf-16-le") for one in entities]
    return text, [(one.type, words) for one, words in zip(entities, covered, strict=True)]


@pytest.mark.parametrize(
    ("markdown", "text", "entities"),
    [
        ("**b** *i* _i_ ~~s~~ `c`", "b i i s c",
         [("bold", "b"), ("italic", "i"), ("italic", "i"), ("strikethrough", "s"), ("code", "c")]),
        ("👍🏽 **海 👨‍👩‍👧** x", "👍🏽 海 👨‍👩‍👧 x", [("bold", "海 👨‍👩‍👧")]),
        ("**a `b` c**", "a b c", [("bold", "a "), ("code", "b"), ("bold", " c")]),
        ("***a** b*", "a b", [("italic", "a b"), ("bold", "a")]),
        ("# Title *x*", "Title x", [("bold", "Title x"), ("underline", "Title x"), ("italic", "x")]),
        ("### Small **x**", "Small x", [("bold", "Small x")]),
        ("> a\n> > b", "a\nb", [("blockquote", "a\nb")]),
        ("> ```\n> a\n> ```", "a", [("blockquote", "a"), ("pre", "a")]),
        ("||hidden **b**||", "hidden b", [("spoiler", "hidden b"), ("bold", "b")]),
        ("if a || b || c", "if a || b || c", []),
        ("- a\n  - b\n- [ ] c\n- [x] d", "• a\n  • b\n☐ c\n☑ d", []),
        ("3. a\n4. [x] b", "3. a\n4. ☑ b", []),
        ("<b>no</b> &amp; <!-- x -->", "<b>no</b> & <!-- x -->", []),
        ("<details>\n<summary>x</summary>\n</details>", "<details>\n<summary>x</summary>\n</details>", []),
        ("$5 and 3$, \\(x\\)", "$5 and 3$, (x)", []),
        ("call __init__ of snake_case_name", "call __init__ of snake_case_name", []),
        ("**unclosed and `open", "**unclosed and `open", []),
        ("[1]: https://example.org", "[1]: https://example.org", []),
        ("a\n\n---\n\nb", "a\n\n———\n\nb", []),
        ("***", "———", []),
        ("```", "```", []),
    ],
)  # fmt: skip
def test_markdown_becomes_text_and_entities(markdown, text, entities):
    assert shown(markdown) == (text, entities)


def test_code_keeps_its_language_and_its_lines():
    text, entities = render(Part("```python\nif x:\n    y()\n```"))
    assert text == "if x:\n    y()"
    assert [(one.type, one.language) for one in entities] == [("pre", "python")]


@pytest.mark.parametrize("info", ["python title=x", "this is no code"])
def test_what_stands_beside_a_fence_and_is_no_language_is_shown(info):
    assert shown(f"```{info}\ncode\n```")[0] == f"{info}\ncode"


def test_a_link_keeps_its_address_or_shows_it():
    text, (entity,) = render(Part("[a](https://example.org/x_(y)?q=1)"))
    assert (text, entity.type, entity.url) == ("a", "text_link", "https://example.org/x_(y)?q=1")
    assert shown("[a](./b.md)") == ("a (./b.md)", [])
    assert shown("[x](javascript:alert(1))")[0] == "[x](javascript:alert(1))"
    assert shown("![a tree](https://example.org/t.png)") == ("a tree", [("text_link", "a tree")])
    assert shown("![](https://example.org/t.png)")[0] == "https://example.org/t.png"
    assert shown("[![a](https://example.org/i)](https://example.org)") == ("a", [("text_link", "a")])


def test_a_table_has_straight_columns_in_every_script():
    text, entities = shown("| a | b |\n|---|---|\n| 日本 | [x](http://y.z) |\n| é | `d` |")
    assert text.splitlines() == ["a    │ b", "─────┼───────────────", "日本 │ x (http://y.z)", "é    │ d"]
    assert entities == [("pre", text)]


def test_a_table_too_wide_for_a_message_loses_its_padding_not_its_words():
    row = "| " + "w" * 300 + " | x |"
    table = "\n".join(["| a | b |", "|---|---|", row, *["| y | z |"] * 300])
    parts = split(table)
    assert all(not part.plain and utf16_len(render(part)[0]) <= LIMIT for part in parts)
    assert sum(render(part)[0].count("z") for part in parts) == 300


def test_what_stands_side_by_side_never_becomes_one_entity_that_crosses_another():
    for markdown in ("**a[b](http://x.y)**[c](http://x.y)", "**x _y_**_z_", "_a_**b**_c_", "> **a**\n\n> **b**"):
        text, entities = render(Part(markdown))
        assert telegram_faults(text, [wire(one) for one in entities]) == []


def wire(entity):
    return {name: value for name, value in asdict(entity).items() if value is not None}


def test_more_formatting_than_a_message_may_have_takes_more_messages():
    parts = split("**bold** and `code`. " * 150)
    assert len(parts) > 1 and not any(part.plain for part in parts)
    assert all(len(render(part)[1]) <= MOST_ENTITIES for part in parts)


def test_every_part_fits_plain_as_well():
    for answer in answers(60, seed=21):
        for part in split(answer):
            plain, entities = render(Part(part.text, plain=True))
            assert not entities and 0 < utf16_len(plain) <= LIMIT


def test_plain_is_shown_as_it_stands():
    assert render(Part("**a** _b", plain=True)) == ("**a** _b", [])


def test_what_is_nested_too_deeply_to_be_read_is_shown_as_it_stands():
    text = "> " * 300 + "deep"
    (part,) = split(text)
    assert part.plain and render(part) == (text, [])


def test_nothing_that_reorders_or_controls_goes_out():
    text = "a\u202eb\u2066c\x00d\x1b\re\ud800\u200ff"
    for plain in (True, False):
        assert render(Part(text, plain=plain))[0] == "abcd\ne\ufffd\u200ff"


def test_escaped_text_shows_every_character():
    marks, lines = "*a* _b_ `c` [d](e) ~~f~~ ||g|| <h> &amp; \\*", "1. a\n- b\n+ c\n# d\n> e\n===\n---"
    for text in (marks, lines, "| a |\n|---|", "https://a.b/c_d_e"):
        assert render(Part(escape(text))) == (text, [])


def test_generated_answers_arrive_formatted_and_whole():
    for answer in answers(150, seed=22):
        cut = pieces(answer)
        assert joined(cut) == answer
        for sent in (on_telegram(piece) for piece in cut if piece.text):
            assert sent.faults == [] and sent.arrived == sent.expected


@pytest.mark.parametrize(
    ("text", "entities", "fault"),
    [
        ("", [], "nothing"), ("\u200b \n", [], "nothing"), ("a" * 4097, [], "units"), (" a", [], "space"),
        ("a\u202e", [], "reorders"), ("👍", [("bold", 1, 1)], "cuts"), ("ab", [("bold", 1, 2)], "outside"),
        ("abc", [("bold", 0, 2), ("italic", 1, 2)], "crosses"), ("ab", [("bold", 0, 2), ("bold", 0, 1)], "within"),
        ("ab", [("pre", 0, 2), ("bold", 0, 1)], "within"), ("ab", [("text_link", 0, 1)], "address"),
        ("a" * 101, [("bold", n, 1) for n in range(101)], "entities"),
        ("ab", [("blockquote", 0, 2), ("expandable_blockquote", 0, 1)], "quote"),
        ("a", [("nothing", 0, 1)], "no entity"),
    ],
)  # fmt: skip
def test_the_rules_find_what_telegram_refuses(text, entities, fault):
    faults = telegram_faults(text, [{"type": kind, "offset": at, "length": long} for kind, at, long in entities])
    assert any(fault in one for one in faults)


@pytest.mark.parametrize("url", ["http://", "./x", "javascript:x", "https:// a", ""])
def test_the_rules_find_addresses_that_lead_nowhere(url):
    assert telegram_faults("a", [{"type": "text_link", "offset": 0, "length": 1, "url": url}])
