"""`parlance teach` and `parlance reject`: answers an operator teaches by hand, and versions they set aside."""

from __future__ import annotations

import getpass
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape

from config.errors import BadInput
from config.names import VersionName
from console.output import console, print_json, table
from console.workplace import run, workplace
from tuning.teaching import Taught, read_pairs, taught_pairs, teach_all, untaught
from tuning.versions import reject as reject_version

Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
LARGEST_FILE = 10_000_000
"""Bytes."""


def register(app: typer.Typer) -> None:
    """Add these commands to the program."""
    app.command()(teach)
    app.command()(reject)


def teach(
    name: Annotated[str, typer.Argument(help="The assistant to teach.")],
    question: Annotated[str | None, typer.Argument(help="What is asked.")] = None,
    answer: Annotated[str | None, typer.Argument(help="What it shall answer.")] = None,
    file: Annotated[
        Path | None, typer.Option(help="Pairs, one a line: When do you open? => At six. A dash reads standard input.")
    ] = None,
    take_back: Annotated[int | None, typer.Option(help="Take the pair with this number back.")] = None,
    json: Json = False,
) -> None:
    """Teach answers by hand: learnt at the next retrain, with more weight than chats. Without any, list those taught.

    The same question taught again replaces its answer.
    """
    if sum((question is not None, file is not None, take_back is not None)) > 1:
        raise typer.BadParameter("give a question and its answer, or --file, or --take-back, one of them")
    if (question is None) != (answer is None):
        raise typer.BadParameter("give the answer as well: parlance teach NAME QUESTION ANSWER")
    pairs = [(question, answer)] if question is not None and answer is not None else []
    if file is not None:
        pairs = read_pairs(_read(file).splitlines(), file.name)

    async def work() -> list[Taught]:
        async with workplace() as place:
            if take_back is not None:
                return [await untaught(place.database, name, take_back)]
            if pairs:
                return await teach_all(place.database, name, pairs, getpass.getuser())
            return await taught_pairs(place.database, name)

    found = run(work())
    if json:
        print_json([_view(pair) for pair in found])
    elif take_back is not None:
        console.print(f"Taken back: {found[0].question}", markup=False)
    elif pairs:
        count = f"{len(found):,} answer{'' if len(found) == 1 else 's'}"
        console.print(f"Taught {name} {count}. They are learnt with: parlance tune {name}", markup=False)
    elif not found:
        console.print(
            f"{name} has not been taught any answers. Try: parlance teach {name} QUESTION ANSWER", markup=False
        )
    else:
        shown = table("number", "question", "answer", "taught")
        for pair in found:
            shown.add_row(str(pair.id), escape(pair.question), escape(pair.answer), f"{pair.at:%Y-%m-%d %H:%M}")
        console.print(shown)


def _read(file: Path) -> str:
    try:
        if str(file) == "-":
            return sys.stdin.read(LARGEST_FILE)
        if file.stat().st_size > LARGEST_FILE:
            raise BadInput(f"{file.name} is larger than {LARGEST_FILE // 1_000_000} MB; import it as a source instead.")
        return file.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise BadInput(f"There is no file {file}; check its name.") from None
    except UnicodeDecodeError:
        raise BadInput(f"{file.name} is not text in UTF-8; save it as such and try again.") from None
    except IsADirectoryError:
        raise BadInput(f"{file} is a folder; name a file in it.") from None


def _view(pair: Taught) -> dict[str, Any]:
    return {
        "id": pair.id,
        "question": pair.question,
        "answer": pair.answer,
        "taught_at": pair.at.isoformat(),
        "replaced": pair.replaced,
    }


def reject(name: str, version: Annotated[str, typer.Argument(help="NAME@vN, vN or N.")], json: Json = False) -> None:
    """Set a version aside that passed its gate: it is not offered any more. Promoting it by its number undoes that."""
    text = version if "@" in version else f"{name}@v{version.removeprefix('v')}"
    wanted = VersionName.parse(text)
    if wanted.assistant != name:
        raise typer.BadParameter(f"{version} is not a version of {name}")

    async def work() -> VersionName:
        async with workplace() as place:
            return await reject_version(place.database, name, wanted.number)

    done = run(work())
    if json:
        print_json({"version": str(done), "state": "rejected"})
    else:
        console.print(f"{done} is set aside; what serves is unchanged.", markup=False)
