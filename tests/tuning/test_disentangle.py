"""Who answers whom, by the model that is shipped; and the measures that it is judged by."""

from __future__ import annotations

import itertools
import json
import random
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from bench.disentangle import found_links
from bench.disentangle_measures import assignment, conversations, score_conversations, score_links
from config.errors import BadInput
from tuning.disentangle.columns import NOBODY, Reader
from tuning.disentangle.irc import Log, read_lines, read_logs
from tuning.disentangle.linker import BLOCK, Linker, all_links, links
from tuning.disentangle.message import Message
from tuning.disentangle.model import WEIGHTS

ASKS = (
    "does anybody know how to mount the second disk at boot?", "my wireless card is gone after the update, any ideas?",
    "how do I see which package a file is from?", "why is the sound so quiet since yesterday?",
)  # fmt: skip
ANSWERS = (
    "have a look at the log first",
    "you want the other package",
    "restart the service and try again",
    "add it to the table",
)
THANKS = ("that worked, thanks", "ok, let me try", "no, still the same here", "which one do you mean?")


def tangled(talks: int, seed: int = 3) -> tuple[list[Message], list[int]]:
    """Conversations of two people each, several at a time, and what each message answers. Names are invented."""
    chance = random.Random(seed)
    lines: list[tuple[float, int, int, str]] = []
    for talk in range(talks):
        at = talk * 45.0 + chance.random() * 20
        for turn in range(6):
            text = (ASKS[talk % 4], ANSWERS[(talk + turn) % 4], THANKS[(talk + turn) % 4])[
                0 if not turn else 1 + (turn % 2 == 0)
            ]
            lines.append((at, talk, turn, text))
            at += 25 + chance.random() * 30
    lines.sort()
    messages, answered, newest = [], [], {}
    for number, (at, talk, turn, text) in enumerate(lines):
        author, other = (f"asker{talk}", f"knower{talk}")[:: -1 if turn % 2 else 1]
        messages.append(Message(author, author, at, text if not turn else f"{other}: {text}", key=number))
        answered.append(newest.get(talk, number))
        newest[talk] = number
    return messages, answered


def right(found: Sequence[int], answered: Sequence[int]) -> float:
    return sum(one == other for one, other in zip(found, answered, strict=True)) / len(answered)


def test_a_tangled_log_is_untangled_far_better_than_by_the_message_before() -> None:
    messages, answered = tangled(40)
    before = [max(number - 1, 0) for number in range(len(messages))]
    assert right(links(messages), answered) > 0.9
    assert right(before, answered) < 0.4


def test_without_names_it_is_still_better_than_the_message_before() -> None:
    messages, answered = tangled(40)
    nameless = [Message(m.author, m.name, m.at, m.text.split(": ")[-1]) for m in messages]
    before = [max(number - 1, 0) for number in range(len(messages))]
    assert right(links(nameless), answered) > right(before, answered) + 0.1


def test_links_never_point_forward_and_notices_answer_nothing() -> None:
    messages, _ = tangled(30)
    for place in (0, 7, 60, len(messages)):
        messages.insert(place, Message("", "", messages[min(place, len(messages) - 1)].at, "joined", notice=True))
    found = links(messages)
    assert all(answered <= number for number, answered in enumerate(found))
    assert all(found[number] == number for number, message in enumerate(messages) if message.notice)
    assert not any(messages[answered].notice for number, answered in enumerate(found) if answered != number)


def test_a_stream_gives_what_the_whole_log_gives_and_holds_no_more_than_its_window() -> None:
    messages, _ = tangled(900)
    assert len(messages) > 2 * BLOCK
    linker = Linker()
    streamed, late = [], 0
    for number, message in enumerate(messages):
        streamed += linker.take(message)
        late = max(late, number - len(streamed))
    streamed += linker.finish()
    assert streamed == all_links(messages)
    assert [one.message for one in streamed] == list(range(len(messages)))
    assert late < BLOCK + 200


