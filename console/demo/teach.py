"""Teaching a community's assistant: import, tuning, gate, promotion; then each adapter on the other's conversations."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path
from typing import Any

from config.catalogue import find_model
from config.errors import JobFailed
from config.names import VersionName
from console.assistant_commands import DEFAULT_PROMPT
from console.demo.stage import GARDEN, HARBOUR, Community, Stage
from console.output import Steps, console, duration
from serving.prompt import ChatTokenizer
from store.assistants import add_assistant, find_assistant
from tuning.curation import curate
from tuning.exchanges import read_exchanges, servable
from tuning.gate.losses import losses as losses_of
from tuning.importing import Imported, import_file
from tuning.jobs import enqueue, follow
from tuning.versions import history, promote

HELD_OUT_GAIN = 0.15
"""What the demo promises: held-out loss at least this share under the untouched model's."""


async def teach(stage: Stage, community: Community, shown: Steps) -> None:
    """Assistant, import, tuning, gate, promotion."""
    console.print(f"\n[bold]{community.name}[/bold]: {community.about}")
    async with stage.database.session() as session:
        await add_assistant(session, community.name, DEFAULT_PROMPT, "demo")
    found = await import_export(stage, community, community.export, shown)
    console.print(
        f"  {found.messages:,} messages → {found.conversations:,} conversations → {found.examples:,} answers by "
        f"{found.speaker}",
        markup=False,
    )
    version, report = await tune(stage, community, shown)
    stage.proof.figures[community.name] = {
        "version": str(version), "messages": found.messages, "conversations": found.conversations,
        "examples": found.examples, "funnel": [step.to_json() for step in found.funnel], "report": report,
    }  # fmt: skip
    gain = 1 - report["held_out"]["version"] / report["held_out"]["base"]
    stage.proof.claim(f"{version} passed its gate", report["verdict"] == "pass")
    stage.proof.claim(
        f"{version} predicts its community at least {HELD_OUT_GAIN:.0%} better than the untouched model",
        gain >= HELD_OUT_GAIN,
    )
    show_gate(version, report)
    if report["verdict"] == "pass":
        await promote(stage.database, stage.engine.client, community.name, version.number, "demo")


async def import_export(stage: Stage, community: Community, file: Path, shown: Steps) -> Imported:
    """Read an export into the community's assistant."""
    return await import_file(
        stage.database, file, community.name, community.speaker, "demo",
        lambda step, done, total: shown.say(f"{community.name}: {step}", done / total if total else None),
    )  # fmt: skip


async def tune(stage: Stage, community: Community, shown: Steps) -> tuple[VersionName, dict[str, Any]]:
    """Retrain; the new version and its report. Raises JobFailed where the job did not reach a verdict."""
    job, _ = await enqueue(stage.database, community.name, "demo")
    running = asyncio.create_task(stage.runner.run_until_ended(job.id))
    words = {"reading": "reading the log", "learning": "learning", "measuring": "measuring"}
    ended = job
    async for ended in follow(stage.database, job.id):
        progress = ended.progress or {}
        detail = f"loss {progress['loss']:.2f}  " if progress.get("loss") is not None else ""
        if ended.step in words:
            shown.say(
                f"{community.name}: {words[ended.step]}", progress.get("fraction"),
                detail + duration(progress.get("seconds_left")),
            )  # fmt: skip
        elif progress.get("sentence"):
            shown.say(f"{community.name}: {progress['sentence'].rstrip('.')}")
    await running
    if ended.state != "done" or ended.version is None:
        raise JobFailed(ended.error or f"The tuning of {community.name} ended as “{ended.state}”.")
    views = await history(stage.database, community.name)
    view = next(view for view in views if view.name.number == ended.version)
    return view.name, view.report


def show_gate(version: VersionName, report: dict[str, Any]) -> None:
    """The gate's figures in two lines."""
    held_out, general, parity, degenerate = (report[k] for k in ("held_out", "general", "parity", "degenerate"))
    console.print(f"  {version}: {report['sentence']}", style="green" if report["verdict"] == "pass" else "red")
    console.print(
        f"  loss on later answers {held_out['base']:.3f} → {held_out['version']:.3f}; on general talk "
        f"{general['base']:.3f} → {general['version']:.3f}; engine and trainer "
        f"{parity['mean_difference']:.5f} apart over "
        f"{parity['tokens']} tokens; {degenerate['share']:.0%} of {degenerate['answers']} answers degenerate",
        style="dim",
    )


async def cross_check(stage: Stage, shown: Steps) -> None:
    """Each adapter on its own community's held-out conversations and on the other's."""
    tokenizer = await asyncio.to_thread(ChatTokenizer, find_model("demo").location)
    losses: dict[str, dict[str, float]] = {}
    for community in (HARBOUR, GARDEN):
        shown.say("Comparing each assistant with the other's", None)
        async with stage.database.session() as session:
            assistant = await find_assistant(session, community.name)
        folder = stage.settings.paths.home / "compare" / community.name
        folder.mkdir(parents=True)
        await curate(stage.database, assistant.id, folder, lambda step, done, total: None)
        context = stage.engine.client.context
        held_out = read_exchanges(folder / "held_out.jsonl", tokenizer, assistant.system_prompt, context)
        shutil.rmtree(folder)
        losses[community.name] = {}
        for other in (HARBOUR, GARDEN):
            version = VersionName(other.name, 1)
            loss = await losses_of(stage.engine.client, version, servable(held_out, context), lambda: None)
            losses[community.name][other.name] = round(loss.mean, 4)
    stage.proof.figures["held_out_by_adapter"] = losses
    for community, other in ((HARBOUR, GARDEN), (GARDEN, HARBOUR)):
        own = losses[community.name]
        stage.proof.claim(
            f"on {community.name}'s conversations its own adapter is better than {other.name}'s",
            own[community.name] < own[other.name],
        )
