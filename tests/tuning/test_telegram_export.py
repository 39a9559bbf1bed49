"""The reader of Telegram Desktop's exports."""

from __future__ import annotations

import json
import tracemalloc
from pathlib import Path

import pytest
from chat_exports import account, author_id, chat, message, service, talk, written

from config.errors import BadInput
from tuning.sources.message import SourceChat, SourceMessage
from tuning.sources.telegram import TelegramExport


def read(file: Path) -> tuple[list[SourceChat], list[SourceMessage]]:
    items = list(TelegramExport(file))
    return [x for x in items if isinstance(x, SourceChat)], [x for x in items if isinstance(x, SourceMessage)]


def only(folder: Path, **changed: object) -> SourceMessage:
    _, messages = read(written(folder, chat([{**message(5, "Runa Vik", "Fog.", 1_700_000_000), **changed}])))
    (one,) = messages
    return one


def test_a_single_chat_gives_its_head_and_its_messages(tmp_path: Path) -> None:
    chats, messages = read(written(tmp_path, chat(talk(2))))
    assert chats == [SourceChat("77", "Harbour", "private_group")]
    assert [one.external_id for one in messages] == ["1", "2", "3", "4"]
    assert messages[1].author == "Runa Vik"
    assert messages[1].reply_to == "1"
    assert messages[1].sent_at == 1_700_000_040


def test_an_account_gives_each_chat_with_its_own_messages_and_those_that_were_left(tmp_path: Path) -> None:
    file = written(tmp_path, account(chat(talk(1), "One", 1), chat([], "Two", 2), left=(chat(talk(2), "Three", 3),)))
    export = TelegramExport(file)
    seen: dict[str, int] = {}
    for item in export:
        if isinstance(item, SourceChat):
            seen[item.title] = 0
        else:
            seen[list(seen)[-1]] += 1
    assert seen == {"One": 2, "Two": 0, "Three": 4}
    assert export.account
    assert export.entries == {"1": 2, "2": 0, "3": 4}


def test_entities_are_joined_and_preferred_over_text(tmp_path: Path) -> None:
    entities = [
        {"type": "plain", "text": "See "},
        {"type": "text_link", "text": "the chart", "href": "https://x.example"},
    ]
    assert only(tmp_path, text_entities=entities, text="something else").text == "See the chart"


def test_mixed_text_of_older_exports_is_joined(tmp_path: Path) -> None:
    mixed = ["Oil ", {"type": "bold", "text": "today"}, " please"]
    assert only(tmp_path, text=mixed, text_entities=[]).text == "Oil today please"


def test_a_poll_is_read_as_its_question_and_answers(tmp_path: Path) -> None:
    poll = {
        "question": "Which boat?",
        "closed": False,
        "total_voters": 2,
        "answers": [{"text": "Red", "voters": 1, "chosen": True}],
    }
    assert only(tmp_path, text="", text_entities=[], poll=poll).text == "Which boat?\n- Red"


def test_a_caption_is_the_text_of_its_photo(tmp_path: Path) -> None:
    assert only(tmp_path, photo="photos/1.jpg", width=10, height=10).text == "Fog."


def test_somebody_who_deleted_the_account_is_still_one_person(tmp_path: Path) -> None:
    one = only(tmp_path, **{"from": None})
    assert (one.author, one.author_id) == ("Deleted account", author_id("Runa Vik"))


def test_a_reply_into_another_chat_is_no_reply_here(tmp_path: Path) -> None:
    assert only(tmp_path, reply_to_message_id=2).reply_to == "2"
    assert only(tmp_path, reply_to_message_id=2, reply_to_peer_id="channel9").reply_to is None


def test_a_forward_is_known_even_from_somebody_hidden(tmp_path: Path) -> None:
    assert only(tmp_path, forwarded_from=None).forwarded
    assert not only(tmp_path).forwarded


def test_reactions_and_buttons_do_not_leak_into_the_text(tmp_path: Path) -> None:
    reactions = [{"type": "emoji", "count": 1, "emoji": "👍", "recent": [{"from": "Odo", "from_id": "user1"}]}]
    one = only(tmp_path, reactions=reactions, inline_bot_buttons=[[{"type": "url", "text": "Open", "data": "x"}]])
    assert (one.text, one.author) == ("Fog.", "Runa Vik")


def test_service_messages_and_those_without_text_are_counted_and_not_kept(tmp_path: Path) -> None:
    entries = [
        service(1, "Odo", 1),
        message(2, "Odo", "", 2, sticker_emoji="⛵"),
        message(3, "Odo", " \n", 3),
        *talk(1, 4),
    ]
    export = TelegramExport(written(tmp_path, chat([*entries, {**entries[0], "id": 9, "type": "unsupported"}])))
    assert sum(isinstance(item, SourceMessage) for item in export) == 2
    assert export.entries == {"77": 6}


@pytest.mark.parametrize(
    "said",
    [
        "שלום, מתי יוצאים? \u200fמחר",
        "الضباب حتى الظهر\u061c",
        "👩‍🚒🏴‍☠️ 🇳🇴 👍🏽",
        "e\u0301a\u030a n\u0303 Z̷̡̛a̶l̵g̷o̴",
        'a "quoted" \\ud800 back\\slash\ttab\nline',
        "𝕬 \U0010ffff \ufeff",
    ],
)
@pytest.mark.parametrize("ascii_only", [False, True])
def test_any_script_comes_out_unchanged(tmp_path: Path, said: str, ascii_only: bool) -> None:
    file = written(tmp_path, chat([message(1, said.split()[0], said, 5)]), ensure_ascii=ascii_only)
    _, (one,) = read(file)
    assert one.text == said
    assert one.author == said.split()[0]


