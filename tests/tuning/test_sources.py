"""Every format but Telegram's: found by looking into the file, read whole, its text unchanged; what cannot be read is
one sentence."""

from __future__ import annotations

import hashlib
import json
import time
import zipfile
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from small_files import pdf

from config.errors import BadInput
from tuning.sources.detect import open_export
from tuning.sources.export import Export
from tuning.sources.message import SourceChat, SourceMessage


def read(file: Path, kind: str) -> tuple[list[SourceChat], list[SourceMessage], Export]:
    export = open_export(file)
    assert export.kind == kind
    items = list(export)
    assert export.digest == hashlib.sha256(file.read_bytes()).hexdigest()
    return (
        [item for item in items if isinstance(item, SourceChat)],
        [item for item in items if isinstance(item, SourceMessage)],
        export,
    )


def at(*moment: int) -> int:
    return int(datetime(*moment, tzinfo=UTC).timestamp())  # type: ignore[misc]


def discord_message(number: int, who: str, said: str, **more: Any) -> dict[str, Any]:
    author = {"id": str(sum(map(ord, who))), "name": who.lower(), "nickname": who, "isBot": False, "roles": []}
    return {
        "id": str(number), "type": "Default", "timestamp": "2024-03-01T10:00:00.5+02:00", "timestampEdited": None,
        "content": said, "author": author, "attachments": [], "embeds": [], "reactions": [], "mentions": [],
        **more,
    }  # fmt: skip


def discord_file(folder: Path, messages: list[dict[str, Any]]) -> Path:
    file = folder / "guild - channel.json"
    head = {
        "guild": {"id": "1", "name": "Harbour"},
        "channel": {"id": "42", "type": "GuildTextChat", "category": "x", "name": "slipway", "topic": None},
        "dateRange": {"after": None, "before": None},
    }
    file.write_text(json.dumps(head | {"messages": messages, "messageCount": len(messages)}, ensure_ascii=False))
    return file


class TestDiscord:
    def test_people_are_read_and_bots_and_notices_left_out(self, tmp_path: Path) -> None:
        bot = discord_message(3, "Tidebot", "High water at six")
        bot["author"]["isBot"] = True
        file = discord_file(tmp_path, [
            discord_message(1, "Odo", "When do we sail? 🚣‍♀️ \u202eהים"),
            discord_message(2, "Runa", "At dawn.", type="Reply", timestampEdited="2024-03-01T09:00:00+00:00",
                            reference={"messageId": "1", "channelId": "42", "guildId": "1"}),
            bot,
            discord_message(4, "Odo", "", attachments=[{"id": "9"}]),
            discord_message(5, "Odo", "Joined the server.", type="GuildMemberJoin"),
        ])  # fmt: skip
        chats, messages, export = read(file, "discord")
        assert [(chat.id, chat.title) for chat in chats] == [("42", "Harbour #slipway")]
        assert [message.text for message in messages] == ["When do we sail? 🚣‍♀️ \u202eהים", "At dawn."]
        assert messages[1].reply_to == "1" and messages[1].author == "Runa"
        assert messages[0].sent_at == at(2024, 3, 1, 8) and messages[1].edited_at == at(2024, 3, 1, 9)
        assert export.entries == {"42": 5}

    def test_a_file_that_was_cut_off_says_so(self, tmp_path: Path) -> None:
        file = discord_file(tmp_path, [discord_message(n, "Odo", f"Message {n}") for n in range(50)])
        file.write_bytes(file.read_bytes()[:3000])
        with pytest.raises(BadInput, match="ends in the middle"):
            list(open_export(file))

    @pytest.mark.parametrize("text", ["x" * 20_000, "half \ud83d of a character"])
    def test_what_no_message_can_hold_is_refused_by_its_id(self, tmp_path: Path, text: str) -> None:
        file = tmp_path / "export.json"
        whole = discord_file(tmp_path, [discord_message(17, "Odo", "PLACE")]).read_text()
        file.write_text(whole.replace('"PLACE"', json.dumps(text)))
        with pytest.raises(BadInput, match="Message 17"):
            list(open_export(file))


