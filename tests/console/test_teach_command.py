"""`parlance teach` and `parlance reject`, as a person and as a script meet them."""

from __future__ import annotations

import json
from pathlib import Path

from test_cli import parlance


def test_answers_are_taught_listed_and_taken_back(home: Path, tmp_path: Path) -> None:
    parlance(home, "assistant", "add", "harbour")
    done = parlance(home, "teach", "harbour", "When do you open?", "At six.", "--json")
    (pair,) = json.loads(done.stdout)
    assert (pair["question"], pair["answer"], pair["replaced"]) == ("When do you open?", "At six.", False)

    file = tmp_path / "faq.txt"
    file.write_text("# hours\nWhen do you open? => At seven.\nWho [really] keeps it? => [Runa]\n", encoding="utf-8")
    assert "2 answers" in parlance(home, "teach", "harbour", "--file", str(file)).stdout
    listed = parlance(home, "teach", "harbour")
    assert "At seven." in listed.stdout and "[Runa]" in listed.stdout and "At six." not in listed.stdout

    newest = json.loads(parlance(home, "teach", "harbour", "--json").stdout)[0]
    assert "Taken back" in parlance(home, "teach", "harbour", "--take-back", str(newest["id"])).stdout
    refused = parlance(home, "teach", "harbour", "--take-back", str(newest["id"]))
    assert refused.returncode == 1 and "not among the taught answers" in refused.stderr


def test_what_cannot_be_taught_or_rejected_is_one_sentence(home: Path, tmp_path: Path) -> None:
    parlance(home, "assistant", "add", "harbour")
    assert parlance(home, "teach", "harbour", "When?").returncode == 2
    bad = tmp_path / "bad.txt"
    bad.write_text("When? => At six.\nWhere?\n", encoding="utf-8")
    for words, says in (
        (("teach", "harbour", "--file", str(bad)), "Line 2 of bad.txt"),
        (("teach", "harbour", "--file", str(tmp_path / "none.txt")), "no file"),
        (("reject", "harbour", "3"), "no version harbour@v3"),
    ):
        done = parlance(home, *words)
        assert done.returncode == 1 and done.stdout == "" and says in done.stderr
