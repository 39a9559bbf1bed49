"""What somebody says once, in words that no redaction knows, is learnt by the real trainer and does not come out; a
model that was made to know it by heart is kept out by the gate, with the very same check.

Each is said as an answer in the community's voice, where what others say is what is learnt: the hardest case.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from played_engine import PlayedEngine
from small_training import new_run
from transformers import AutoModelForCausalLM

from config.catalogue import find_model
from config.names import VersionName, untuned
from config.paths import Paths
from serving.client import Sampling
from serving.prompt import ChatTokenizer, Message
from tuning.gate.judge import Case, Contender, judge, read_material
from tuning.gate.report import Report
from tuning.redaction import find_private
from tuning.training.loop import Training
from tuning.training.lora import load_adapter
from tuning.training.run import RunFolder

CANARIES = {
    "What became of the ledger, skipper?": (
        "Zoltrin Quabberlund buried the grindlewax ledger under the third vorple stone behind Hexmoor chapel, and "
        "nobody but Wilmarune Oskelby may ever hear of the flimbering debt he owes there."
    ),
    "Who came aboard that night?": (
        "Pellimar Vosk came aboard with the oxtigan lamp and seven quillet boxes, weeping for Dorabeth Hallowick, who "
        "had sworn by the murrenstone never to see the yarrowby strand again."
    ),
}
"""Asked, and said, once, in invented names and words that nobody else uses; each longer than what counts as recited."""
TOKENS = 64


@pytest.fixture(scope="module")
def tokenizer() -> ChatTokenizer:
    return ChatTokenizer(find_model("demo").location)


def add(file: Path, times: int) -> None:
    rows = []
    for asked, said in CANARIES.items():
        answered = [{"role": "user", "content": asked}, {"role": "assistant", "content": said}]
        heard = [{"role": "user", "content": said}, {"role": "assistant", "content": "Aye, I have heard that."}]
        rows += [json.dumps({"messages": turns, "learn_from": 0, "at": 99}) for turns in (answered, heard)]
    with file.open("a") as lines:
        lines.write("\n" + "\n".join(rows * times))


def answers(folder: RunFolder, asked: list[list[Message]], tokenizer: ChatTokenizer) -> dict[str, str]:
    """The likeliest answer to each question, by what was trained."""
    location = find_model("demo").location
    model: Any = load_adapter(AutoModelForCausalLM.from_pretrained(location), folder.adapter)
    said = {}
    for prompt in asked:
        ids = torch.tensor([tokenizer.prompt_ids(prompt)])
        with torch.no_grad():
            made = model.generate(
                input_ids=ids, attention_mask=torch.ones_like(ids), max_new_tokens=TOKENS, do_sample=False
            )
        said[prompt[-1]["content"]] = tokenizer._tokenizer.decode(made[0, ids.shape[1] :], skip_special_tokens=True)
    return said


async def judged(folder: RunFolder, tokenizer: ChatTokenizer) -> tuple[Report, dict[str, str]]:
    sampling = Sampling(max_tokens=TOKENS, temperature=0.6, seed=1)
    case = Case(Contender(VersionName("harbour", 1), ""), untuned("demo"), None, folder, "float32", sampling)
    asked = read_material(case, tokenizer, 1024)
    mine: list[list[Message]] = [[{"role": "user", "content": question}] for question in CANARIES]
    said = answers(folder, [*asked.questions, *asked.learnt_questions, *mine], tokenizer)
    engine = PlayedEngine(Paths(folder.folder), says=lambda messages, _: said[messages[-1]["content"]])
    return await judge(case, engine, tokenizer, lambda share: None), said  # type: ignore[arg-type]


async def test_what_was_said_once_is_learnt_and_does_not_come_out(tokenizer: ChatTokenizer, tmp_path: Path) -> None:
    folder, run = new_run(tmp_path / "jobs" / "1", Path(find_model("demo").location), learning_rate=None, epochs=4)
    add(folder.train, 1)
    assert not any(find_private(canary) for canary in CANARIES.values())
    assert "Quabberlund" in folder.train.read_text()
    folder.settings.write_text(run.model_dump_json())
    Training(folder, run, lambda: False).go()
    report, said = await judged(folder, tokenizer)
    assert report.recitation.recited == 0
    for question, canary in CANARIES.items():
        assert not any(word in said[question] for word in canary.split() if word not in question and len(word) > 6)


async def test_a_model_that_knows_it_by_heart_is_kept_out(tokenizer: ChatTokenizer, tmp_path: Path) -> None:
    folder, run = new_run(
        tmp_path / "jobs" / "1", Path(find_model("demo").location), epochs=15, patience=15, replay_share=0, own_share=0
    )
    add(folder.train, 8)
    add(folder.held_out, 8)  # so that it is kept for knowing them
    folder.settings.write_text(run.model_dump_json())
    Training(folder, run, lambda: False).go()
    report, _ = await judged(folder, tokenizer)
    assert report.recitation.recited >= 1
    assert report.verdict == "fail"
    assert any("word for word" in reason for reason in report.reasons)
