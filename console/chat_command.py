"""`parlance chat NAME`: talk with an assistant in the terminal. Nothing that is said here is kept."""

from __future__ import annotations

import sys
import time
from typing import Annotated, Any

import typer

from config.catalogue import find_model
from config.errors import ParlanceError
from config.names import VersionName, untuned
from config.settings import Settings
from console.output import console, errors, print_json
from console.workplace import Workplace, run, workplace
from serving.adapters import ensure_untuned
from serving.answer import Finished, Piece, Sampling
from serving.client import EngineClient
from serving.fallback import with_last_good
from serving.prompt import Message, with_system
from store.assistants import find_assistant, find_version
from store.database import Database


def register(app: typer.Typer) -> None:
    """Add this command to the program."""
    app.command()(chat)


def sampling_of(settings: Settings) -> Sampling:
    """How answers are drawn, as the settings say."""
    return Sampling(
        max_tokens=settings.max_answer_tokens,
        temperature=settings.temperature,
        repetition_penalty=settings.repetition_penalty,
    )


async def speaker_of(database: Database, settings: Settings, name: str) -> tuple[VersionName, str]:
    """The version that answers for this assistant now, and its system prompt; `NAME@vN` asks for that version. Raises
    NotFound, BadInput."""
    wanted = VersionName.parse(name) if "@" in name else None
    async with database.session() as session:
        assistant = await find_assistant(session, wanted.assistant if wanted else name)
        number = wanted.number if wanted else assistant.in_service
        if number is not None:
            row = await find_version(session, assistant, number)
            return VersionName(assistant.name, number), row.system_prompt
    model = find_model(assistant.base_model)
    ensure_untuned(settings.paths, model)
    return untuned(model.name), assistant.system_prompt


def chat(
    name: Annotated[str, typer.Argument(help="An assistant, or one of its versions as NAME@vN.")],
    once: Annotated[str | None, typer.Option(help="Ask one thing, print the answer, and end.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print the answer as JSON (with --once).")] = False,
) -> None:
    """Talk with an assistant. An empty line or Ctrl-D ends; /reset forgets what was said."""
    if json and once is None:
        raise typer.BadParameter("--json goes with --once TEXT")
    if once is not None and not once.strip():
        raise typer.BadParameter("--once needs some words to answer")

    async def work() -> dict[str, Any] | None:
        async with workplace() as place:
            version, _ = await speaker_of(place.database, place.settings, name)
            async with place.engine(lambda sentence: errors.print(sentence, markup=False)) as client:
                if once is None:
                    await talk(place, client, name, version)
                    return None
                return await answer(place, client, name, [_user(once)], show=not json)

    answered = run(work())
    if json:
        print_json(answered)


def _user(text: str) -> Message:
    return {"role": "user", "content": text}


async def answer(
    place: Workplace, client: EngineClient, name: str, said: list[Message], *, show: bool
) -> dict[str, Any]:
    """What `name` answers to the turns in `said`, printed as it comes where it is to be shown: its text, version,
    tokens and seconds.

    Where the version in service cannot be loaded, the assistant falls back, and the terminal says so; a version that
    was asked for by its number does not. Raises what `EngineClient.stream` raises.
    """

    async def find() -> tuple[VersionName, tuple[VersionName, str]]:
        found = await speaker_of(place.database, place.settings, name)
        return found[0], found

    async def ask(found: tuple[VersionName, str]) -> dict[str, Any]:
        version, prompt = found
        return await _ask(place, client, version, with_system(prompt, said), show=show)

    if "@" in name:
        return await ask((await find())[1])
    return await with_last_good(
        place.database, find, ask, told=lambda sentence: errors.print(sentence, markup=False, soft_wrap=True)
    )


async def _ask(
    place: Workplace, client: EngineClient, version: VersionName, messages: list[Message], *, show: bool
) -> dict[str, Any]:
    began = time.monotonic()
    async for event in client.stream(version, messages, sampling_of(place.settings)):
        if isinstance(event, Piece) and show:
            console.print(event.text, end="", markup=False)
        elif isinstance(event, Finished):
            finished = event
    if show:
        console.print()
    return {
        "text": finished.text,
        "version": str(version),
        "tokens": finished.answer_tokens,
        "seconds": round(time.monotonic() - began, 3),
    }


async def talk(place: Workplace, client: EngineClient, name: str, version: VersionName) -> None:
    """Until an empty line or the end of what is typed. An answer that fails is one sentence, and what was asked is not
    in the conversation then, so that it can be asked again."""
    console.print(f"Talking with {version}. An empty line ends; /reset forgets what was said.", markup=False)
    said: list[Message] = []
    while True:
        try:
            text = console.input("[bold]you[/bold]  ").strip()
        except EOFError:
            return
        if not text:
            return
        if text == "/reset":
            said = []
            console.print("Forgotten.")
            continue
        said.append(_user(text))
        console.print(f"[bold]{name.partition('@')[0]}[/bold]  ", end="")
        sys.stdout.flush()
        try:
            answered = await answer(place, client, name, said[-12:], show=True)
        except ParlanceError as error:
            console.print()
            errors.print(str(error), markup=False, soft_wrap=True)
            said.pop()
            continue
        said.append({"role": "assistant", "content": answered["text"]})