WHATSAPP = {
    "Android, British": "{d}/{m}/{y}, {H}:{M} - {who}: {said}",
    "Android, American": "{m}/{d}/{yy}, {h}:{M}\u202f{P} - {who}: {said}",
    "Android, German": "{d}.{m}.{yy}, {H}:{M} - {who}: {said}",
    "Android, Spanish": "{d}/{m}/{y}, {h}:{M} {p} m. - {who}: {said}",
    "Android, Brazilian": "{d}/{m}/{y} {H}:{M} - {who}: {said}",
    "Android, Finnish": "{d}.{m}.{y} klo {H}.{M} - {who}: {said}",
    "Android, French": "{d}/{m}/{y} à {H}:{M} - {who}: {said}",
    "Android, Japanese": "{y}/{m}/{d} {J}{h}:{M} - {who}: {said}",
    "Android, ISO": "{y}-{m}-{d}, {H}:{M} - {who}: {said}",
    "iPhone, British": "[{d}/{m}/{y}, {H}:{M}:17] {who}: {said}",
    "iPhone, American": "[{m}/{d}/{yy}, {h}:{M}:17\u202f{P}] {who}: {said}",
    "iPhone, German": "\u200e[{d}.{m}.{yy}, {H}:{M}:17] {who}: {said}",
}


def whatsapp_line(form: str, moment: datetime, who: str, said: str) -> str:
    late = moment.hour >= 12
    return form.format(
        d=f"{moment.day:02}", m=f"{moment.month:02}", y=moment.year, yy=moment.year % 100, H=f"{moment.hour:02}",
        h=moment.hour % 12 or 12, M=f"{moment.minute:02}", P="PM" if late else "AM", p="p." if late else "a.",
        J="午後" if late else "午前", who=who, said=said,
    )  # fmt: skip


class TestWhatsApp:
    @pytest.mark.parametrize("form", WHATSAPP.values(), ids=WHATSAPP.keys())
    def test_every_locale_gives_the_same_messages(self, tmp_path: Path, form: str) -> None:
        first, second, third = (
            datetime(2024, 3, 9, 11, 58),
            datetime(2024, 3, 10, 12, 5),
            datetime(2024, 3, 25, 23, 7),
        )
        file = tmp_path / "WhatsApp Chat with Harbour crew.txt"
        file.write_text("\n".join([
            whatsapp_line(form, first, "Odo", "x").replace("Odo: x", "Messages are encrypted."),
            whatsapp_line(form, first, "Odo", "When do we sail: dawn?"),
            "And who brings\n\nthe rope?",
            whatsapp_line(form, second, "Runa Vik", "\u200eimage omitted"),
            whatsapp_line(form, second, "Runa Vik", "<Media omitted>"),
            whatsapp_line(form, third, "Runa Vik", "I do \u200e<This message was edited>"),
            whatsapp_line(form, third, "Odo", "This message was deleted"),
        ]))  # fmt: skip
        chats, messages, export = read(file, "whatsapp")
        assert [chat.title for chat in chats] == ["Harbour crew"]
        assert [(message.author, message.text) for message in messages] == [
            ("Odo", "When do we sail: dawn?\nAnd who brings\n\nthe rope?"), ("Runa Vik", "I do"),
        ]  # fmt: skip
        assert [message.sent_at // 60 for message in messages] == [
            at(2024, 3, 9, 11, 58) // 60, at(2024, 3, 25, 23, 7) // 60,
        ]  # fmt: skip
        assert list(export.entries.values()) == [6]

    def test_day_and_month_are_told_apart_by_time_that_does_not_run_backwards(self, tmp_path: Path) -> None:
        file = tmp_path / "_chat.txt"
        file.write_text("[02/01/2024, 10:00:00] Odo: a\n[03/01/2024, 10:00:00] Odo: b\n[01/02/2024, 10:00:00] Odo: c\n")
        messages = read(file, "whatsapp")[1]
        assert [message.sent_at for message in messages] == [at(2024, 1, 2, 10), at(2024, 1, 3, 10), at(2024, 2, 1, 10)]

    def test_a_longer_export_names_the_same_messages_the_same(self, tmp_path: Path) -> None:
        lines = [f"[{1 + n // 9:02}/01/2024, 10:{n % 9:02}:00] Odo: {'again' if n % 3 else n}" for n in range(30)]
        lines += ["[05/01/2024, 11:00:00] Odo: ok", "[05/01/2024, 11:00:00] Odo: ok"]
        short, long = tmp_path / "a" / "_chat.txt", tmp_path / "b" / "_chat.txt"
        for file, count in ((short, 31), (long, 32)):
            file.parent.mkdir()
            file.write_text("\n".join(lines[:count]))
        ids = [message.external_id for message in read(long, "whatsapp")[1]]
        assert ids[:31] == [message.external_id for message in read(short, "whatsapp")[1]]
        assert len(set(ids)) == 32

    def test_the_zip_that_phones_send_is_read_as_it_is(self, tmp_path: Path) -> None:
        with zipfile.ZipFile(tmp_path / "WhatsApp Chat - Crew.zip", "w") as archive:
            archive.writestr("_chat.txt", "[02/01/2024, 10:00:00] Odo: Ahoy\n")
            archive.writestr("00000001-PHOTO.jpg", b"\xff\xd8")
        chats, messages, _ = read(tmp_path / "WhatsApp Chat - Crew.zip", "whatsapp")
        assert (chats[0].title, messages[0].text) == ("Crew", "Ahoy")


