"""`parlance up|demo|doctor`: the platform as a whole."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from config.settings import load_settings
from console.output import console, print_json, steps, table
from console.workplace import run


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


def doctor(json: Annotated[bool, typer.Option("--json", help="Print the findings as JSON.")] = False) -> None:
    """Look the installation over and say what is wrong and what to do. Exit 1 where something is wrong."""
    from console.doctor import examine

    findings = run(examine(load_settings()))
    wrong = [finding for finding in findings if finding.level == "wrong"]
    if json:
        print_json(
            [{"check": one.check, "level": one.level, "found": one.found, "advice": one.advice} for one in findings]
        )
    else:
        marks = {"ok": "[green]✓[/green]", "warning": "[yellow]![/yellow]", "wrong": "[red]✗[/red]"}
        shown = table("", "", "", "")
        for one in findings:
            shown.add_row(marks[one.level], one.check, one.found, one.advice)
        console.print(shown)
        console.print("All is well." if not wrong else f"{len(wrong)} thing(s) to mend.")
    if wrong:
        raise typer.Exit(1)
