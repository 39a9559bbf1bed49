from __future__ import annotations

import random
import re

import pytest
import regex

from bench.answers import answers
from bots.markup.characters import shows, utf16_len
from bots.markup.splitting import joined, split

FAMILY = "👨‍👩‍👧‍👦"
HOSTILE = {
    "words": "word " * 20_000,
    "no space": "x" * 100_000,
    "backticks": "`" * 100_000,
    "pairs of backticks": "`a" * 50_000,
    "brackets": "[" * 100_000,
    "open links": "[a](b " * 14_000,
    "asterisks": "*a **b " * 14_000,
    "quotes": "> " * 50_000,
    "bullets": "- " * 50_000,
    "emoji": FAMILY * 14_000,
    "marks on one letter": "a" + "\u0301" * 99_999,
    "zero width": "\u200b" * 100_000,
    "table": "|a|b|\n|-|-|\n" + "|x|y|\n" * 16_000,
    "fence": "```\n" + "x\n" * 50_000,
    "blank lines in a fence": "```\nx" + "\n" * 50_000 + "y\n```",
    "fences": "```\na\n```\n" * 9_000,
    "bars": "||a" * 33_000,
    "html": "<div>\n" * 16_000,
    "definitions": "[a]: http://x.y\n" * 6_000,
    "spaces between": "a" + " " * 99_000 + "b",
    "blank lines between": "a" + "\n" * 99_000 + "b",
    "sentences": "A b. " * 20_000,
    "right to left": "שלום \u202e" * 16_000,
}

SPANS = ("`code with words`", "[a link](https://example.org)", "**bold words here**", "||a secret||")


def texts(text: str, limit: int = 200, measure=len) -> list[str]:
    return [piece.text for piece in split(text, limit, measure) if piece.text]


@pytest.mark.parametrize("limit", [64, 333, 2000])
def test_pieces_joined_are_what_was_said_and_each_fits(limit):
    for answer in answers(80, seed=limit):
        pieces = split(answer, limit)
        assert joined(pieces) == answer
        assert all(len(piece.text) <= limit for piece in pieces)
        for piece in pieces:
            assert shows(piece.text) or not shows(piece.source)


def test_the_measure_is_the_platforms_own():
    for answer in answers(60, seed=4):
        assert all(utf16_len(piece.text) <= 500 for piece in split(answer, 500, utf16_len))


def test_no_piece_begins_or_ends_within_a_character():
    for answer in answers(100, seed=5):
        answer = answer.replace("\r", "")
        characters = {found.start() for found in regex.finditer(r"\X", answer)}
        too_long = any(len(found) > 40 for found in regex.findall(r"\X", answer))
        at = 0
        for piece in split(answer, 100)[:-1]:
            at += len(piece.source)
            assert at in characters or too_long


def test_words_stay_whole():
    chance = random.Random(1)
    text = " ".join("".join(chance.choices("aeiounrst", k=chance.randint(1, 12))) for _ in range(2000))
    words = text.split()
    assert [word for piece in split(text, 150) for word in piece.source.split()] == words


def test_a_word_that_is_too_long_is_cut_between_characters():
    assert texts(FAMILY * 60, 64 * 2) == [FAMILY * 18] * 3 + [FAMILY * 6]
    flags = "🇩🇪🇫🇷" * 40
    assert "".join(texts(flags, 65)) == flags and all(len(one) % 2 == 0 for one in texts(flags, 65))


def test_paragraphs_before_lines_before_sentences_before_words():
    paragraphs = ["word " * 25 + "end.", "other " * 20 + "end."]
    assert texts("\n\n".join(paragraphs)) == paragraphs
    lines = ["line " * 20 + "end", "line " * 25 + "end"]
    assert texts("\n".join(lines)) == lines
    sentences = ["One says this " * 10 + "here.", "Two says that " * 9 + "there!"]
    assert texts(" ".join(sentences)) == sentences
    assert texts("これは文です。" * 40, 100)[0].endswith("。")


def test_a_list_and_a_quote_that_fit_stay_whole():
    items = "\n".join(f"- item {number} of some length" for number in range(6))
    quote = "\n".join(f"> line {number} of some length" for number in range(6))
    for block in (items, quote):
        assert block in texts(f"{'word ' * 20}\n\n{block}\n\n{'word ' * 20}")


def test_a_long_list_is_cut_between_its_items_and_keeps_their_numbers():
    items = [f"{number}. {'thing ' * 8}end" for number in range(1, 12)]
    for one in texts("\n".join(items)):
        assert all(line in items for line in one.splitlines())


def test_what_is_nested_stays_a_list_when_a_message_begins_with_it():
    text = "- outer " + "word " * 30 + "\n" + "\n".join(f"    - inner {number} {'word ' * 5}" for number in range(12))
    for one in texts(text)[1:]:
        assert one.startswith("- inner")