def slack_zip(folder: Path) -> Path:
    file = folder / "Harbour Slack export.zip"
    said = [
        {"type": "message", "user": "U1", "text": "Who has the <#C9|keys> &amp; rope, <@U2>?",
         "ts": "1709287200.000100", "thread_ts": "1709287200.000100"},
        {"type": "message", "user": "U2", "text": "See <https://harbour.example/|the list>", "ts": "1709287260.000200",
         "thread_ts": "1709287200.000100", "edited": {"user": "U2", "ts": "1709287300.0"}},
        {"type": "message", "subtype": "channel_join", "user": "U2", "text": "<@U2> has joined", "ts": "1709287261.0"},
        {"type": "message", "subtype": "bot_message", "bot_id": "B1", "text": "Deploy done", "ts": "1709287262.0"},
    ]  # fmt: skip
    later = [{"type": "message", "user": "U1", "text": "<!here> fog", "ts": "1709373600.0"}]
    with zipfile.ZipFile(file, "w") as archive:
        users = [{"id": "U1", "name": "odo", "profile": {"display_name": "Odo"}}, {"id": "U2", "real_name": "Runa Vik"}]
        archive.writestr("users.json", json.dumps(users))
        archive.writestr("channels.json", json.dumps([{"id": "C1", "name": "slipway"}, {"id": "C2", "name": "empty"}]))
        archive.writestr("slipway/2024-03-02.json", json.dumps(later))
        archive.writestr("slipway/2024-03-01.json", json.dumps(said))
    return file


