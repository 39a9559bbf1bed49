"""`parlance up|demo|doctor`: the platform as a whole."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape

from config.settings import load_settings
from console.output import console, print_json, steps, table
from console.workplace import run

if TYPE_CHECKING:
    from console.doctor import Finding, Repaired


def register(app: typer.Typer) -> None:
    """Add these commands to the program."""
    for command in (up, demo, doctor):
        app.command()(command)


def up(
    port: Annotated[int | None, typer.Option(help="Where the page listens, instead of the setting.")] = None,
) -> None:
    """Start the platform: the chat page, the engine, and the runner of jobs. Ctrl-C stops it cleanly."""
    from console.platform import serve

    run(serve(port))


def demo() -> None:
    """Show the whole way, from two chat exports to two assistants that answer, and prove it. About eight minutes."""
    from console.demo.run import run_demo
    from console.demo.stage import demo_home

    with steps() as shown:
        proven = run(run_demo(shown, Path.cwd() / "demo-report.json"))
    if not proven:
        raise typer.Exit(1)
    if sys.stdin.isatty() and sys.stdout.isatty() and typer.confirm("Go on into the web chat with them?", default=True):
        from console.platform import serve

        run(serve(None, home=demo_home()))


def doctor(
    repair: Annotated[bool, typer.Option("--repair", help="Also repair what is safe to repair.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print the findings as JSON.")] = False,
) -> None:
    """Look the installation over and say what is wrong and what to do. Exit 1 where something is wrong."""
    from console.doctor import examine
    from console.doctor import repair as repair_what_is_safe

    async def work() -> tuple[list[Repaired], list[Finding]]:
        settings = load_settings()
        done = await repair_what_is_safe(settings) if repair else []
        return done, await examine(settings)

    repaired, findings = run(work())
    wrong = [finding for finding in findings if finding.level == "wrong"]
    if json:
        print_json([_as_json(one, repaired) for one in findings])
    else:
        for one in repaired:
            outcome = "repaired" if one.trouble is None else f"could not: {one.trouble}"
            console.print(f"{one.check}: {one.words} … {outcome}", markup=False, soft_wrap=True)
        marks = {"ok": "[green]✓[/green]", "warning": "[yellow]![/yellow]", "wrong": "[red]✗[/red]"}
        shown = table("", "", "", "")
        for finding in findings:
            shown.add_row(marks[finding.level], finding.check, escape(finding.found), escape(finding.advice))
        console.print(shown)
        console.print("All is well." if not wrong else f"{len(wrong)} thing(s) to mend.")
        if any(finding.repair for finding in findings):
            console.print("Some of it can be repaired at once: parlance doctor --repair")
    if wrong:
        raise typer.Exit(1)


def _as_json(finding: Finding, repaired: list[Repaired]) -> dict[str, Any]:
    """`repair`: what --repair would do; `repaired`: what it has just done of this check."""
    return {
        "check": finding.check,
        "level": finding.level,
        "found": finding.found,
        "advice": finding.advice,
        "repair": finding.repair.words if finding.repair else None,
        "repaired": [one.words for one in repaired if one.check == finding.check and one.trouble is None],
    }
