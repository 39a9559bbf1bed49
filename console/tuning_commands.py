"""`parlance tune|jobs|versions|promote|rollback`: learning, its proof, and what serves."""

from __future__ import annotations

import asyncio
import getpass
from contextlib import suppress
from typing import Annotated, Any, cast, get_args

import typer

from config.errors import BadInput, JobFailed, Refused
from config.names import VersionName
from console.output import Steps, console, duration, errors, print_json, steps, table
from console.workplace import Workplace, run, workplace
from store.assistants import find_assistant, find_version
from store.tables import Job
from tuning.jobs import cancel, enqueue, follow, preview, recent
from tuning.runner import JobRunner
from tuning.training.run import Method
from tuning.versions import Move, VersionView, history, previous, promotable, promote, rollback

Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]


def register(app: typer.Typer) -> None:
    """Add these commands to the program."""
    for command in (tune, jobs, versions):
        app.command()(command)
    app.command("promote")(promote_)
    app.command("rollback")(rollback_)


def tune(
    name: Annotated[str, typer.Argument(help="The assistant to retrain.")],
    method: Annotated[
        str, typer.Option(help="lora: an adapter; partial or full: weights themselves, then turned into an adapter.")
    ] = "lora",
    promote_if_passed: Annotated[bool, typer.Option("--promote", help="Put it into service if it passes.")] = False,
    json: Json = False,
) -> None:
    """Retrain an assistant on all of its sources and measure the result. Ctrl-C stops it; nothing is left half done.

    Exit 0 where the new version passed its gate, 1 where it did not.
    """

    async def work() -> dict[str, Any]:
        async with workplace() as place:
            plan = await preview(place.database, place.settings, name)
            if not plan.enough:
                raise Refused(plan.sentence)
            errors.print(plan.sentence, markup=False)
            job, fresh = await enqueue(place.database, name, getpass.getuser(), _method(method))
            if not fresh:
                errors.print(f"{name} is being retrained already (job {job.id}); following it.", markup=False)
            with steps() as shown:
                ended = await _to_its_end(place, job.id, shown)
            result = await _outcome(place, name, ended)
            if promote_if_passed and result["verdict"] == "pass":
                async with place.engine(_say) as client:
                    await promote(place.database, client, name, ended.version, getpass.getuser())
            return result

    result = run(work())
    if json:
        print_json(result)
    else:
        show_report(result["version"], result["report"], result["verdict"], result["reasons"])
        if result["verdict"] == "pass" and not promote_if_passed:
            console.print(f"Next: parlance promote {name} {result['version']}", markup=False)
    if result["verdict"] != "pass":
        raise typer.Exit(1)


def _say(sentence: str) -> None:
    errors.print(sentence, markup=False)


async def _to_its_end(place: Workplace, job_id: int, shown: Steps) -> Job:
    """Watch the job to its end, and run it here wherever no other process runs jobs. Being interrupted cancels it."""
    runner = JobRunner(place.database, place.settings, lambda: place.engine(_say))

    async def watch() -> Job:
        async for job in follow(place.database, job_id):
            _show(job, shown)
        return job

    running = asyncio.create_task(runner.run_until_ended(job_id))
    following = asyncio.create_task(watch())
    try:
        await asyncio.wait({running, following}, return_when=asyncio.FIRST_COMPLETED)
        if running.done():
            running.result()  # raises what it broke on, which nobody would be told of otherwise
        ended = await following
        if runner.acquired:
            await running
        return ended
    except asyncio.CancelledError:
        with suppress(Refused):
            await cancel(place.database, job_id)
        await asyncio.wait({running if runner.acquired else following}, timeout=10)
        raise
    finally:
        for task in (running, following):
            task.cancel()
        await asyncio.gather(running, following, return_exceptions=True)
        runner.release()


def _method(given: str) -> Method:
    for known in get_args(Method):
        if given == known:
            return cast("Method", known)
    raise BadInput(f"There is no method “{given[:30]}”; choose lora, partial or full.")


STEP_NAMES = {"waiting": "Waiting", "reading": "Reading the log", "learning": "Learning", "measuring": "Measuring"}


def _show(job: Job, shown: Steps) -> None:
    progress = job.progress or {}
    words = []
    if progress.get("loss") is not None:
        words.append(f"loss {progress['loss']:.2f}")
    if progress.get("seconds_left") is not None:
        words.append(duration(progress["seconds_left"]))
    if job.step in STEP_NAMES:
        name = progress.get("sentence") or STEP_NAMES[job.step]
        shown.say(name.rstrip("."), progress.get("fraction"), ", ".join(words))


async def _outcome(place: Workplace, name: str, job: Job) -> dict[str, Any]:
    if job.state == "cancelled":
        raise JobFailed(f"The retrain of {name} was cancelled; what serves has not changed.")
    if job.state != "done" or job.version is None:
        raise JobFailed(job.error or f"The retrain of {name} failed.")
    async with place.database.session() as session:
        version = await find_version(session, await find_assistant(session, name), job.version)
    seconds = (job.ended_at - job.started_at).total_seconds() if job.ended_at and job.started_at else None
    return {
        "version": str(VersionName(name, version.number)),
        "verdict": version.report["verdict"],
        "reasons": version.report["reasons"],
        "report": version.report,
        "seconds": seconds,
    }