class TestSlack:
    def test_channels_in_time_order_with_marks_made_readable(self, tmp_path: Path) -> None:
        chats, messages, export = read(slack_zip(tmp_path), "slack")
        assert export.account and [chat.title for chat in chats] == ["slipway", "empty"]
        assert [(message.author, message.text) for message in messages] == [
            ("Odo", "Who has the #keys & rope, @Runa Vik?"), ("Runa Vik", "See the list"), ("Odo", "@here fog"),
        ]  # fmt: skip
        assert messages[1].reply_to == messages[0].external_id and messages[0].reply_to is None
        assert messages[1].edited_at == 1709287300 and export.entries == {"C1": 5, "C2": 0}

    def test_an_export_packed_again_within_a_folder_is_the_same(self, tmp_path: Path) -> None:
        again = tmp_path / "again.zip"
        with zipfile.ZipFile(slack_zip(tmp_path)) as archive, zipfile.ZipFile(again, "w") as other:
            other.writestr("__MACOSX/._channels.json", b"\x00\x05")
            for name in archive.namelist():
                other.writestr(f"Harbour Slack export/{name}", archive.read(name))
        whole = read(tmp_path / "Harbour Slack export.zip", "slack")
        packed_again = read(again, "slack")
        assert packed_again[:2] == whole[:2] and packed_again[2].entries == whole[2].entries

    def test_people_of_another_organisation_are_called_as_their_messages_name_them(self, tmp_path: Path) -> None:
        file = slack_zip(tmp_path)
        guest = {
            "type": "message",
            "user": "U9",
            "text": "Ahoy",
            "ts": "1709460000.0",
            "user_profile": {"real_name": "Ines Aune", "display_name": "", "name": "ines"},
        }
        later = {"type": "message", "user": "U1", "text": "Ahoy, <@U9>", "ts": "1709460001.0"}
        with zipfile.ZipFile(file, "a") as archive:
            archive.writestr("slipway/2024-03-03.json", json.dumps([guest, later]))
        messages = read(file, "slack")[1]
        assert [(message.author, message.text) for message in messages[-2:]] == [
            ("Ines Aune", "Ahoy"), ("Odo", "Ahoy, @Ines Aune"),
        ]  # fmt: skip

    def test_many_channels_take_no_longer_than_their_files(self, tmp_path: Path) -> None:
        """Going over every file for every channel would take minutes here."""
        many = 3000
        file = tmp_path / "export.zip"
        with zipfile.ZipFile(file, "w") as archive:
            channels = [{"id": f"C{number}", "name": f"channel-{number}"} for number in range(many)]
            archive.writestr("channels.json", json.dumps(channels))
            for number in range(many):
                said = {"type": "message", "user": "U1", "text": f"Ahoy {number}", "ts": "1709460000.0"}
                archive.writestr(f"channel-{number}/2024-03-01.json", json.dumps([said]))
        began = time.monotonic()
        assert len(read(file, "slack")[1]) == many
        assert time.monotonic() - began < 20

    def test_a_message_that_cannot_be_kept_leaves_the_others_alone(self, tmp_path: Path) -> None:
        file = slack_zip(tmp_path)
        said = [
            {"type": "message", "user": "U1", "text": text, "ts": f"170946000{number}.0"}
            for number, text in enumerate(["y" * 40_000, "z" * 65_537, "half \ud83d of a character", "Ahoy"])
        ]
        with zipfile.ZipFile(file, "a") as archive:
            archive.writestr("slipway/2024-03-03.json", json.dumps(said))
        assert [len(message.text) for message in read(file, "slack")[1]][-4:] == [40_000, 0, 0, 4]

    def test_a_damaged_day_is_one_sentence(self, tmp_path: Path) -> None:
        file = slack_zip(tmp_path)
        with zipfile.ZipFile(file, "a") as archive:
            archive.writestr("slipway/2024-03-03.json", '[{"type": "mess')
        with pytest.raises(BadInput, match=r"2024-03-03.json .* is not JSON"):
            list(open_export(file))


OPENAI = {"messages": [
    {"role": "system", "content": "You are a pirate."}, {"role": "user", "content": "Ahoy?"},
    {"role": "assistant", "content": [{"type": "text", "text": "Ahoy!"}]}, {"role": "user", "content": "And?"},
    {"role": "assistant", "content": "Nothing."},
]}  # fmt: skip
SHAREGPT = {"conversations": [{"from": "human", "value": "Tide?"}, {"from": "gpt", "value": "Low."}]}