def test_a_blocks_edge_changes_next_to_nothing() -> None:
    messages, answered = tangled(900)
    found = links(messages)
    around = range(BLOCK - 200, BLOCK + 200)
    assert right([found[one] for one in around], [answered[one] for one in around]) > 0.9


def test_a_known_reply_is_what_it_is_said_to_be() -> None:
    messages, _ = tangled(30)
    told = [
        *messages[:100],
        Message("late", "late", messages[99].at + 1, "what was that?", key="x", answers=3),
        *messages[100:],
    ]
    link = all_links(told)[100]
    assert (link.answers, link.also, link.sure) == (3, None, 1.0)


def test_another_language_and_names_of_several_words_are_no_obstacle() -> None:
    names = {"a": "Mira Falk", "b": "Jonte Ødegård", "c": "陳美玲", "d": "Олег Панин"}
    said = [
        ("a", "Weiß jemand, wann die Fähre morgen fährt?"), ("c", "明天有人可以帶蠟燭嗎？"),
        ("b", "Mira: um acht, aber nur werktags"), ("d", "@陳美玲 да, принесу две коробки"),
        ("a", "Jonte: danke, dann nehme ich die Fähre"), ("c", "Олег, 謝謝你！"),
    ]  # fmt: skip
    messages = [Message(who, names[who], 1000.0 + 20 * at, text) for at, (who, text) in enumerate(said)]
    assert links(messages) == [0, 1, 0, 1, 2, 3]


def test_a_name_is_found_at_the_start_or_anywhere_with_or_without_marks() -> None:
    reader = Reader({})
    reader.read([Message(1, "Mara Quill", 0, "hello"), Message(2, "zed_", 1, "hi"), Message(3, "zed", 2, "hi")])
    for text, lead in (
        ("Mara: wait", 2),
        ("mara , wait", 2),
        ("@Mara wait", 1),
        ("wait Mara!", 0),
        ("nobody: wait", -1),
    ):
        columns = reader.read([Message(3, "zed", 3, text)])
        assert columns.lead.tolist() == [lead], text
        assert (columns.named[0, 0] == NOBODY) == (lead == -1), text
    assert reader.read([Message(1, "Mara Quill", 4, "zed_: yes")]).named[0].tolist()[0] == 1
    assert reader.read([Message(1, "Mara Quill", 5, "zed: yes")]).named[0].tolist()[0] == 2


def test_empty_and_odd_logs_are_no_mistake() -> None:
    assert links([]) == []
    assert links([Message(1, "", 0, "")]) == [0]
    assert links([Message("", "", 0, "x", notice=True)]) == [0]
    odd = [Message(n % 3, "　", 10.0**9 - n, "？" * (n % 4) + " \n ") for n in range(50)]
    assert all(answered <= number for number, answered in enumerate(links(odd)))


def test_what_is_shipped_is_small_and_needs_no_torch() -> None:
    assert WEIGHTS.stat().st_size < 1_000_000
    code = "import sys, tuning.disentangle.linker as one; one.Linker(); print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "False"


def test_irc_lines_become_messages_of_people_and_notices() -> None:
    messages = read_lines([
        "[23:58] <nia> anyone?", "=== oda [~o@host.example] has joined #room", "[23:59] * nia waits",
        "=== nia is now known as nia_away", "[00:01] <nia_away> still here", "=== oda sings",
    ])  # fmt: skip
    assert [one.notice for one in messages] == [False, True, False, True, False, False]
    assert [one.author for one in messages if not one.notice] == ["nia", "nia", "nia", "oda"]
    assert [one.at for one in messages][::2] == [86280, 86340, 86460]
    assert messages[2].text == "waits"


def test_links_are_scored_as_pairs_over_all_logs() -> None:
    score = score_links([({(5, 5), (6, 5), (7, 6), (7, 5)}, {(5, 5), (6, 5), (7, 7)}), ({(9, 8)}, {(9, 8)})])
    assert (score.precision, score.recall) == (75.0, 60.0)
    assert score.f1 == pytest.approx(2 * 75 * 60 / 135)


