"""One GPU for serving and tuning: who gets room, who waits and what they are told, and that waking is checked.

The engine runs on the processor, where vLLM says that it sleeps and keeps its memory; the card's own part has the
marker `gpu`.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from resting_engine import RestingEngine
from running_engine import RunningEngine

from bench.gpu_engine import MeasuredEngine
from config.catalogue import GIB, find_model
from config.errors import EngineUnavailable, JobFailed
from config.hardware import WHOLE_CARD, Gpu, Hardware, Plan, plan
from config.names import VersionName
from config.settings import Settings, load_settings
from serving.answer import Scored
from serving.client import EngineClient
from serving.sleeping import Sleeper
from store.database import Database
from tuning.sharing import Sharing, changed, scores
from tuning.training.run import MEMORY_SHARE_VARIABLE


@pytest.fixture
def card() -> Hardware:
    return Hardware(16, 128 * GIB, 100 * GIB, 100 * GIB, frozenset(), (Gpu("a card", 140 * GIB),))


def on_card(card: Hardware, settings: Settings) -> Plan:
    return plan(card, find_model("qwen3-8b"), sharing=settings.sharing)


async def test_asleep_people_are_told_why_and_for_how_long_and_everything_is_checked_after(
    measured_engine: MeasuredEngine, database: Database, card: Hardware
) -> None:
    settings = load_settings(gpu_sharing="sleep")
    resting = RestingEngine(measured_engine, plan_for_cpu())
    async with Sharing(database, settings, resting, card).room("ada", on_card(card, settings)) as room:
        assert await Sleeper(measured_engine.socket).asleep()
        assert room.environment == {MEMORY_SHARE_VARIABLE: "0.9"}
        room.tell(150.0)
    assert not await Sleeper(measured_engine.socket).asleep()
    assert resting.said == [
        "The assistants rest while ada learns.",
        "The assistants rest while ada learns, for about 2 minutes more.",
        "up",
    ]
    assert resting.seconds == [None, 150.0]


def plan_for_cpu() -> Plan:
    return Plan("cpu", "float32", 0.0, 1, 8, 64, 64, 512, 16, 2, ())


async def test_a_training_that_fails_leaves_the_engine_awake(
    measured_engine: MeasuredEngine, database: Database, card: Hardware
) -> None:
    settings = load_settings(gpu_sharing="sleep")
    resting = RestingEngine(measured_engine, plan_for_cpu())
    with pytest.raises(JobFailed):
        async with Sharing(database, settings, resting, card).room("ada", on_card(card, settings)):
            raise JobFailed("no memory")
    assert not await Sleeper(measured_engine.socket).asleep()
    assert resting.said[-1] == "up"


async def test_a_version_that_answers_otherwise_after_waking_has_the_engine_started_again(
    measured_engine: MeasuredEngine, database: Database, card: Hardware, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While it sleeps, another version takes the untuned one's place in the engine: the check must see it."""
    settings = load_settings(gpu_sharing="sleep")
    resting = RestingEngine(measured_engine, plan_for_cpu())
    other, real = VersionName("tuned-lora", 1), EngineClient.score

    async def score(client: EngineClient, version: VersionName, messages: object) -> Scored:
        return await real(client, other, messages)  # type: ignore[arg-type]

    async with Sharing(database, settings, resting, card).room("ada", on_card(card, settings)):
        monkeypatch.setattr(EngineClient, "score", score)
    assert resting.said[-2:] == ["up", "restart"]


