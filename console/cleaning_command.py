"""`parlance cleaning` and `parlance redactions`: what is left out or replaced before an assistant learns."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from config.errors import BadInput
from console.output import Steps, console, print_json, steps, table
from console.workplace import Workplace, run, workplace
from store.assistants import find_assistant
from tuning.cleaning import STEPS, Cleaning, cleaning_of, set_cleaning
from tuning.curation import Curated, measure, redactions
from tuning.redacting import Redacted
from tuning.redaction import redact

Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
LONGEST = 160
"""Characters of a sample that are shown."""
FEWEST, MOST = 1, 1000


def register(app: typer.Typer) -> None:
    """Add these commands to the program."""
    app.command("cleaning")(cleaning_)
    app.command("redactions")(redactions_)


def cleaning_(
    name: Annotated[str, typer.Argument(help="The assistant.")],
    off: Annotated[list[str] | None, typer.Option(help=f"Switch a step off: {', '.join(STEPS)}.")] = None,
    on: Annotated[list[str] | None, typer.Option(help="Switch a step on again.")] = None,
    language: Annotated[str | None, typer.Option(help="Learn this language alone, by its code: en, de, es …")] = None,
    json: Json = False,
) -> None:
    """Show what is left out of the sources before an assistant learns, step by step with a few samples, or switch steps
    off and on. It holds from the next retrain on. Samples are read from the sources each time, and kept nowhere."""

    async def work() -> tuple[Cleaning, Curated]:
        async with workplace() as place:
            if off or on or language is not None:
                async with place.database.session() as session:
                    await set_cleaning(session, name, off or (), on or (), language)
            with steps() as shown:
                return await _measured(place, name, shown)

    cleaning, found = run(work())
    counted = {step.name: step for step in found.funnel}
    samples: dict[str, list[str]] = {step: [] for step in STEPS}
    for removed in found.removed:
        samples[removed.step].append(redact(removed.text))
    if json:
        shown = [
            {
                "step": step, "on": cleaning.has(step),
                "removed": counted[title].came_in - counted[title].went_out if title in counted else 0,
                "samples": samples[step],
            }
            for step, title in STEPS.items()
        ]  # fmt: skip
        print_json({"assistant": name, "language": cleaning.language, "steps": shown, "examples": found.examples})
        return
    for step, title in STEPS.items():
        state = "on" if cleaning.has(step) else "off"
        if step == "language" and cleaning.language:
            state = f"only {cleaning.language}"
        figures = f"{counted[title].came_in - counted[title].went_out:,} out" if title in counted else ""
        console.print(f"{step:<12} {state:<10} {title:<32} {figures}", markup=False)
        for text in samples[step]:
            console.print(f"    {_line(text)}", markup=False, style="dim")
    console.print(f"\n{found.examples:,} examples are left to learn from.")


async def _measured(place: Workplace, name: str, shown: Steps) -> tuple[Cleaning, Curated]:
    async with place.database.long_session() as session:
        assistant = await find_assistant(session, name)
        return cleaning_of(assistant), await measure(session, assistant.id, _progress(shown))


def _progress(shown: Steps) -> Any:
    return lambda step, done, total: shown.say("Reading the sources", done / max(total, 1))


def redactions_(
    name: Annotated[str, typer.Argument(help="The assistant.")],
    limit: Annotated[int, typer.Option(help="At most so many messages.")] = 20,
    json: Json = False,
) -> None:
    """Show messages as they are and as they would be learnt: which private details are replaced, and by what. Nothing
    of it is stored."""
    if not FEWEST <= limit <= MOST:
        raise BadInput(f"Between {FEWEST} and {MOST:,} messages can be shown; say --limit with a number in between.")

    async def work() -> tuple[list[Redacted], dict[str, int]]:
        async with workplace() as place, place.database.long_session() as session:
            assistant = await find_assistant(session, name)
            with steps() as shown:
                return await redactions(session, assistant.id, limit, _progress(shown))

    found, counts = run(work())
    if json:
        messages = [
            {"message": one.message_id, "kinds": list(one.kinds), "before": one.before, "after": one.after}
            for one in found
        ]
        print_json({"assistant": name, "replaced": counts, "messages": messages})
    elif not found:
        console.print(f"Nothing private was found in what {name} would learn from.", markup=False)
    else:
        for one in found:
            console.print(", ".join(one.kinds), style="bold", markup=False)
            console.print(f"  before  {one.before}", markup=False, style="red")
            console.print(f"  after   {one.after}", markup=False, style="green")
        total = table("replaced", "times")
        for kind, count in sorted(counts.items()):
            total.add_row(kind, f"{count:,}")
        console.print(total)


def _line(text: str) -> str:
    plain = " ".join(text.split())
    return plain if len(plain) <= LONGEST else f"{plain[:LONGEST]}…"