class TestDialogues:
    @pytest.mark.parametrize("form", ["lines", "array"])
    def test_both_conventions_in_both_forms(self, tmp_path: Path, form: str) -> None:
        file = tmp_path / ("talk.jsonl" if form == "lines" else "talk.json")
        both = [OPENAI, SHAREGPT]
        file.write_text("\n".join(map(json.dumps, both)) + "\n" if form == "lines" else json.dumps(both, indent=1))
        _, messages, export = read(file, "dialogues")
        assert [(message.author, message.text) for message in messages] == [
            ("user", "Ahoy?"), ("assistant", "Ahoy!"), ("user", "And?"), ("assistant", "Nothing."),
            ("user", "Tide?"), ("assistant", "Low."),
        ]  # fmt: skip
        assert [message.reply_to for message in messages] == [None, "1.1", "1.2", "1.3", None, "2.0"]
        assert export.entries == {"talk": 7}

    def test_the_line_that_cannot_be_read_is_named(self, tmp_path: Path) -> None:
        file = tmp_path / "talk.jsonl"
        file.write_text(json.dumps(OPENAI) + "\n" + json.dumps(SHAREGPT)[:30])
        with pytest.raises(BadInput, match="Line 2"):
            list(open_export(file))

    def test_a_turn_of_nobody_known_is_named(self, tmp_path: Path) -> None:
        file = tmp_path / "talk.jsonl"
        file.write_text(
            json.dumps({"messages": [{"role": "user", "content": "a"}, {"role": "narrator", "content": "b"}]})
        )
        with pytest.raises(BadInput, match=r"Dialogue 1 .*narrator"):
            list(open_export(file))


HANDBOOK = """# Harbour handbook

Welcome to the harbour. Here is what everybody who ties up should know before they do.

## Fees

A night costs twelve shells for boats under ten paces. Longer ones pay by the pace, and pilots pay nothing.

```
rate = 12
# not a heading
```

Mooring lines
-------------

Use two lines, and a spring where the swell comes round the point on westerly days.
"""


def as_html() -> str:
    return (
        "<!doctype html><html><body><nav>Home</nav><h1>Harbour handbook</h1><p>Welcome to the harbour. Here is what "
        "everybody who ties up should know before they do.</p><h2>Fees</h2><p>A night costs <b>twelve</b> shells for "
        "boats under ten paces.</p><script>alert(1)</script></body></html>"
    )


