"""Answers with every construct of Markdown, from a seed: well-formed ones, long ones, broken ones and hostile ones."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator

LATIN = (
    "harbour", "tide", "crane", "boat", "pier", "rope", "anchor", "gull", "storm", "keel", "lantern", "market",
    "bridge", "ferry", "winch", "cargo", "dock",
)  # fmt: skip
OTHERS = (
    "海", "港", "の", "船", "が", "来る", "明日", "東京", "灯台", "码头", "潮汐", "你好", "世界", "안녕", "항구",
    "배가", "온다", "ميناء", "السفينة", "غدا", "البحر", "مرحبا", "שלום", "נמל", "ספינה", "הים", "می\u200cخواهم", "کشتی",
    "гавань", "корабль",
    "Ελλάδα", "λιμάνι", "नमस्ते", "बंदरगाह", "ท่าเรือ", "phở", "àéîõü", "é", "Zürich", "ﬁ", "ß", "İ",
)  # fmt: skip
EMOJI = (
    "🚢", "⚓️", "👍🏽", "👨\u200d👩\u200d👧\u200d👦", "🏳️\u200d🌈", "🇩🇪", "🇯🇵🇫🇷", "1️⃣", "🧑🏿\u200d🚀", "😀",
    "🏴\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f",
)  # fmt: skip
LANGUAGES = ("python", "js", "c++", "objective-c", "", "", "text", "python title=x", "not really a language")
HOSTILE = (
    "@everyone", "@here", "<@123456789>", "<@&42>", "<#99>", "</run:123>", "<@!5>", "\u202edesrever\u202c",
    "\u2067a\u2069", "\u202d", "a\u200bb", "\u200d", "\ufeff", "\u200f", "\x00", "\x1b[31m", "\x07",
    "<script>alert(1)</script>", "<b>bold</b>", "<!-- no -->", "&lt;b&gt;", "&#0;", "]]>", "{{7*7}}",
    "[x](javascript:alert(1))", "[x](data:text/html,x)", "[](http://a.example)", "[a](<>)", "![](//)", "[a]()",
    "[a](http://)", "[a](http:// b)", "**", "__", "~~", "||", "`", "```", "\\", "_", "*", "***", "[", "](", "![",
    "~~~", ">", "#", "|", "|-|", "- [ ]", "1.", "$$x$$", "$5 and $6", "\\(x\\)", "\\[x^2\\]", "a || b || c",
    "||a ||b||", "__init__", "snake_case_name", "2*3*4", "* * *", "a\tb", "\u2028", "\xa0", "ㅤ",
    "Z̴̡̛̼a̷͓͘l̶̰̈g̸̱̾ơ̵̞", "\U000e0061", "¯\\_(ツ)_/¯",
)  # fmt: skip
LENGTHS = ((60, 1, 4), (30, 4, 10), (9, 10, 25), (1, 40, 80))
"""Of a hundred answers so many have from so many to so many blocks."""


def answers(count: int, seed: int = 11) -> Iterator[str]:
    """`count` answers, the same for the same seed; each shows something."""
    for number in range(count):
        yield Writer(random.Random(f"{seed} {number}")).answer()


class Writer:
    """Writes one answer."""

    def __init__(self, chance: random.Random) -> None:
        self.chance = chance
        self.hostile = chance.choice((0.0, 0.0, 0.02, 0.3))

    def answer(self) -> str:
        _, least, most = self.chance.choices(LENGTHS, [share for share, _, _ in LENGTHS])[0]
        made = [self.block() for _ in range(self.chance.randint(least, most))]
        text = self.chance.choice(("\n\n", "\n\n", "\n\n\n", "\n", "\r\n\r\n")).join(made)
        if self.chance.random() < 0.05:
            text = self.broken(text)
        return text if text.strip() else "Yes."

    def broken(self, text: str) -> str:
        """Cut anywhere, as an answer that ran out of tokens, or with noise."""
        cut = text[: self.chance.randint(1, len(text))]
        return cut + self.chance.choice(("", "", self.chance.choice(HOSTILE) * self.chance.randint(1, 300)))

    def word(self) -> str:
        roll = self.chance.random()
        if roll < self.hostile:
            return self.chance.choice(HOSTILE)
        if roll < 0.05 + self.hostile:
            return self.chance.choice(EMOJI)
        if roll < 0.2 + self.hostile:
            return self.chance.choice(OTHERS)
        if roll > 0.9995:
            return self.chance.choice(("x", "長", "👩‍🚀", "é")) * self.chance.randint(50, 5000)
        return self.chance.choice(LATIN)

    def words(self, least: int, most: int) -> str:
        return " ".join(self.word() for _ in range(self.chance.randint(least, most)))

    def span(self) -> str:
        said = self.words(1, 5)
        inner = self.words(1, 2)
        return self.chance.choice((
            said, said, said, f"**{said}**", f"*{said}*", f"_{said}_", f"~~{said}~~", f"||{said}||", f"`{said}`",
            f"``{said} ` x``",
            f"***{said}***", f"**{said} *{inner}* {said}**", f"**{said} `{inner}` {said}**", f"**{said}**~~{inner}~~",
            f"[{said}](https://example.org/{self.chance.randint(1, 999)})",
            f"[**{inner}** {said}](http://example.org/a_(b)?q=1&r=2)",
            f"[{said}](./{self.chance.choice(LATIN)}.md)", f'[{said}](https://example.org "{inner}")',
            f"![{inner}](https://example.org/i.png)",
            "![](https://example.org/i.png)", "<https://example.org/auto>", "https://example.org/bare_link_here",
            "me@example.org",
            f"[{said}][ref]", f"\\*{inner}\\*", f"&amp; {inner} &copy;", f"<kbd>{inner}</kbd>", f"*{said}**{inner}",
            f"{said}\\\n{inner}",
            f"**{said}**[{inner}](https://example.org)**{said}**", f"_{said}_**{inner}**_{said}_",
            f"[`{inner}`](https://example.org)",
        ))  # fmt: skip

    def line(self) -> str:
        said = " ".join(self.span() for _ in range(self.chance.randint(1, 6)))
        return said + self.chance.choice((".", "!", "?", "。", ":", "", " …"))

    def paragraph(self) -> str:
        lines = [self.line() for _ in range(self.chance.choice((1, 1, 1, 2, 3, 8)))]
        return self.chance.choice((" ", "\n", "  \n")).join(lines)

    def heading(self) -> str:
        said = self.line()
        level = self.chance.randint(1, 7)
        return self.chance.choice((f"{'#' * level} {said}", f"{'#' * level} {said} #", f"{said}\n===", f"{said}\n---"))

    def items(self, depth: int = 0) -> str:
        ordered = self.chance.random() < 0.4
        number, gap = self.chance.choice((1, 1, 3, 99)), self.chance.choice(("\n", "\n", "\n\n"))
        mark = self.chance.choice("-*+")
        made = []
        for at in range(self.chance.randint(1, 7)):
            lead = f"{number + at}{self.chance.choice('..)')} " if ordered else f"{mark} "
            task = self.chance.choice(("", "", "", "[ ] ", "[x] "))
            item = lead + task + self.line()
            if depth < 4 and self.chance.random() < 0.25:
                inner = self.chance.choice((self.items, self.fence, self.quote, lambda depth: self.paragraph()))(
                    depth + 1
                )
                pad = " " * len(lead)
                item += gap + "\n".join(pad + line if line else line for line in inner.split("\n"))
            made.append(item)
        return gap.join(made)

    def quote(self, depth: int = 0) -> str:
        inner = self.paragraph() if depth > 2 or self.chance.random() < 0.7 else self.block(depth + 1)
        return "\n".join(f"> {line}" for line in inner.split("\n"))

    def code(self) -> str:
        said = self.chance.choice((self.words(1, 9), f"{self.word()} = {{}}", "", "# note", "- x"))
        return " " * (4 * self.chance.randint(0, 3)) + said

    def fence(self, depth: int = 0) -> str:
        marks = self.chance.choice(("```", "```", "```", "~~~", "````"))
        count = self.chance.choice((0, 1, 3, 3, 10, 10, 10, 10, 300))
        lines = [self.code() for _ in range(count)]
        if marks != "```" and self.chance.random() < 0.5:
            lines.append("```")
        end = f"\n{marks}" if self.chance.random() > 0.03 else ""
        return f"{marks}{self.chance.choice(LANGUAGES)}\n" + "\n".join(lines) + end

    def table(self) -> str:
        columns = self.chance.randint(1, 5)
        rows = self.chance.choice((0, 1, 1, 4, 4, 4, 12, 80))
        rule = "|".join(self.chance.choice(("---", ":--", "--:", ":-:", "-")) for _ in range(columns))
        made = ["|".join(self.span().replace("\n", " ") for _ in range(columns)) for _ in range(rows + 1)]
        return "\n".join(f"|{row}|" for row in (made[0], rule, *made[1:]))

    def nested_deep(self) -> str:
        said = self.words(1, 3)
        return self.chance.choice((
            "> " * self.chance.randint(2, 90) + said, "- " * self.chance.randint(2, 45) + said,
            "*" * 90 + said + "*" * 80,
            "[" * 120 + said + "]" * 100, "".join("  " * n + f"- {said}\n" for n in range(self.chance.randint(2, 40))),
            "(" * 80 + said, "`" * 40 + said, "\n".join(["**bold** `code` _it_"] * 60), "**a** " * 150,
        ))  # fmt: skip

    def noise(self) -> str:
        return self.chance.choice((
            "".join(self.chance.choices("*_`~|[]()<>#\\-+!>&$ \nab1.", k=self.chance.randint(5, 300))),
            " ".join(self.chance.choices(HOSTILE, k=self.chance.randint(1, 30))),
            "<div>\n<p>" + self.line() + "</p>\n</div>",
            "<details>\n<summary>x</summary>\n\n" + self.line() + "\n\n</details>",
            "[ref]: https://example.org/reference", "[1]: ./x 'y'\n[2]: <z>", "---", "***", "===",
            "\n" * self.chance.randint(1, 60),
            " " * self.chance.randint(1, 60) + "x", "    indented code\n    - and more", "-# small",
            ">>> not a quote", "$$\n\\frac{1}{2}\n$$",
            "@everyone " * self.chance.randint(1, 200), "🏳️‍🌈" * self.chance.randint(1, 700),
            "e" + "\u0301" * self.chance.randint(1, 400),
        ))  # fmt: skip

    def block(self, depth: int = 0) -> str:
        kinds: tuple[Callable[[], str], ...] = (
            self.paragraph, self.paragraph, self.paragraph, self.heading, self.items, self.items, self.quote,
            self.fence, self.table,
            self.nested_deep, self.noise,
        )  # fmt: skip
        weights = (1,) * 9 + (0.2, 0.2 + 3 * self.hostile)
        return self.chance.choices(kinds, weights)[0]()
