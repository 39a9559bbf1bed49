"""How long a conversation may be follows model and memory, and what is set is had or refused in words."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from config.catalogue import CATALOGUE, DEMO_FOLDER, GIB, find_model
from config.context import BLOCKS, LONGEST_LEARNT, WHOLE_CONVERSATIONS
from config.errors import BadInput
from config.hardware import Gpu, Hardware, plan
from config.settings import load_settings
from serving.engine import command_line
from serving.supervisor import EngineSupervisor
from store.crypto import load_cipher

LAPTOP = Hardware(2, 16 * GIB, 12 * GIB, 100 * GIB, frozenset(), ())
SMALL, LARGE = find_model("qwen3-0.6b"), find_model("qwen3-8b")


def with_card(gib: int) -> Hardware:
    return replace(LAPTOP, cores=16, memory=128 * GIB, gpus=(Gpu("a card", gib * GIB),))


def test_a_large_card_reads_all_that_the_model_does_and_learns_from_no_more_than_before() -> None:
    made = plan(with_card(80), LARGE)
    assert (made.context, made.learnt_context) == (32768, LONGEST_LEARNT)
    assert any("32,768 tokens: all that qwen3-8b reads" in reason for reason in made.reasons)


@pytest.mark.parametrize("sharing", ["reserve", "sleep"])
@pytest.mark.parametrize("gib", [16, 24, 32, 40, 48, 64, 80, 140])
def test_beyond_what_a_card_always_reads_several_whole_conversations_fit(gib: int, sharing: str) -> None:
    for model in CATALOGUE:
        made = plan(with_card(gib), model, sharing=sharing)  # type: ignore[arg-type]
        assert min(model.context, 8192) <= made.context <= model.context
        if made.context > 8192:
            taken = model.parameters * 2 + WHOLE_CONVERSATIONS * made.context * model.cache_bytes(2)
            assert taken < made.gpu_memory_share * gib * GIB


def test_the_context_stays_as_it_is_when_more_assistants_come() -> None:
    for gib in (24, 32, 48):
        assert len({plan(with_card(gib), LARGE, assistants=many).context for many in (1, 10, 500)}) == 1


def test_a_processor_reads_less_unless_more_is_set_and_has_room_for_a_whole_conversation_then() -> None:
    usual, longer = plan(LAPTOP, SMALL), plan(LAPTOP, SMALL, context=16384)
    assert usual.context == 4096 and longer.context == 16384
    assert longer.kv_cache >= (16384 + BLOCKS) * SMALL.cache_bytes(4) > usual.kv_cache
    assert longer.learnt_context == usual.learnt_context == 4096
    assert any("as the setting context says" in reason for reason in longer.reasons)
    assert plan(LAPTOP, SMALL, context=512).learnt_context == 512


@pytest.mark.parametrize("here", [LAPTOP, with_card(16), with_card(80)])
def test_what_is_set_beyond_the_model_or_the_memory_is_refused_with_the_number_that_would_do(here: Hardware) -> None:
    for model in (find_model("demo"), SMALL, LARGE):
        with pytest.raises(BadInput, match=f"reads {model.context:,} at most; set PARLANCE_CONTEXT"):
            plan(here, model, context=model.context + 1)
    with pytest.raises(BadInput, match="has memory for a conversation of") as caught:
        plan(replace(LAPTOP, memory=8 * GIB), SMALL, context=32768)
    held = int(str(caught.value).split("conversation of ")[1].split(";")[0].replace(",", ""))
    assert 4096 <= held < 32768
    made = plan(replace(LAPTOP, memory=8 * GIB), SMALL, context=held)
    assert made.context == held and SMALL.parameters * 4 + made.kv_cache <= 4 * GIB


def test_of_a_model_that_is_not_known_here_its_own_files_say_what_it_reads() -> None:
    assert plan(with_card(80), find_model("somebody/some-model"), context=131_072).context == 131_072
    assert plan(with_card(80), find_model("somebody/some-model")).context == 8192


def test_a_folder_says_what_its_conversations_take(tmp_path: Path) -> None:
    shape = json.loads((DEMO_FOLDER / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(shape))
    demo = find_model("demo")
    assert find_model(str(tmp_path)).cache_bytes(4) == demo.cache_bytes(4) == 2 * 6 * 128 * 4
    for name in ("head_dim", "num_key_value_heads"):
        shape.pop(name)
    (tmp_path / "config.json").write_text(json.dumps(shape))
    assert find_model(str(tmp_path)).cache_bytes(4) == 2 * 6 * 256 * 4


def test_the_engine_is_started_with_what_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PARLANCE_CONTEXT", "512")
    settings = load_settings()
    settings.paths.ensure()
    supervisor = EngineSupervisor(settings, load_cipher(settings.paths.key_file, None))
    command = command_line(supervisor.model, supervisor.plan, Path("s"), ("q_proj",))
    assert command[command.index("--max-model-len") + 1] == "512" and supervisor.client.context == 512
    monkeypatch.setenv("PARLANCE_CONTEXT", "2048")
    with pytest.raises(BadInput, match="demo reads 1,024 at most"):
        EngineSupervisor(load_settings(), load_cipher(settings.paths.key_file, None))
