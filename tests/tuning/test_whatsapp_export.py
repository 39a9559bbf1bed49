"""WhatsApp's exports as phones write them in many languages: no message becomes a part of another, nothing that
WhatsApp wrote itself is taken for somebody's words, and what cannot be read is refused or left out and counted."""

from __future__ import annotations

import tracemalloc
import zipfile
from datetime import UTC, datetime
from pathlib import Path

import pytest

from config.errors import BadInput
from tuning.sources.detect import open_export
from tuning.sources.export import LONGEST_TEXT
from tuning.sources.message import SourceMessage

ARABIC = str.maketrans("0123456789", "٠١٢٣٤٥٦٧٨٩")
BENGALI = str.maketrans("0123456789", "০১২৩৪৫৬৭৮৯")
FORMS = {
    "Albanian": ("{d}.{m}.{yy}, {h}:{M} {half}", "p.d.", "m.d."),
    "Arabic": ("{d}\u200f/{m}\u200f/{y}، {h}:{M} {half}", "ص", "م"),
    "Basque": ("{yy}/{m}/{d} ({H}:{M})", "", ""),
    "Bosnian": ("{d}. {m}. {y}. u {H}:{M}", "", ""),
    "Bulgarian": ("{d}.{m:02}.{yy} г., {H}:{M} ч.", "", ""),
    "Canadian": ("{y}-{m:02}-{d:02}, {h}:{M}\u202f{half}", "a.m.", "p.m."),
    "Chinese": ("{y}/{m}/{d} {half}{h}:{M}", "上午", "下午"),
    "Chinese of Taiwan": ("{y}/{m}/{d} {half}{h}:{M}", "凌晨", "晚上"),
    "Croatian": ("{d:02}. {m:02}. {y}. {H}:{M}", "", ""),
    "Czech": ("{d}. {m}. {y} {h}:{M} {half}", "dop.", "odp."),
    "Danish": ("{d:02}.{m:02}.{y}, {H}.{M}", "", ""),
    "Finnish": ("{d}.{m}.{y} klo {h}.{M} {half}", "ap.", "ip."),
    "French of Canada": ("{y}-{m:02}-{d:02} {H} h {M}", "", ""),
    "Greek": ("{d}/{m}/{yy}, {h}:{M} {half}", "π.μ.", "μ.μ."),
    "Hungarian": ("{y}. {m:02}. {d:02}. {half} {h}:{M}", "de.", "du."),
    "Japanese": ("{y}/{m}/{d} {half}{h}:{M}", "午前", "午後"),
    "Korean": ("{y}. {m}. {d}. {half} {h}:{M}", "오전", "오후"),
    "Korean in words": ("{y}년 {m}월 {d}일 {half} {h}:{M}", "오전", "오후"),
    "Korean, short years": ("{yy}. {m}. {d}. {half} {h}:{M}", "오전", "오후"),
    "Lithuanian": ("{y}-{m:02}-{d:02} {h:02}:{M} {half}", "priešpiet", "popiet"),
    "Malay": ("{d}/{m:02}/{yy}, {h}:{M} {half}", "PG", "PTG"),
    "Mexican": ("{d:02}/{m:02}/{yy}, {h}:{M}\u00a0{half}", "a.\u00a0m.", "p.\u00a0m."),
    "Swedish": ("{y}-{m:02}-{d:02} {h}:{M} {half}", "fm", "em"),
    "Thai": ("{d}/{m}/{thai} {H}:{M}", "", ""),
    "Thai, short years": ("{d}/{m}/{thai_short} {H}:{M}", "", ""),
    "Turkish": ("{d}.{m:02}.{y} {half} {h}:{M}", "ÖÖ", "ÖS"),
    "Ukrainian": ("{d:02}.{m:02}.{yy}, {h}:{M} {half}", "дп", "пп"),
    "United States": ("{m}/{d}/{yy}, {h}:{M}\u202f{half}", "AM", "PM"),
    "Vietnamese": ("{d}/{m}/{y}, {h}:{M} {half}", "SA", "CH"),
    "Vietnamese, time first": ("{H}:{M} {d}/{m}/{yy}", "", ""),
}
"""Date and time as Unicode's tables of locales have them, many days and months without a zero before them; and the two
halves of the day."""
MOMENTS = [
    datetime(2023, 12, 28, 23, 58, tzinfo=UTC), datetime(2024, 1, 1, 0, 5, tzinfo=UTC),
    datetime(2024, 1, 2, 9, 5, tzinfo=UTC), datetime(2024, 1, 9, 21, 7, tzinfo=UTC),
    datetime(2024, 1, 13, 22, 0, tzinfo=UTC), datetime(2024, 2, 1, 8, 30, tzinfo=UTC),
]  # fmt: skip