def test_conversations_hang_together_by_what_was_before_but_only_the_judged_are_counted() -> None:
    found = conversations({(10, 3), (11, 3), (12, 12), (13, 12), (14, 14)}, range(10, 15))
    assert sorted(sorted(one) for one in found) == [[10, 11], [12, 13], [14]]


def test_conversation_measures_on_an_example_worked_by_hand() -> None:
    """Six messages: {1,2,3} {4,5} {6} annotated, {1,2} {3} {4,5} {6} found."""
    annotated = [frozenset({1, 2, 3}), frozenset({4, 5}), frozenset({6})]
    found = [frozenset({1, 2}), frozenset({3}), frozenset({4, 5}), frozenset({6})]
    score = score_conversations([(annotated, found)])
    assert score.one_to_one == pytest.approx(100 * 5 / 6)
    assert score.exact_f1 == pytest.approx(50.0)  # {4,5} of two found and two annotated
    # H(annotated | found) = 0; H(found | annotated) = 1/2 · (2/3 log2 3/2 + 1/3 log2 3)
    apart = 0.5 * (2 / 3 * np.log2(1.5) + 1 / 3 * np.log2(3))
    assert score.vi == pytest.approx(100 - 100 * apart / np.log2(6))
    same = score_conversations([(annotated, annotated)])
    assert (same.vi, same.one_to_one, same.exact_f1) == (100, 100, 100)


def test_the_best_pairing_is_the_best_of_all() -> None:
    chance = np.random.default_rng(5)
    for _ in range(60):
        rows, columns = sorted(chance.integers(1, 6, 2).tolist())
        gain = chance.integers(0, 9, (rows, columns)).astype(float)
        every = itertools.permutations(range(columns), rows)
        best = max(sum(gain[row, column] for row, column in enumerate(one)) for one in every)
        assert assignment(gain) == best


def written_log(folder: Path) -> Log:
    """1,000 lines of context and 60 judged ones, of the invented talks."""
    messages, answered = tangled(180)
    context = [f"[00:00] <quiet{number % 7}> …" for number in range(1000 - 60)]
    lines = [
        *context,
        *(f"[{int(m.at) // 3600 + 1:02}:{int(m.at) // 60 % 60:02}] <{m.author}> {m.text}" for m in messages[:120]),
    ]
    (folder / "talk.ascii.txt").write_text("\n".join(lines) + "\n")
    linked = [(len(context) + min(n, a), len(context) + max(n, a)) for n, a in enumerate(answered[:120])]
    (folder / "talk.annotation.txt").write_text("".join(f"{a} {b} -\n" for a, b in linked if b >= 1000))
    (log,) = read_logs(folder)
    return log


def test_the_bench_reads_a_folder_and_prints_the_figures(tmp_path: Path) -> None:
    log = written_log(tmp_path)
    assert len(log.messages) == 1060
    assert {message for message, _ in found_links(log)} == set(range(1000, 1060))
    command = [sys.executable, "-m", "bench.disentangle", str(tmp_path), "--json"]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    figures = json.loads(done.stdout)
    assert list(figures) == ["link", "conversation", "messages_per_second"]
    assert list(figures["link"]) == ["precision", "recall", "f1"]
    assert list(figures["conversation"]) == ["vi", "one_to_one", "exact_f1"]
    assert figures["link"]["f1"] > 80
    assert figures["messages_per_second"] > 0


def test_a_folder_without_logs_or_with_half_a_log_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"holds no NAME\.ascii\.txt"):
        read_logs(tmp_path)
    (tmp_path / "a.ascii.txt").write_text("[00:00] <nia> hi\n")
    with pytest.raises(BadInput, match="beside it"):
        read_logs(tmp_path)
    (tmp_path / "a.annotation.txt").write_text("0 9 -\n")
    with pytest.raises(BadInput, match="Line 1 of"):
        read_logs(tmp_path)