def test_text_is_unchanged_wherever_the_reading_happens_to_break(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = 'x👩‍🚒é\\"\n' * 30
    file = written(tmp_path, chat([message(1, "Odo", said, 5)]), ensure_ascii=True)
    for size in range(1, 40):
        monkeypatch.setattr("tuning.sources.json_file.CHUNK_BYTES", size)
        assert read(file)[1][0].text == said


@pytest.mark.parametrize("half", ['"\\ud83d"', '"\\ude00 a"', '"a \\ud83d\\ud83d\\ude00"', '"\\\\\\ud800x"'])
def test_half_a_character_is_refused_with_its_message(tmp_path: Path, half: str) -> None:
    file = written(tmp_path, chat([message(1, "Odo", "good", 5), message(42, "Odo", "HERE", 5)]))
    file.write_text(file.read_text().replace('"HERE"', half))
    with pytest.raises(BadInput, match=r"Message 42 .*half of a character"):
        read(file)


def test_half_a_character_as_raw_bytes_is_refused_with_its_message(tmp_path: Path) -> None:
    file = written(tmp_path, chat([message(42, "Odo", "HERE", 5)]))
    file.write_bytes(file.read_bytes().replace(b"HERE", b"\xed\xa0\xbd"))
    with pytest.raises(BadInput, match="Message 42"):
        read(file)


def test_half_a_character_where_nobody_reads_it_harms_nothing(tmp_path: Path) -> None:
    file = written(tmp_path, chat([message(42, "Odo", "fine", 5, file_name="HERE")]))
    file.write_text(file.read_text().replace('"HERE"', '"\\ud83d"'))
    assert read(file)[1][0].text == "fine"


def test_a_message_longer_than_any_of_telegrams_is_refused_with_its_id(tmp_path: Path) -> None:
    assert len(only(tmp_path, text_entities=[{"type": "plain", "text": "x" * 16_384}]).text) == 16_384
    file = written(tmp_path, chat([message(8, "Odo", "y" * 100_000, 5)]))
    with pytest.raises(BadInput, match=r"Message 8 .* 100,000 characters"):
        read(file)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "is empty"),
        (b"Hello there", "not JSON"),
        (b"PK\x03\x04\x14\x00\x08", "not JSON"),
        (b"<!DOCTYPE html><html></html>", "not JSON"),
        (b'{"name": "a" "id"}', "not JSON"),
        (b'{"a": "\xff\xfe"}', "UTF-8|not JSON"),
        (b"[]", "not a Telegram export"),
        (b"3", "not a Telegram export"),
        (b'"text"', "not a Telegram export"),
        (b"{}", "not a Telegram export"),
        (b'{"guild": {"id": "1"}, "messages": [{"id": "1"}]}', "not a Telegram export"),
        (b'{"id": 1, "type": "x", "name": "y", "messages": [1, 2]}', "not a Telegram export"),
        (b'{"id": 1, "type": "x", "name": "y", "messages": [[1]]}', "not a Telegram export"),
        (
            b'{"id": 1, "type": "x", "name": "y", "messages": [{"role": "user", "content": "x"}]}',
            "not a Telegram export",
        ),
        (b'{"id": 1, "name": "y", "messages": [{"id": 4, "type": "message", "text": "x"}]}', "Message 4 .* no date"),
    ],
)
def test_what_is_no_export_is_refused_in_one_sentence(tmp_path: Path, content: bytes, sentence: str) -> None:
    file = tmp_path / "result.json"
    file.write_bytes(content)
    with pytest.raises(BadInput, match=sentence) as refused:
        read(file)
    assert "\n" not in str(refused.value)


def test_a_file_cut_off_anywhere_is_said_to_be_cut_off(tmp_path: Path) -> None:
    whole = json.dumps(chat(talk(2)), ensure_ascii=False).encode()
    for end in range(1, len(whole), 7):
        file = tmp_path / "cut.json"
        file.write_bytes(whole[:end])
        with pytest.raises(BadInput, match=r"ends in the middle|not a Telegram export"):
            read(file)


def test_a_byte_order_mark_is_no_obstacle(tmp_path: Path) -> None:
    file = written(tmp_path, chat(talk(1)))
    file.write_bytes(b"\xef\xbb\xbf" + file.read_bytes())
    assert len(read(file)[1]) == 2


def test_a_missing_file_and_a_folder_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="There is no file"):
        TelegramExport(tmp_path / "nothing.json")
    with pytest.raises(BadInput, match="is a folder"):
        TelegramExport(tmp_path)


def test_keys_in_alphabetical_order_are_read_as_well(tmp_path: Path) -> None:
    chats, messages = read(written(tmp_path, chat(talk(1)), sort_keys=True))
    assert chats[-1] == SourceChat("77", "Harbour", "private_group")
    assert len(messages) == 2


def test_memory_stays_flat_while_the_file_grows(tmp_path: Path) -> None:
    def peak(rounds: int) -> int:
        file = written(tmp_path, chat(talk(rounds)))
        tracemalloc.start()
        for _ in TelegramExport(file):
            pass
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return most

    peak(50)
    assert peak(2000) < peak(300) + 200_000
