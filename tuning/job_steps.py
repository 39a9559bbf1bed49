"""The steps of one job, each resumable: curation, training, publication, the gate, the record, and promotion where the
assistant's operators leave that to the gate.

A job's folder holds what its steps have made. A step whose result is there is not done again: curation leaves
`curated.json`, training `result.json`, publication the version's folder, the record a row of the version table. Whether
a job is to stop is looked at by who runs it, who cancels these steps then: any of them can be cancelled at any moment.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing, suppress
from dataclasses import replace
from typing import Any

import structlog
from sqlalchemy import select, update

from config.catalogue import find_model
from config.errors import JobFailed
from config.hardware import Plan
from config.names import VersionName, untuned
from config.settings import Settings
from serving.adapters import ensure_untuned, publish, verify
from serving.answer import Sampling
from serving.ownership import live_record
from serving.prompt import ChatTokenizer
from store.database import Database, open_database
from store.lineage import pack_ids
from store.tables import Assistant, Job, Lineage, Version
from tuning import reserve
from tuning.curation import Curated, curate
from tuning.elsewhere.place import learning, plan_here, plan_to_learn
from tuning.gate.judge import Case, Contender
from tuning.gate.report import Report
from tuning.insisting import EngineSource, insist
from tuning.measuring import measure
from tuning.policy import promote_by_policy
from tuning.sharing import Room, Sharing
from tuning.training.planned import run_for
from tuning.training.process import TrainerKilled
from tuning.training.run import Method, RunFolder, write_whole

MakeRoom = Callable[[int], AsyncGenerator[str]]
"""Ends once the engine takes adapters of a rank; meanwhile it gives, again and again, what is waited for."""
LOOK_EVERY = 0.5
TRAINER_STARTS = 3

log = structlog.get_logger()


class Cancelled(Exception):
    """The job was asked to stop."""


class JobSteps:
    """One job on its way. `engine` gives a client of the engine that will serve, for as long as it is held; `sharing`
    gives it room to learn beside that engine; `make_room` has the engine take an adapter of its rank (None: it does, as
    one that is started when it is asked for)."""

    def __init__(
        self, database: Database, settings: Settings, engine: EngineSource, job: Job, assistant: Assistant,
        sharing: Sharing | None = None, make_room: MakeRoom | None = None,
    ) -> None:  # fmt: skip
        self._database = database
        self._settings = settings
        self._engine = engine
        self._job = job
        self._sharing = sharing or Sharing(database, settings, None)
        self._make_room = make_room
        self._assistant = assistant
        self._model = find_model(assistant.base_model)
        self._name = VersionName(assistant.name, job.version or 0)
        self._run = RunFolder(settings.paths.job(job.id))
        self._folder = self._run.folder
        self._told = 0.0

    async def all_steps(self) -> None:
        """To the end. Raises, besides what ends a job, what `tuning.setback` knows: what was made stays then."""
        if not await self.recorded():
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            reserve.hold(self._folder)
            curated = await self._curate()
            facts = await self._learn()
            digest = await self._publish(facts)
            report = await self._measure()
            await self._record(curated, facts, digest, report)
        await promote_by_policy(self._database, self._engine, self._name, self._wait)

    async def _tell(self, step: str, fraction: float, sentence: str, *, force: bool = False, **more: Any) -> None:
        """Write progress, at most twice a second."""
        if not force and time.monotonic() - self._told < LOOK_EVERY:
            return
        self._told = time.monotonic()
        progress = {"fraction": round(fraction, 4), "sentence": sentence, **more}
        async with self._database.session() as session:
            job = await session.get_one(Job, self._job.id)
            job.step, job.progress = step, progress

    async def _curate(self) -> dict[str, Any]:
        done = self._folder / "curated.json"
        if not done.exists():
            await self._tell("reading", 0.0, "Reading the log", force=True)
            found = await self._curate_apart()
            write_whole(done, json.dumps(found).encode())
        curated: dict[str, Any] = json.loads(done.read_text())
        async with self._database.session() as session:
            job = await session.get_one(Job, self._job.id)
            job.plan = {key: curated[key] for key in ("messages", "conversations", "examples", "people", "funnel")}
        return curated

    async def _curate_apart(self) -> dict[str, Any]:
        """Curation keeps a processor busy, so it runs in a thread with a database connection of its own."""
        at = (0, 0)
        stopped = False

        def say(step: str, done: int, total: int) -> None:
            nonlocal at
            at = (done, total)
            if stopped:
                raise Cancelled

        async def work() -> Curated:
            database = await open_database(self._settings)
            try:
                return await curate(database, self._assistant.id, self._folder, say)
            finally:
                await database.close()

        curating = asyncio.create_task(asyncio.to_thread(lambda: asyncio.run(work())))
        try:
            while not curating.done():
                await asyncio.wait({curating}, timeout=LOOK_EVERY)
                done, total = at
                await self._tell("reading", done / max(total, 1), "Reading the log", force=True)
        finally:
            stopped = True
            if not curating.done():
                with suppress(Cancelled):
                    await curating
        found = await curating
        return {
            "messages": found.messages, "conversations": found.conversations, "examples": found.examples,
            "people": found.people, "funnel": [step.to_json() for step in found.funnel],
            "lineage": {str(source): ids for source, ids in found.lineage.items()},
        }  # fmt: skip

    async def _learn(self) -> dict[str, Any]:
        if self._run.read_result() is None:
            await self._tell("learning", 0.0, "Getting ready to learn", force=True)
            await self._write_run()
            plan = await asyncio.to_thread(plan_here, self._settings, self._model)
            async with self._sharing.room(self._assistant.name, plan) as room:
                for left in reversed(range(TRAINER_STARTS)):
                    try:
                        await self._train(room)
                        break
                    except TrainerKilled:
                        if not left:
                            raise
                        log.warning("the trainer was killed and is started again", job=self._job.id)
        result = self._run.read_result()
        if result is None:
            raise JobFailed("The training ended without a result; its log says why. Try once more.")
        return result.model_dump()

    async def _train(self, room: Room) -> None:
        async with aclosing(learning(self._settings, self._run, self._model, room.environment)) as steps:
            async for at in steps:
                room.tell(at.seconds_left)
                await self._tell(
                    "learning",
                    at.step / max(at.steps, 1),
                    "Learning",
                    loss=at.loss,
                    seconds_left=at.seconds_left,
                    notes=at.notes,
                )

    async def _learning_plan(self) -> Plan:
        """For adapters that the engine which is to measure them takes: where it is another process's, and nobody makes
        room in it, no larger ones than it was started for."""
        chosen = await plan_to_learn(self._settings, self._model)
        running = live_record(self._settings.paths) if self._make_room is None else None
        if running is None or running.size is None:
            return chosen
        return replace(chosen, training_rank=min(chosen.training_rank, running.size.rank))

    async def _write_run(self) -> None:
        """Once: a resumed job goes on as it began, whatever was set meanwhile."""
        if self._run.settings.exists():
            return
        method: Method = (self._job.settings or {}).get("method", "lora")
        run = run_for(
            self._model, await self._learning_plan(), method, examples=self._lines(),
            system_prompt=self._assistant.system_prompt, replay_share=self._settings.replay_share,
        )  # fmt: skip
        write_whole(self._run.settings, run.model_dump_json(indent=1).encode())

    def _lines(self) -> int:
        """Examples to learn from."""
        with self._run.train.open("rb") as lines:
            return sum(1 for _ in lines)

    @property
    def _system_prompt(self) -> str:
        """The one this job trains with."""
        return self._run.read_settings().system_prompt

    async def _publish(self, facts: dict[str, Any]) -> str:
        final = self._settings.paths.adapter(self._name)
        if final.exists():  # published before a kill
            return (await asyncio.to_thread(verify, final)).digest
        about = {"base_model": self._model.location, "training": facts, "job": self._job.id}
        return await asyncio.to_thread(publish, self._run.adapter, final, about)

    async def _measure(self) -> Report:
        await self._tell("measuring", 0.0, "Waiting for the engine", force=True)
        if self._make_room is not None:
            async with aclosing(self._make_room(self._run.read_settings().rank)) as waiting:
                async for sentence in waiting:
                    await self._tell("measuring", 0.0, sentence, force=True)
        await asyncio.to_thread(ensure_untuned, self._settings.paths, self._model)
        tokenizer = await asyncio.to_thread(ChatTokenizer, self._model.location)
        case = await self._case()
        return await insist(self._engine, lambda client: measure(case, client, tokenizer, self._measuring), self._wait)

    async def _case(self) -> Case:
        serves = await asyncio.to_thread(plan_here, self._settings, self._model)
        learnt = self._run.read_settings().dtype
        return Case(
            candidate=Contender(self._name, self._system_prompt),
            untouched=untuned(self._model.name),
            in_service=await self._in_service(),
            run=self._run,
            dtype=learnt if learnt == "bfloat16" else serves.dtype,  # the coarser one says how far they may be apart
            sampling=Sampling(
                max_tokens=self._settings.max_answer_tokens,
                temperature=self._settings.temperature,
                repetition_penalty=self._settings.repetition_penalty,
                seed=1,
            ),
        )

    async def _measuring(self, share: float, seconds_left: int | None) -> None:
        await self._tell("measuring", share, "Measuring", force=True, seconds_left=seconds_left)

    async def _wait(self, why: str) -> None:
        await self._tell("measuring", 0.0, why, force=True)

    async def _in_service(self) -> Contender | None:
        async with self._database.session() as session:
            assistant = await session.get_one(Assistant, self._assistant.id)
            row = await session.scalar(
                select(Version).where(Version.assistant_id == assistant.id, Version.number == assistant.in_service)
            )
        if row is None or row.base_model != self._assistant.base_model:
            return None
        return Contender(VersionName(assistant.name, row.number), row.system_prompt)

    async def recorded(self) -> bool:
        """Whether the version is on record; from then on nothing takes it back."""
        mine = select(Version.id).where(Version.assistant_id == self._assistant.id, Version.number == self._name.number)
        async with self._database.session() as session:
            return await session.scalar(mine) is not None

    async def _record(self, curated: dict[str, Any], facts: dict[str, Any], digest: str, report: Report) -> None:
        """The version's row, report and lineage in one transaction; none of it where the job was asked to stop
        meanwhile, as it is when somebody whose words it has read is forgotten."""
        progress = self._run.read_progress()
        curve = progress.model_dump(include={"measured_at", "held_out_loss", "general_loss"}) if progress else {}
        async with self._database.session() as session:
            going_on = update(Job).where(Job.id == self._job.id, ~Job.cancel).values(cancel=False).returning(Job.id)
            if await session.scalar(going_on) is None:
                raise Cancelled
            version = Version(
                assistant_id=self._assistant.id,
                number=self._name.number,
                state="passed" if report.verdict == "pass" else "failed",
                digest=digest,
                system_prompt=self._system_prompt,
                base_model=self._assistant.base_model,
                report=report.model_dump() | {"funnel": curated["funnel"], "curve": curve, "training": facts},
            )
            session.add(version)
            await session.flush()
            for source_id, ids in curated["lineage"].items():
                session.add(Lineage(version_id=version.id, source_id=int(source_id), message_ids=pack_ids(ids)))