def test_a_heading_goes_with_what_it_heads():
    text = f"{'word ' * 32}\n\n## Heading\n\n{'word ' * 20}"
    assert texts(text)[1].startswith("## Heading")


def test_a_fence_that_fits_is_never_cut():
    fence = "```py\n" + "\n".join(f"x{number} = {number}" for number in range(15)) + "\n```"
    for before in range(0, 190, 7):
        assert any(fence in one for one in texts(f"{'a ' * (before // 2)}\n\n{fence}\n\nafter"))


@pytest.mark.parametrize("lead", ["", "> ", "- ", "1. "])
def test_a_fence_too_long_is_closed_and_opened_again_with_its_language(lead):
    code = [f"x{number} = {number}" for number in range(80)]
    pad = lead if lead.startswith(">") else " " * len(lead)
    lines = [f"{lead}```py", *(pad + line for line in code), f"{pad}```"]
    pieces = split("\n".join(lines) + "\n\nafter", 200)
    seen = []
    for piece in pieces:
        one = [
            line.removeprefix("> ").strip().removeprefix("- ").removeprefix("1. ") for line in piece.text.splitlines()
        ]
        assert one[0] == "```py" and one.count("```") == 1 and one.count("```py") == 1
        seen += one[1 : one.index("```")]
    assert seen == code


def test_a_fence_with_more_marks_and_one_of_tildes_are_closed_with_their_own():
    for marks in ("````", "~~~"):
        text = f"{marks}\n" + "```\n" * 100 + marks
        for one in texts(text):
            assert one.startswith(f"{marks}\n") and one.endswith(f"\n{marks}")


def test_a_fences_lines_are_added_to_pieces_of_the_fence_alone():
    for answer in answers(120, seed=9):
        for piece in split(answer, 150):
            assert not piece.after or piece.before or re.search("^[ >\\d.)*+-]*(`{3}|~{3})", piece.source, re.MULTILINE)


def test_what_follows_an_open_fence_in_a_list_is_no_code():
    text = "- a\n  ```py\n" + "  x = 1\n" * 60 + "\nAfter the list."
    assert texts(text)[-1].splitlines()[-1] == "After the list." or texts(text)[-1] == "After the list."
    last = texts(text)[-1]
    assert last.count("```") % 2 == 0


def test_a_long_tables_head_is_repeated():
    rows = [f"| {number} | word |" for number in range(60)]
    text = "\n".join(["| a | b |", "|---|---|", *rows])
    pieces = split(text, 200)
    assert all(piece.text.startswith("| a | b |\n|---|---|\n| ") for piece in pieces)
    assert joined(pieces) == text


@pytest.mark.parametrize(
    "span", ["`code with words`", "[a link](https://example.org)", "**bold words here**", "||a secret||"]
)
def test_code_links_and_emphasis_are_not_cut_where_that_can_be_avoided(span):
    for before in range(60, 140):
        whole = [one for one in texts(f"{'a' * before} {span} {'b ' * 100}", 150) if span in one]
        assert whole, before


def test_text_of_which_nothing_shows_is_in_no_message():
    for nothing in ("", " ", "\n" * 500, "\u200b" * 500, "\u200d \u2060"):
        assert texts(nothing) == [] and joined(split(nothing, 100)) == nothing


def test_a_limit_too_small_for_a_fence_is_refused():
    with pytest.raises(ValueError):
        split("text", 10)


@pytest.mark.parametrize("name", HOSTILE)
def test_the_hostile_is_cut_as_well(name):
    text = HOSTILE[name][:20_000]
    for limit, measure in ((2000, len), (4096, utf16_len)):
        pieces = split(text, limit, measure)
        assert joined(pieces) == text
        assert all(measure(piece.text) <= limit for piece in pieces)


@pytest.mark.parametrize(
    "name", ["words", "backticks", "open links", "quotes", "emoji", "table", "blank lines between", "bars"]
)
def test_work_grows_with_the_text_and_no_faster(name, monkeypatch):
    """Counted, not timed: ranges looked at for eight times as much text."""
    from bots.markup import splitting

    counted = 0
    add = splitting._Packing.add

    def counting(self, wanted):
        nonlocal counted
        counted += 1
        add(self, wanted)

    monkeypatch.setattr(splitting._Packing, "add", counting)
    work = []
    for size in (5_000, 40_000):
        counted = 0
        split(HOSTILE[name][:size], 2000)
        work.append(counted)
    assert work[1] < 12 * work[0] + 100


def test_everything_said_is_still_there_word_for_word():
    for answer in answers(60, seed=6):
        arrived = "".join(piece.source for piece in split(answer, 300))
        assert re.findall(r"\w+", arrived) == re.findall(r"\w+", answer)
