from __future__ import annotations

import re

import pytest

from bench.answers import answers
from bench.delivery import on_discord
from bench.platform_rules import discord_faults
from bots.markup.discord import LIMIT, pieces, plain, split
from bots.markup.splitting import joined


def shown(markdown: str) -> str:
    (message,) = split(markdown)
    return message


@pytest.mark.parametrize(
    "markdown",
    [
        "**bold** *it* _it_ ~~s~~ `c` ||hidden||", "snake_case_name and 2 * 3 * 4", "# One\n## Two\n### Three",
        "- a\n  - b\n1. c",
        "> quote", "```py\nx\n```", "[a](https://example.org)", "<https://example.org>", "**open and `open",
        "<b>html</b> &amp;",
        "a \\* b", "``a ` b``",
    ],
)  # fmt: skip
def test_what_discord_knows_stays_as_the_assistant_wrote_it(markdown):
    assert shown(markdown) == markdown


@pytest.mark.parametrize(
    ("markdown", "message"),
    [
        ("#### Small **x**", "### Small **x**"),
        ("- ###### Small", "- ### Small"),
        ("#### ends in \\", "### ends in \\\\"),
        ("line\\\nbreak", "line\nbreak"),
        ("[![x](http://i.example)](http://h.example)", "[x](http://h.example)"),
        ("![a tree](https://example.org/t.png)", "[a tree](https://example.org/t.png)"),
        ("![](https://example.org/t.png)", "https://example.org/t.png"),
        ("- [ ] a\n- [x] b", "- ☐ a\n- ☑ b"),
        ("+ a\n+ b", "- a\n- b"),
        (">>> a", "> >> a"),
        ("-# no subtext", "\\-# no subtext"),
        ("__Bold__ and __init__", "**Bold** and \\_\\_init\\_\\_"),
        ("a || b || c", "a \\|\\| b \\|\\| c"),
        ("~~~py\nx\n~~~", "```py\nx\n```"),
        ("````\n```\n````", "```\n``\u200b`\n```"),
        ("```py\nopen", "```py\nopen\n```"),
        ("a\n\n    code", "a\n\n```\ncode\n```"),
        ("| a | b |\n|---|---|\n| 日本 | **c** |", "```\na    │ b\n─────┼──\n日本 │ c\n```"),
    ],
)
def test_what_discord_would_show_otherwise_is_written_its_way(markdown, message):
    assert shown(markdown) == message


@pytest.mark.parametrize("mention", ["@everyone", "@here", "<@123>", "<@!123>", "<@&123>", "<#123>", "</run:123>"])
def test_nobody_is_mentioned_and_everybody_can_read_who_was_meant(mention):
    pattern = r"@everyone|@here|<@[!&]?\d+>|<#\d+>|</[^<>]+:\d+>"
    for text in (f"Hey {mention}!", f"**{mention}**", f"{mention}{mention}", plain(f"Hey {mention}")):
        assert not re.search(pattern, shown(text))
        assert mention in shown(text).replace("\u200b", "")


def test_mentions_in_code_are_code():
    assert shown("`@everyone` and\n```\n<@123>\n```") == "`@everyone` and\n```\n<@123>\n```"


def test_a_message_full_of_mentions_still_fits():
    messages = split("@here " * 500)
    assert all(len(message) <= LIMIT for message in messages)
    assert "".join(messages).count("@\u200bhere") == 500


def test_a_table_that_grows_by_its_padding_takes_more_messages():
    row = "| " + "w" * 150 + " | x |"
    table = "\n".join(["| a | b |", "|---|---|", row, *["| y | z |"] * 60])
    messages = split(table)
    assert all(len(message) <= LIMIT and message.startswith("```\n") for message in messages)
    assert sum(message.count("z") for message in messages) == 60


def test_plain_is_never_more_than_a_message():
    for text in ("x" * LIMIT, "@here" * 400):
        assert 0 < len(plain(text)) <= LIMIT


def test_nothing_that_reorders_or_controls_goes_out():
    assert shown("a\u202eb\u2066c\x00d\r\ne") == "abcd\ne"
    assert plain("a\u202eb") == "ab"


def test_generated_answers_arrive_formatted_and_whole():
    for answer in answers(150, seed=23):
        cut = pieces(answer)
        assert joined(cut) == answer
        for sent in (on_discord(piece) for piece in cut if piece.text):
            assert sent.faults == [] and sent.arrived == sent.expected


@pytest.mark.parametrize(
    ("content", "fault"), [("", "nothing"), (" \n\u200b", "nothing"), ("a" * 2001, "characters"), ("\ud800", "half")]
)
def test_the_rules_find_what_discord_refuses(content, fault):
    assert any(fault in one for one in discord_faults(content))
