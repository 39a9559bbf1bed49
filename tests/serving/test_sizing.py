"""What is in use against what the engine was started with: said when it matters, and only then."""

from __future__ import annotations

from dataclasses import replace

import pytest
from adapter_making import random_adapter

from config.catalogue import GIB, find_model
from config.hardware import Gpu, Hardware, plan
from config.names import VersionName
from config.settings import Settings
from console.doctor import engine_size
from serving.adapters import publish
from serving.resizing import second_fits
from serving.sizing import Size, Use, at_its_limit, in_use, outgrown, planned
from serving.supervisor import EngineSupervisor
from store.assistants import add_assistant
from store.crypto import load_cipher
from store.database import Database

LAPTOP = Hardware(2, 16 * GIB, 12 * GIB, 100 * GIB, frozenset(), ())
CARD = replace(LAPTOP, cores=16, memory=128 * GIB, gpus=(Gpu("a card", 24 * GIB),))
DEMO = find_model("demo")
SMALL = Size(slots=8, kept=16, requests=32, rank=16)
LARGE = Size(slots=32, kept=64, requests=32, rank=16)


def using(adapters: int, rank: int = 16) -> Use:
    return Use(tuple(VersionName("one", number) for number in range(adapters)), rank)


@pytest.mark.parametrize("assistants", [1, 3, 16, 256])
def test_on_a_processor_every_adapter_in_use_has_a_slot_and_stays_in_memory(assistants: int) -> None:
    made = plan(LAPTOP, DEMO, assistants=assistants)
    assert made.max_loras >= assistants + 1
    assert made.max_cpu_loras >= max(made.max_loras, assistants + 1)


@pytest.mark.parametrize("assistants", [1, 3, 16, 256, 1000])
def test_on_a_card_every_request_answered_at_once_can_have_its_own_adapter(assistants: int) -> None:
    made = plan(CARD, DEMO, assistants=assistants)
    assert min(assistants + 1, made.max_requests) <= made.max_loras <= made.max_requests
    assert made.max_cpu_loras >= max(made.max_loras, assistants + 1)


def test_adapters_take_no_more_memory_than_their_share_and_the_plan_says_so() -> None:
    model = find_model("qwen3-1.7b")
    made = plan(LAPTOP, model, assistants=500)
    each = model.adapter_bytes(made.max_lora_rank)
    assert (made.max_loras + made.max_cpu_loras) * each <= 0.25 * LAPTOP.memory
    assert made.max_cpu_loras < 500
    assert any("read again" in reason for reason in made.reasons)


def test_an_engine_is_outgrown_by_more_adapters_at_once_more_to_keep_or_a_larger_rank() -> None:
    assert outgrown(SMALL, using(8), LARGE) is None
    assert "9 adapters are in use, and the engine was started for 8 at once" in (outgrown(SMALL, using(9), LARGE) or "")
    assert "keep 16 in memory" in (outgrown(SMALL, using(17), LARGE) or "")
    ranked = replace(LARGE, rank=64)
    assert "rank 64" in (outgrown(SMALL, using(2, rank=64), ranked) or "")


def test_no_restart_is_called_for_where_it_would_not_help() -> None:
    assert outgrown(LARGE, using(500), LARGE) is None
    assert "this machine has memory for 64" in (at_its_limit(using(500), LARGE) or "")
    assert at_its_limit(using(40), LARGE) is None


async def test_what_is_in_use_is_what_serves_and_the_untuned_model(settings: Settings, database: Database) -> None:
    async with database.session() as session:
        for name, number in (("harbour", 2), ("mill", None), ("ferry", 1)):
            (await add_assistant(session, name, "Be kind.", "demo")).in_service = number
    use = await in_use(database, settings.paths, DEMO)
    assert [str(version) for version in use.versions] == ["base-demo@v0", "harbour@v2", "ferry@v1"]


async def test_the_doctor_and_the_status_say_when_the_engine_is_too_small(
    settings: Settings, database: Database
) -> None:
    (fine,) = await engine_size.look(settings, database)
    assert fine.level == "ok"
    supervisor = EngineSupervisor(settings, load_cipher(settings.paths.key_file, None))
    assert supervisor.ownership.acquire()
    supervisor.ownership.write(supervisor._record())
    async with database.session() as session:
        for number in range(12):
            name = VersionName(f"one-{number}", 1)
            staged = random_adapter(settings.paths.jobs / str(name), number)
            publish(staged, settings.paths.adapter(name), {"base_model": "demo"})
            (await add_assistant(session, name.assistant, "Be kind.", "demo")).in_service = 1
    assert planned(settings.paths, DEMO).max_loras > supervisor.plan.max_loras
    (told,) = await engine_size.look(settings, database)
    assert told.level == "warning"
    assert "13 adapters are in use, and the engine was started for 8 at once" in told.found
    assert "quiet moment" in told.advice
    supervisor.now.say("ready", "The engine is ready.")
    supervisor.now.notice = f"{told.found}."
    assert "13 adapters" in supervisor.status.sentence
    supervisor.ownership.release()


def test_a_second_engine_is_started_only_where_memory_allows_both(settings: Settings) -> None:
    settings.paths.ensure()
    supervisor = EngineSupervisor(settings, load_cipher(settings.paths.key_file, None))
    assert not second_fits(supervisor, replace(supervisor.plan, kv_cache=1 << 50))
    assert second_fits(supervisor, replace(supervisor.plan, kv_cache=0))
    on_card = replace(supervisor.plan, device="cuda", gpu_memory_share=0.4)
    supervisor.plan = on_card
    assert second_fits(supervisor, on_card)
    assert not second_fits(supervisor, replace(on_card, gpu_memory_share=0.9))
    half = replace(on_card, gpu_memory_share=0.5)
    supervisor.plan = half
    assert not second_fits(supervisor, half), "drivers and contexts take their part of a card"
    supervisor.plan = on_card
    for sharing, fits in (("reserve", False), ("sleep", True)):
        beside = replace(on_card, training_share=0.2, sharing=sharing)  # type: ignore[arg-type]
        assert second_fits(supervisor, beside) == fits, "what is kept for tuning is not free"


def test_on_a_card_that_is_shared_by_plan_there_is_no_room_for_a_second_engine(settings: Settings) -> None:
    settings.paths.ensure()
    supervisor = EngineSupervisor(settings, load_cipher(settings.paths.key_file, None))
    card = replace(LAPTOP, memory=128 * GIB, gpus=(Gpu("a card", 80 * GIB),))
    for sharing in ("reserve", "sleep"):
        supervisor.plan = plan(card, DEMO, sharing=sharing)  # type: ignore[arg-type]
        assert not second_fits(supervisor, plan(card, DEMO, assistants=50, sharing=sharing))  # type: ignore[arg-type]


@pytest.mark.parametrize("config", ["", "{", "[]", "{}", '{"r": null}', '{"r": 9999}'])
def test_a_damaged_adapter_does_not_keep_an_engine_from_being_planned(settings: Settings, config: str) -> None:
    folder = settings.paths.adapter(VersionName("broken", 1))
    folder.mkdir(parents=True)
    (folder / "adapter_config.json").write_text(config)
    assert planned(settings.paths, DEMO).max_lora_rank <= 512