def stamp(form: tuple[str, str, str], at: datetime) -> str:
    return form[0].format(
        d=at.day, m=at.month, y=at.year, yy=f"{at.year % 100:02}", thai=at.year + 543, thai_short=(at.year + 543) % 100,
        H=f"{at.hour:02}", h=at.hour % 12 or 12, M=f"{at.minute:02}", half=form[2 if at.hour >= 12 else 1],
    )  # fmt: skip


def read(file: Path) -> list[SourceMessage]:
    export = open_export(file)
    assert export.kind == "whatsapp"
    return [item for item in export if isinstance(item, SourceMessage)]


def written(folder: Path, *lines: str, name: str = "_chat.txt") -> Path:
    file = folder / name
    file.write_text("\n".join(lines), encoding="utf-8")
    return file


def said(file: Path) -> list[tuple[str, str]]:
    return [(message.author, message.text) for message in read(file)]


@pytest.mark.parametrize("phone", ["iPhone", "Android"])
@pytest.mark.parametrize("language", FORMS)
def test_each_language_gives_every_message_with_its_time(tmp_path: Path, language: str, phone: str) -> None:
    beginning = {"iPhone": "[{}] ", "Android": "{} - "}[phone]
    lines = [f"{beginning.format(stamp(FORMS[language], at))}Ada: word {n}" for n, at in enumerate(MOMENTS)]
    messages = read(written(tmp_path, *lines))
    assert [(message.author, message.text) for message in messages] == [("Ada", f"word {n}") for n in range(6)]
    assert [message.sent_at for message in messages] == [int(at.timestamp()) for at in MOMENTS]


@pytest.mark.parametrize("digits", [ARABIC, BENGALI], ids=["Arabic", "Bengali"])
def test_digits_of_any_script_are_read(tmp_path: Path, digits: dict[int, int]) -> None:
    lines = [f"{stamp(FORMS['Arabic'], at).translate(digits)} - Ada: word {n}" for n, at in enumerate(MOMENTS)]
    messages = read(written(tmp_path, *lines))
    assert [message.sent_at for message in messages] == [int(at.timestamp()) for at in MOMENTS]


def test_a_name_may_stand_after_a_comma_and_before_a_spaced_colon(tmp_path: Path) -> None:
    lines = [f"{stamp(FORMS['Korean in words'], at)}, Ada : word {n}" for n, at in enumerate(MOMENTS)]
    assert said(written(tmp_path, *lines)) == [("Ada", f"word {n}") for n in range(6)]


def test_the_order_in_which_a_chat_took_the_shortest_time_is_taken_where_several_are_possible(tmp_path: Path) -> None:
    american = [f"1/{day}/24, 9:05 PM - Ada: word {day}" for day in (2, 3, 5)]
    korean = [f"24. 1. {day}. 오후 9:05 - Ada: word {day}" for day in (12, 13, 15)]
    for lines, day in ((american, 2), (korean, 12)):
        assert read(written(tmp_path, *lines))[0].sent_at == int(datetime(2024, 1, day, 21, 5, tzinfo=UTC).timestamp())