async def test_what_was_asked_for_by_number_is_checked_as_well(
    measured_engine: MeasuredEngine, database: Database, card: Hardware, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is in service here; what the engine was asked for since it started it may hold."""
    pinned, real = VersionName("tuned-lora", 1), EngineClient.score
    await measured_engine.client.warm(pinned)
    assert pinned in await measured_engine.client.loaded()
    settings = load_settings(gpu_sharing="sleep")
    resting = RestingEngine(measured_engine, plan_for_cpu())

    async def score(client: EngineClient, version: VersionName, messages: object) -> Scored:
        return await real(client, measured_engine.untuned if version == pinned else version, messages)  # type: ignore[arg-type]

    async with Sharing(database, settings, resting, card).room("ada", on_card(card, settings)):
        monkeypatch.setattr(EngineClient, "score", score)
    assert resting.said[-2:] == ["up", "restart"]


async def test_from_the_first_check_on_nobody_else_can_exchange_the_engine(
    measured_engine: MeasuredEngine, database: Database, card: Hardware, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = load_settings(gpu_sharing="sleep")
    resting, real = RestingEngine(measured_engine, plan_for_cpu()), EngineClient.score

    async def score(client: EngineClient, version: VersionName, messages: object) -> Scored:
        assert resting.said, "it was asked before it was said to rest"
        return await real(client, version, messages)  # type: ignore[arg-type]

    monkeypatch.setattr(EngineClient, "score", score)
    async with Sharing(database, settings, resting, card).room("ada", on_card(card, settings)):
        pass


async def test_an_engine_that_goes_before_it_sleeps_is_not_left_at_rest(
    measured_engine: MeasuredEngine, database: Database, card: Hardware, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = load_settings(gpu_sharing="sleep")
    resting = RestingEngine(measured_engine, plan_for_cpu())

    async def gone(client: EngineClient, version: VersionName, messages: object) -> Scored:
        raise EngineUnavailable("It broke off.")

    with pytest.raises(EngineUnavailable, match="broke off"), monkeypatch.context() as patch:
        patch.setattr(EngineClient, "score", gone)
        async with Sharing(database, settings, resting, card).room("ada", on_card(card, settings)):
            raise AssertionError("it was not checked")
    assert "up" in resting.said
    assert not await Sleeper(measured_engine.socket).asleep()


async def test_every_version_is_told_from_every_other_by_what_is_checked(measured_engine: MeasuredEngine) -> None:
    names = [measured_engine.untuned, VersionName("tuned-lora", 1), VersionName("tuned-full", 1)]
    found = await scores(measured_engine.client, [*names, VersionName("nobody", 1)])
    assert list(found) == names
    assert changed(found, await scores(measured_engine.client, names), 0.02) == []
    turned = dict(zip(names, [found[names[1]], found[names[2]], found[names[0]]], strict=True))
    assert changed(found, turned, 0.02) == names


async def test_who_asks_while_the_engine_rests_waits_and_goes_on_when_it_is_back(engine: RunningEngine) -> None:
    engine.supervisor.rest("The assistants rest while ada learns.", 600.0)
    try:
        assert 500 < (engine.supervisor.status.seconds_left or 0) <= 600
        assert engine.supervisor.status.state == "asleep"
        assert "ada learns" in engine.supervisor.status.sentence
        waiting = asyncio.create_task(engine.supervisor.wait_ready())
        await asyncio.sleep(0)
        assert not waiting.done()
        with pytest.raises(EngineUnavailable, match="ada learns"):
            await engine.supervisor.restart(engine.supervisor.plan)
    finally:
        engine.supervisor.rise()
    await waiting
    assert engine.supervisor.status.state == "ready"


async def test_reserved_memory_is_what_the_trainer_is_told(database: Database, card: Hardware) -> None:
    settings = load_settings(gpu_sharing="reserve")
    made = on_card(card, settings)
    async with Sharing(database, settings, None, card).room("ada", made) as room:
        assert float(room.environment[MEMORY_SHARE_VARIABLE]) == made.training_share
        assert made.training_share + made.gpu_memory_share <= 1


async def test_what_does_not_fit_one_card_is_refused_with_a_way_out(
    measured_engine: MeasuredEngine, database: Database, card: Hardware
) -> None:
    settings = load_settings(gpu_sharing="reserve")
    small = Hardware(16, 128 * GIB, 100 * GIB, 100 * GIB, frozenset(), (Gpu("a small card", 24 * GIB),))
    resting = RestingEngine(measured_engine, plan_for_cpu())
    with pytest.raises(JobFailed, match="gpu_sharing"):
        async with Sharing(database, settings, resting, small).room("ada", on_card(small, settings)):
            raise AssertionError("there is no room")
    assert resting.said == []


async def test_a_separate_card_is_used_where_there_is_one_and_missed_in_words(
    database: Database, card: Hardware
) -> None:
    settings = load_settings(gpu_sharing="separate", training_gpu=1)
    two = Hardware(16, 128 * GIB, 100 * GIB, 100 * GIB, frozenset(), card.gpus * 2)
    async with Sharing(database, settings, None, two).room("ada", on_card(two, settings)) as room:
        assert room.environment["CUDA_VISIBLE_DEVICES"] == "1"
    serving = load_settings(gpu_sharing="separate", training_gpu=0)
    with pytest.raises(JobFailed, match="GPU number 0 is the one that serves"):
        async with Sharing(database, serving, None, two).room("ada", on_card(two, serving)):
            raise AssertionError("it is no other card")
    with pytest.raises(JobFailed, match="training_gpu"):
        async with Sharing(database, settings, None, card).room("ada", on_card(card, settings)):
            raise AssertionError("there is no other card")


async def test_where_another_machine_tunes_the_card_is_the_engines_alone(
    measured_engine: MeasuredEngine, database: Database, card: Hardware
) -> None:
    settings = load_settings(gpu_sharing="sleep", training_machine="ssh://ada@box/srv/parlance")
    assert settings.sharing == "separate"
    made = on_card(card, settings)
    assert (made.gpu_memory_share, made.sleeps) == (WHOLE_CARD, False)
    resting = RestingEngine(measured_engine, plan_for_cpu())
    async with Sharing(database, settings, resting, card).room("ada", made) as room:
        assert room.environment == {}
    assert resting.said == []


async def test_without_a_card_nobody_sleeps(measured_engine: MeasuredEngine, database: Database) -> None:
    resting = RestingEngine(measured_engine, plan_for_cpu())
    settings = load_settings(gpu_sharing="sleep")
    async with Sharing(database, settings, resting).room("ada", plan_for_cpu()) as room:
        assert room.environment == {}
        assert not await Sleeper(measured_engine.socket).asleep()
    assert resting.said == []


async def test_an_engine_that_cannot_sleep_is_told_in_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(EngineUnavailable, match="put to sleep"):
        await Sleeper(tmp_path / "nobody.sock").sleep()


@pytest.mark.gpu
async def test_on_a_card_sleeping_gives_its_memory_to_the_trainer(tmp_path: Path) -> None:
    """The whole of it: `bench.gpu_sharing`, which compares answers token for token as well."""
    import time

    from bench import gpu_sharing
    from bench.gpu_results import Bench, Results

    bench = Bench("sharing", "cuda", tmp_path, Results.open(tmp_path, "test", rehearsal=False), time.monotonic() + 600)
    await gpu_sharing.measure(bench)
    slept = bench.results.get("sharing", "sleep")
    assert slept["same_share"] == 1
    assert slept["versions_changed"] == 0
    assert slept["freed_bytes"] > 10 * GIB
    together = bench.results.get("sharing", "together")
    assert together["training_beside"] > 0 < together["serving_beside"]