class TestDocuments:
    def test_passages_answer_for_their_headings(self, tmp_path: Path) -> None:
        (tmp_path / "handbook.md").write_text(HANDBOOK)
        _, messages, _ = read(tmp_path / "handbook.md", "document")
        asked = [message.text for message in messages if message.author == "asker"]
        answers = [message for message in messages if message.author == "assistant"]
        assert asked == [
            "handbook: Harbour handbook", "handbook: Harbour handbook – Fees",
            "handbook: Harbour handbook – Mooring lines",
        ]  # fmt: skip
        assert "# not a heading" in answers[1].text and answers[2].text.startswith("Use two lines")
        assert [answer.reply_to for answer in answers] == [f"{answer.external_id}-q" for answer in answers]

    def test_a_page_is_read_without_what_is_not_its_text(self, tmp_path: Path) -> None:
        (tmp_path / "page.html").write_text(as_html())
        texts = [message.text for message in read(tmp_path / "page.html", "document")[1]]
        assert any("A night costs twelve shells" in text for text in texts)
        assert not any("alert" in text or "Home" in text for text in texts)

    def test_no_word_of_a_page_is_lost_whatever_it_is_made_of(self, tmp_path: Path) -> None:
        long = "which is said at some length so that it is a passage"
        (tmp_path / "page.html").write_text(
            f"<html><head><title>T</title></head><body><div>One, {long}.<div>Two <b>in</b>ner<br>line</div>three</div>"
            f"<ul><li>Four, {long}<ul><li>five</li></ul>six</li></ul><dl><dt>Seven, {long}</dt><dd>eight</dd></dl>"
            f"<table><tr><th>Nine, {long}</th><td>ten</td></tr></table><h2>Head <i>line</i></h2>Eleven, {long}"
            f"<!-- hidden --><article><section>Twelve, {long}</section></article><pre>a\n  b</pre></body></html>"
        )
        messages = read(tmp_path / "page.html", "document")[1]
        answers = "\n\n".join(message.text for message in messages if message.author == "assistant")
        assert answers.split("\n\n") == [
            f"One, {long}.", "Two inner line", "three", f"Four, {long}", "five", "six", f"Seven, {long}", "eight",
            f"Nine, {long}", "ten", f"Eleven, {long}", f"Twelve, {long}", "a\n  b",
        ]  # fmt: skip
        assert messages[-2].text == "page: Head line"

    def test_a_page_nested_without_end_is_read_or_refused(self, tmp_path: Path) -> None:
        (tmp_path / "page.html").write_text("<html>" + "<div>" * 20_000 + "words " * 20)
        with suppress(BadInput):
            assert "words words" in read(tmp_path / "page.html", "document")[1][-1].text

    def test_a_word_document_has_its_tables_where_they_stand(self, tmp_path: Path) -> None:
        from docx import Document as WordDocument

        document = WordDocument()
        document.add_paragraph("Before the table stands a paragraph of some length.")
        table = document.add_table(3, 2)
        for row, cells in zip(table.rows, (("Boat", "Shells"), ("small", "twelve"), ("long", "thirty")), strict=True):
            for cell, text in zip(row.cells, cells, strict=True):
                cell.text = text
        table.cell(1, 1).merge(table.cell(2, 1))
        document.add_paragraph("After it stands another.")
        document.save(str(tmp_path / "fees.docx"))
        [answer] = [one.text for one in read(tmp_path / "fees.docx", "document")[1] if one.author == "assistant"]
        assert answer.split("\n\n") == [
            "Before the table stands a paragraph of some length.", "Boat | Shells", "small | twelve\nthirty", "long",
            "After it stands another.",
        ]  # fmt: skip

    def test_a_word_document_has_its_headings(self, tmp_path: Path) -> None:
        from docx import Document as WordDocument

        document = WordDocument()
        document.add_heading("Fees", 1)
        document.add_paragraph("A night costs twelve shells for boats under ten paces.")
        document.save(str(tmp_path / "fees.docx"))
        texts = [message.text for message in read(tmp_path / "fees.docx", "document")[1]]
        assert texts == ["fees: Fees", "A night costs twelve shells for boats under ten paces."]

    def test_a_pdf_gives_its_text(self, tmp_path: Path) -> None:
        file = tmp_path / "fees.pdf"
        file.write_bytes(pdf("A night costs twelve shells for boats under ten paces."))
        texts = [message.text for message in read(file, "document")[1]]
        assert texts == ["fees", "A night costs twelve shells for boats under ten paces."]

    def test_long_text_is_cut_between_sentences_and_nothing_is_lost(self, tmp_path: Path) -> None:
        sentences = [f"Sentence number {number} of the long tale goes on for a little while." for number in range(300)]
        (tmp_path / "tale.txt").write_text(" ".join(sentences))
        answers = [one.text for one in read(tmp_path / "tale.txt", "document")[1] if one.author == "assistant"]
        assert " ".join(answers) == " ".join(sentences) and all(len(answer) < 1000 for answer in answers)

    @pytest.mark.parametrize(
        ("name", "content"),
        [("a.pdf", b"%PDF-1.7 broken"), ("b.txt", b"\xff\xfa\x00"), ("c.txt", b"   \n"), ("d.bin", b"\x00\x01\x02")],
    )
    def test_what_cannot_be_read_is_one_sentence(self, tmp_path: Path, name: str, content: bytes) -> None:
        (tmp_path / name).write_bytes(content)
        with pytest.raises(BadInput) as caught:
            list(open_export(tmp_path / name))
        assert name in str(caught.value) and "\n" not in str(caught.value)