def show_report(version: str, report: dict[str, Any], verdict: str, reasons: list[str]) -> None:
    """The gate's figures and a few answers, for people."""
    held_out, general = report["held_out"], report["general"]
    console.print(f"\n{version}: {report['sentence']}", markup=False, style="green" if verdict == "pass" else "red")
    figures = table("measured", "untouched", "in service", version)
    serving = held_out["in_service"]
    figures.add_row(
        "loss on this chat's later answers (lower is better)",
        f"{held_out['base']:.3f}", f"{serving:.3f}" if serving is not None else "–", f"{held_out['version']:.3f}",
    )  # fmt: skip
    figures.add_row("loss on general talk", f"{general['base']:.3f}", "–", f"{general['version']:.3f}")
    console.print(figures)
    parity, degenerate = report["parity"], report["degenerate"]
    console.print(
        f"Engine and trainer agree to {parity['mean_difference']:.5f} over {parity['tokens']} tokens; "
        f"{degenerate['repeating'] + degenerate['endless'] + degenerate['empty']} of {degenerate['answers']} answers "
        "repeated, were endless or empty."
    )
    for reason in reasons:
        console.print(f"– {reason}", markup=False)
    for sample in report["samples"]:
        console.print(f"\n[bold]{_escaped(sample['question'])}[/bold]")
        console.print(f"  untouched  {sample['base']}", markup=False)
        if sample["in_service"] is not None:
            console.print(f"  in service {sample['in_service']}", markup=False)
        console.print(f"  new        {sample['version']}", markup=False)


def _escaped(text: str) -> str:
    return text.replace("[", "\\[")


def jobs(
    name: Annotated[str | None, typer.Argument(help="Only this assistant's.")] = None,
    stop: Annotated[int | None, typer.Option(help="Stop the job with this number.")] = None,
    json: Json = False,
) -> None:
    """List jobs, newest first; --stop N stops one."""

    async def work() -> list[dict[str, Any]]:
        async with workplace() as place:
            if stop is not None:
                await cancel(place.database, stop)
            return [_job(assistant, job) for assistant, job in await recent(place.database, name, 20)]

    found = run(work())
    if json:
        print_json(found)
    elif not found:
        console.print("No jobs yet. Start one with: parlance tune NAME")
    else:
        shown = table("job", "assistant", "state", "step", "version", "")
        for one in found:
            shown.add_row(
                str(one["job"]), one["assistant"], one["state"], one["step"], one["version"] or "", one["error"] or ""
            )
        console.print(shown)


def _job(assistant: str, job: Job) -> dict[str, Any]:
    return {
        "job": job.id,
        "assistant": assistant,
        "state": job.state,
        "step": job.step,
        "progress": job.progress,
        "version": str(VersionName(assistant, job.version)) if job.version else None,
        "error": job.error,
        "asked_by": job.asked_by,
        "started_at": job.started_at.isoformat() if job.started_at else None,
        "ended_at": job.ended_at.isoformat() if job.ended_at else None,
    }


def versions(name: str, json: Json = False) -> None:
    """List an assistant's versions, newest first."""

    async def work() -> list[VersionView]:
        async with workplace() as place:
            return await history(place.database, name)

    found = run(work())
    if json:
        print_json(
            [
                {
                    "version": str(one.name), "state": one.state, "in_service": one.in_service,
                    "created_at": one.created_at.isoformat(), "sentence": one.sentence, "report": one.report,
                    "trouble": one.trouble,
                }
                for one in found
            ]
        )  # fmt: skip
    elif not found:
        console.print(f"{name} has no versions yet. Make one with: parlance tune {name}", markup=False)
    else:
        shown = table("version", "gate", "", "made", "")
        for one in found:
            serving = "in service" if one.in_service else ""
            sentence = f"Out of service, because {one.trouble}. {one.sentence}" if one.trouble else one.sentence
            shown.add_row(str(one.name), one.state, serving, f"{one.created_at:%Y-%m-%d %H:%M}", sentence)
        console.print(shown)


def promote_(
    name: str,
    version: Annotated[str | None, typer.Argument(help="NAME@vN, vN or N; else the newest that passed.")] = None,
    json: Json = False,
) -> None:
    """Put a version into service."""
    number = None if version is None else _number(name, version)

    async def work() -> Move:
        async with workplace() as place:
            await promotable(place.database, name, number)  # before an engine is started for it
            async with place.engine(_say) as client:
                return await promote(place.database, client, name, number, getpass.getuser())

    _show_move(run(work()), json)


def rollback_(name: str, json: Json = False) -> None:
    """Take the last promotion back."""

    async def work() -> Move:
        async with workplace() as place:
            await previous(place.database, name)  # before an engine is started for it
            async with place.engine(_say) as client:
                return await rollback(place.database, client, name, getpass.getuser())

    _show_move(run(work()), json)


def _number(name: str, version: str) -> int:
    text = version if "@" in version else f"{name}@{version if version.startswith('v') else f'v{version}'}"
    parsed = VersionName.parse(text)
    if parsed.assistant != name:
        raise typer.BadParameter(f"{version} is not a version of {name}")
    return parsed.number


def _show_move(move: Move, json: bool) -> None:
    if json:
        print_json({
            "before": str(move.before) if move.before else None,
            "after": str(move.after) if move.after else None,
            "sentence": move.sentence,
        })  # fmt: skip
    else:
        console.print(move.sentence, markup=False)
