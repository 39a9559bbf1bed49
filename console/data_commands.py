"""`parlance import`: chats, dialogues or a document into an assistant's sources, with the counts of what came of it."""

from __future__ import annotations

import getpass
from pathlib import Path
from typing import Annotated, Any

import typer

from console.output import console, print_json, steps, table
from console.workplace import run, workplace
from tuning.importing import Imported, import_file
from tuning.sources.export import LONGEST_TEXT
from tuning.speakers import EVERYBODY


def register(app: typer.Typer) -> None:
    """Add this command to the program."""
    app.command("import")(import_)


def import_(
    file: Annotated[Path, typer.Argument(help="What to learn from; its format is found by looking into it.")],
    assistant: Annotated[str, typer.Option(help="The assistant that learns from it.")],
    speaker: Annotated[
        list[str] | None,
        typer.Option(help="Whose answers it learns; say it again for several. Else who answers others most."),
    ] = None,
    everybody: Annotated[bool, typer.Option("--everybody", help="Learn the whole community’s voice.")] = False,
    chat: Annotated[str | None, typer.Option(help="Which chat of a full account export.")] = None,
    preview: Annotated[bool, typer.Option("--preview", help="Only say what it would bring; keep nothing.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Read a chat export, dialogues, or a document.

    Telegram's result.json, DiscordChatExporter's JSON, WhatsApp's .txt or .zip, Slack's .zip, dialogues as OpenAI or
    ShareGPT write them, and documents: text, Markdown, HTML, PDF, Word. The same file twice adds nothing; a longer
    export of the same chat adds what is new.

    By importing you say that the people in it agreed to its use for this assistant; that is recorded with your name.
    """

    if everybody and speaker:
        raise typer.BadParameter("Give either --speaker or --everybody.")

    async def work() -> Imported:
        async with workplace() as place:
            with steps() as shown:
                return await import_file(
                    place.database, file, assistant, EVERYBODY if everybody else speaker, getpass.getuser(),
                    lambda step, done, total: shown.say(step, done / total if total else None),
                    chat=chat, preview=preview,
                )  # fmt: skip

    found = run(work())
    if json:
        print_json(_result(found))
        return
    console.print(
        f"{found.messages:,} messages, {found.new:,} of them new, {found.changed:,} changed; "
        f"learning from {found.speaker}{' (who answers others most)' if found.speaker_chosen else ''}.",
        markup=False,
    )
    funnel = table("step", "in", "out")
    for step in found.funnel:
        funnel.add_row(step.name, f"{step.came_in:,}", f"{step.went_out:,}")
    console.print(funnel)
    console.print(f"{found.conversations:,} conversations, {found.examples:,} examples.")
    if found.without_text:
        console.print(
            f"Left out: {found.without_text:,} that cannot be kept, being longer than {LONGEST_TEXT:,} characters, no "
            "valid text, or with lines of another chat pasted in. Nothing is learnt across such a message.",
            markup=False,
        )
    if found.wanting:
        console.print(found.wanting, markup=False)
    kept = "It is kept." if found.wanting else f"Next: parlance tune {assistant}"
    console.print("Nothing was kept; leave out --preview to import it." if preview else kept, markup=False)


def _result(found: Imported) -> dict[str, Any]:
    return {
        "messages": found.messages,
        "conversations": found.conversations,
        "examples": found.examples,
        "funnel": [step.to_json() for step in found.funnel],
        "new": found.new,
        "changed": found.changed,
        "speaker": found.speaker,
        "without_text": found.without_text,
        "wanting": found.wanting,
    }
