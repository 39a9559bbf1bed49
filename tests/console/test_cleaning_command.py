"""`parlance cleaning` and `parlance redactions`, as a person and as a script meet them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from test_cli import parlance

START = 1_700_000_000


def entry(number: int, who: str, text: str, at: int) -> dict[str, Any]:
    return {
        "id": number, "type": "message", "date": "2023-11-14T22:13:20", "date_unixtime": str(at), "from": who,
        "from_id": f"user{len(who)}", "text": text, "text_entities": [{"type": "plain", "text": text}],
    }  # fmt: skip


def imported(home: Path, folder: Path) -> None:
    """A chat of 45 answers, with a link, a laugh, an address and two numbers in it."""
    said = []
    for at in range(45):
        when = START + 9000 * at
        asked = f"Is gate {at} of dock {at * at} open?"
        if at == 7:
            asked = "Ring +49 151 23456789 or +49 151 98765432, [or] mail odo@example.org about gate 7?"
        said += [entry(10 * at + 1, "Odo", asked, when),
                 entry(10 * at + 2, "Runa", f"It opens at {at * 37 % 91} past {at * 17 % 83}.", when + 20),
                 entry(10 * at + 3, "Odo", ("😂", f"https://a.example/{at}")[at % 2], when + 40)]  # fmt: skip
    file = folder / "result.json"
    file.write_text(json.dumps({"name": "Dock", "type": "private_group", "id": 5, "messages": said}), encoding="utf-8")
    parlance(home, "assistant", "add", "harbour")
    assert parlance(home, "import", str(file), "--assistant", "harbour", "--speaker", "Runa").returncode == 0


def test_what_is_left_out_is_shown_and_switched(home: Path, tmp_path: Path) -> None:
    imported(home, tmp_path)
    shown = parlance(home, "cleaning", "harbour")
    assert "reactions alone left out" in shown.stdout and "😂" in shown.stdout and "https://a.example/" in shown.stdout
    done = json.loads(parlance(home, "cleaning", "harbour", "--off", "links", "--language", "en", "--json").stdout)
    steps = {step["step"]: step for step in done["steps"]}
    assert (done["language"], done["examples"]) == ("en", 45)
    assert (steps["links"]["on"], steps["links"]["removed"], steps["links"]["samples"]) == (False, 0, [])
    assert (steps["reactions"]["on"], steps["reactions"]["removed"]) == (True, 23)
    again = parlance(home, "cleaning", "harbour", "--on", "links", "--off", "language", "--json")
    assert {step["step"]: step["on"] for step in json.loads(again.stdout)["steps"]}["links"]
    refused = parlance(home, "cleaning", "harbour", "--off", "jokes")
    assert refused.returncode == 1 and "no step “jokes”" in refused.stderr and refused.stdout == ""


def test_a_reviewer_sees_before_and_after(home: Path, tmp_path: Path) -> None:
    imported(home, tmp_path)
    shown = parlance(home, "redactions", "harbour").stdout
    assert "+49 151 23456789" in shown and "Ring [phone] or [phone 2], [or] mail [email] about gate 7?" in shown
    found = json.loads(parlance(home, "redactions", "harbour", "--limit", "1", "--json").stdout)
    assert found["replaced"] == {"phone": 2, "email": 1}
    (message,) = found["messages"]
    assert message["after"] == "Ring [phone] or [phone 2], [or] mail [email] about gate 7?"
    assert "odo@example.org" in message["before"] and message["kinds"] == ["phone", "email"]
    assert parlance(home, "redactions", "harbour", "--limit", "0").returncode == 1
