"""`parlance report NAME@vN`: the proof behind one version, on the terminal, as JSON, or as a page of its own."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from config.errors import BadInput
from config.names import VersionName
from console.output import console, print_json
from console.report_page import report_page
from console.workplace import run, workplace
from store.assistants import find_assistant, find_version, newest_version
from tuning.gate.checks import checks
from tuning.gate.learnt import how_it_learnt

BAR = 28


def register(app: typer.Typer) -> None:
    """Add this command to the program."""
    app.command()(report)


def report(
    version: Annotated[str, typer.Argument(help="A version's name: NAME@vN; NAME alone means its newest.")],
    html: Annotated[
        Path | None, typer.Option(help="Write the page to this file instead; - for standard output.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
) -> None:
    """Show what the gate measured of a version: each check in a sentence, the funnel, and answers side by side."""
    if html is not None and json:
        raise BadInput("Choose one of --html and --json.")

    async def work() -> tuple[VersionName, str, dict[str, Any]]:
        async with workplace() as place, place.database.session() as session:
            name, _, number = version.partition("@")
            assistant = await find_assistant(session, name)
            if number:
                row = await find_version(session, assistant, _number(number, version))
            else:
                row = await newest_version(session, assistant)
            return VersionName(assistant.name, row.number), f"{row.created_at:%-d %B %Y}", row.report

    name, made, found = run(work())
    if json:
        print_json({"version": str(name), "checks": [asdict(check) for check in checks(found)], **found})
    elif html is not None:
        page = report_page(str(name), name.assistant, made, found)
        if str(html) == "-":
            typer.echo(page)
            return
        html.write_text(page, encoding="utf-8")
        console.print(f"The report of {name} is in {html}.", markup=False)
    else:
        show(name, made, found)


def _number(given: str, whole: str) -> int:
    """From what follows the @. Raises BadInput."""
    digits = given.removeprefix("v")
    if not digits.isdecimal() or len(digits) > 9:
        raise BadInput(f"“{whole[:60]}” names no version; write it like this: parlance report NAME@v3")
    return int(digits)


def show(name: VersionName, made: str, found: dict[str, Any]) -> None:
    """The report on the terminal."""
    passed = found["verdict"] == "pass"
    console.print(f"\n[bold]{name}[/bold]  [dim]{made}[/dim]")
    console.print(found["sentence"], markup=False, style="green" if passed else "red")
    console.print()
    for check in checks(found):
        console.print(f"{'✓' if check.passed else '✗'} {check.title}", style="green" if check.passed else "red")
        console.print(f"  {check.sentence}", markup=False, style="dim")
    for sentence in how_it_learnt(found.get("training") or {}):
        console.print(f"\n{sentence}", markup=False)
    curve = found.get("curve") or {}
    if len(curve.get("held_out_loss") or []) > 1:
        losses = "  ".join(f"{value:.2f}" for value in curve["held_out_loss"])
        console.print(f"\nLoss on later answers while it learnt: {losses}", markup=False)
    steps = found.get("funnel") or []
    if steps:
        console.print("\n[bold]From messages to what was learnt[/bold]")
        largest = max(max(step["in"], step["out"]) for step in steps) or 1
        width = max(len(step["step"]) for step in steps)
        for step in steps:
            bar = "█" * max(1 if step["out"] else 0, round(BAR * (step["out"] / largest) ** 0.5))
            console.print(f"{step['step']:<{width}}  {bar:<{BAR}}  {step['in']:,} → {step['out']:,}", markup=False)
    for sample in found["samples"]:
        console.print(f"\n{sample['question']}", markup=False, style="bold")
        console.print(f"  untouched   {sample['base']}", markup=False)
        if sample["in_service"] is not None:
            console.print(f"  in service  {sample['in_service']}", markup=False)
        console.print(f"  {name}  {sample['version']}", markup=False)