@pytest.mark.parametrize("beginning", ["[2024/1/2 {} 9:05] ", "2024/1/2 {} 9:05 - "])
def test_times_in_words_that_nobody_knows_are_refused_in_one_sentence(tmp_path: Path, beginning: str) -> None:
    file = written(tmp_path, *[f"{beginning.format(half)}Ada: word" for half in ("mañanita", "nochecita") * 4])
    with pytest.raises(BadInput, match=r"cannot be read here \(2024/1/2 mañanita 9:05\)") as refused:
        list(open_export(file))
    assert "\n" not in str(refused.value) and "word" not in str(refused.value)


def test_years_of_another_calendar_are_refused(tmp_path: Path) -> None:
    file = written(tmp_path, "۱۴۰۲/۱۰/۷, ۲۳:۵۸ - Ada: word", "۱۴۰۲/۱۰/۸, ۲۳:۵۸ - Ada: word")
    with pytest.raises(BadInput, match="Gregorian"):
        list(open_export(file))


def test_a_message_with_another_chat_pasted_into_it_holds_its_place_and_no_more(tmp_path: Path) -> None:
    pasted = ("[21:05, 1/2/2024] Ines: a secret", "2024/1/2 nachts 9:05 - Ines: another")
    for line in pasted:
        file = written(
            tmp_path, "02/01/2024, 21:05 - Ada: look:", line, "and so on", "02/01/2024, 21:06 - Odo: I see",
            "03/01/2024, 21:06 - Odo: the meeting is at 10:30 - bring cake",
        )  # fmt: skip
        assert said(file) == [("Ada", ""), ("Odo", "I see"), ("Odo", "the meeting is at 10:30 - bring cake")]


def test_a_line_with_a_date_that_there_is_not_is_no_beginning(tmp_path: Path) -> None:
    file = written(
        tmp_path, "25/01/2024, 21:05 - Ada: look:", "31/02/2024, 10:00 - Ines: a secret", "26/01/2024, 21:06 - Odo: no"
    )
    assert said(file) == [("Ada", ""), ("Odo", "no")]


def test_two_exports_in_one_file_are_refused(tmp_path: Path) -> None:
    one = [f"0{day}/01/2024, 21:05 - Ada: word" for day in range(1, 10)] * 5
    other = [f"[0{day}.01.24, 21:05:00] Ada: word" for day in range(1, 10)] * 4
    with pytest.raises(BadInput, match="in two ways"):
        list(open_export(written(tmp_path, *one, *other)))


OWN = [
    "\u200eBild weggelassen", "\u200e画像は省略されました", "\u200eVerpasster Sprachanruf um 21:05",
    "\u200eNachrichten und Anrufe sind Ende-zu-Ende-verschlüsselt.", "\u200eMax hat Ada hinzugefügt",
    "\u200eSie haben den Betreff in „Reise: Rom“ geändert.", "Vertrag.pdf • \u200e5 Seiten \u200eDokument weggelassen",
    "\u200e<Anhang: 00000012-PHOTO-2024-01-02-21-05-00.jpg>",
]  # fmt: skip


@pytest.mark.parametrize("notice", OWN)
def test_what_an_iphone_wrote_itself_is_nobodys_words_in_any_language(tmp_path: Path, notice: str) -> None:
    file = written(
        tmp_path, f"[02.01.24, 21:05:00] Reise: {notice}",
        "\u200e[02.01.24, 21:05:10] Max: Schau mal \u200e<Anhang: a.jpg>",
        "[02.01.24, 21:06:00] Ada: Ahoi \u200e<Diese Nachricht wurde bearbeitet>",
    )  # fmt: skip
    assert said(file) == [("Max", "Schau mal"), ("Ada", "Ahoi")]


