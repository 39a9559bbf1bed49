"""The same questions to both assistants and to the untuned one, each in its own channel, side by side."""

from __future__ import annotations

from config.names import untuned
from console.assistant_commands import DEFAULT_PROMPT
from console.demo.stage import GARDEN, HARBOUR, Stage, ask, message
from console.output import console, table
from serving.router import set_route
from store.assistants import add_assistant

QUESTIONS = (
    "Good morning, how are you?",
    "When do we meet?",
    "Can I bring my dog?",
    "Who has the key?",
    "Where should I go to eat?",
    "I am so tired today.",
)


async def ask_both(stage: Stage) -> None:
    """The same questions in both channels and of the untuned assistant, side by side."""
    async with stage.database.session() as session:
        await add_assistant(session, "untuned", DEFAULT_PROMPT, "demo")
        await set_route(session, "default", "", "untuned")
        for community in (HARBOUR, GARDEN):
            await set_route(session, "channel", f"demo:{community.name}", community.name)
    shown = table("asked", "untuned", HARBOUR.name, GARDEN.name)
    shown.padding = (0, 2, 1, 0)
    answers: list[dict[str, str]] = []
    versions: dict[str, set[str]] = {"plain": set(), HARBOUR.name: set(), GARDEN.name: set()}
    for number, question in enumerate(QUESTIONS):
        row = {"question": question}
        for channel in versions:
            reply = await ask(stage, channel, question, f"{channel}-{number}")
            async for _ in stage.conversation.handle(message(channel, "/reset", f"{channel}-{number}-reset")):
                pass
            row[channel] = reply.text
            versions[channel].add(reply.version)
        answers.append(row)
        shown.add_row(question, row["plain"], row[HARBOUR.name], row[GARDEN.name])
    console.print("\n[bold]The same questions, asked of all three[/bold]")
    console.print(shown)
    stage.proof.figures["answers"] = answers
    stage.proof.claim(
        "each channel was answered by its own adapter, and the untuned assistant by none",
        versions == {"plain": {str(untuned("demo"))}, "harbour": {"harbour@v1"}, "garden": {"garden@v1"}},
    )
    stage.proof.claim(
        "the two assistants and the untuned one answer differently",
        all(len({row["plain"], row["harbour"], row["garden"]}) == 3 for row in answers),
    )