ANDROID = [
    "Messages and calls are end-to-end encrypted.", 'Ada changed the subject from "Trip: Rome" to "Trip: Oslo"',
    "Ada hat den Betreff von „Reise: Rom“ zu „Reise: Oslo“ geändert",
    "Ada a remplacé le sujet « Voyage: Rome » par « Voyage: Oslo »",
    "Ada: null", "Ada: <Media omitted>", "Ada: <Medien ausgeschlossen>", "Ada: \u200eIMG-1.jpg (plik dołączony)",
    "Ada: IMG-1.jpg (file attached)", "Ada: This message was deleted", "Ada: Missed voice call", "Ada: POLL:\nRome?",
    "Ada: location: https://maps.example/?q=1,2", "Ada: Bild weggelassen",
    "Trip: Messages and calls are end-to-end encrypted. No one outside can read them.",
]  # fmt: skip


@pytest.mark.parametrize("notice", ANDROID)
def test_what_android_wrote_itself_is_nobodys_words(tmp_path: Path, notice: str) -> None:
    file = written(tmp_path, f"02/01/2024, 21:05 - {notice}", "02/01/2024, 21:06 - Ada: Ahoy")
    assert said(file) == [("Ada", "Ahoy")]


@pytest.mark.parametrize(
    "words",
    [
        "nullable Spalten sind böse",
        "null and void",
        "POLL: who is in?",
        "Location: the old pier",
        "a “b” c: d",
        "video",
    ],
)
def test_what_only_begins_like_a_notice_is_somebodys_words(tmp_path: Path, words: str) -> None:
    assert said(written(tmp_path, f"02/01/2024, 21:05 - Ada: {words}")) == [("Ada", words)]


def test_the_caption_of_a_file_is_its_senders_words(tmp_path: Path) -> None:
    file = written(
        tmp_path, "02/01/2024, 21:05 - Ada: \u200eIMG-1.jpg (archivo adjunto)", "The old pier", "at noon",
        "02/01/2024, 21:06 - Ada “the Pilot” Lee: Fine <This message was edited>",
    )  # fmt: skip
    assert said(file) == [("Ada", "The old pier\nat noon"), ("Ada “the Pilot” Lee", "Fine")]


def test_a_message_as_long_as_whatsapp_allows_is_kept_and_a_longer_one_leaves_the_rest_alone(tmp_path: Path) -> None:
    file = written(
        tmp_path, f"[02/01/2024, 10:00:00] Odo: {'y' * LONGEST_TEXT}", f"[02/01/2024, 10:01:00] Ada: {'z' * 65_537}",
        "[02/01/2024, 10:02:00] Odo: Ahoy", f"[02/01/2024, 10:03:00] Ada: {'word ' * 10_000}\n" * 2,
    )  # fmt: skip
    assert [len(message.text) for message in read(file)] == [65_536, 0, 4, 49_999, 49_999]


def test_a_message_without_end_does_not_fill_the_memory(tmp_path: Path) -> None:
    file = tmp_path / "_chat.txt"
    with file.open("w") as stream:
        stream.write("[02/01/2024, 10:00:00] Odo: Ahoy\n[02/01/2024, 10:01:00] Odo: ")
        for _ in range(40):
            stream.write("x" * (1 << 20))
        for _ in range(40):
            stream.write(f"{'y' * 1023}\n" * (1 << 10))
    tracemalloc.start()
    messages = read(file)
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert [message.text for message in messages] == ["Ahoy", ""]
    assert most < 12 << 20


def test_the_chat_is_found_beside_text_files_that_people_sent(tmp_path: Path) -> None:
    for inside in ("_chat.txt", "Crew/_chat.txt", "WhatsApp Chat with Crew.txt"):
        file = tmp_path / "Crew.zip"
        with zipfile.ZipFile(file, "w") as archive:
            archive.writestr("__MACOSX/._chat.txt", b"\x00\x05")
            archive.writestr("00001-notes.txt", "some notes")
            archive.writestr(inside, "[02/01/2024, 10:00:00] Odo: Ahoy\n")
        assert said(file) == [("Odo", "Ahoy")]
