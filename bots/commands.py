"""The command table: every command of every platform, who may use it, and what /help says of it.

Connectors register and complete commands from this table; nothing about a command is written anywhere else.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Literal

from bots import (
    access_commands,
    compare,
    consent_commands,
    member_commands,
    operator_commands,
    persona,
    retrain,
    speaker_command,
    teach,
    votes,
)
from bots.call import Call
from bots.events import Card
from bots.incoming import RANK, Incoming, Role
from config.errors import BadInput, NotFound, Refused

_COMMAND = re.compile(r"/([a-zA-Z][a-zA-Z0-9_]{0,31})(?:@\w+)?(?:\s+(.*))?", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Command:
    """`usage` shows the words it takes, at most `most` of them, or all that follows where it takes free `text`. One
    that is `in_turn` changes what was said: it interrupts the answer under way and waits for its place in the
    channel's line; the others run at once. `hidden` ones are what buttons say: neither listed nor registered. A name
    may stand twice; the first that can take the words is meant. `always`: also for those who were not admitted, and
    nothing of it is kept. `killed`: what a process does that finds it begun by one which is gone: `repeat` it, for
    doing it twice changes nothing; `show` how things are by saying it without its words; `tell` that it may not have
    been done; or `drop` it, because what it was for is over or happens anyway. What a `personal` one shows is for the
    asker alone, on platforms that have a way."""

    name: str
    role: Role
    help: str
    run: Callable[[Call], Awaitable[None]]
    words: str = ""
    most: int = 0
    in_turn: bool = False
    text: bool = False
    hidden: bool = False
    always: bool = False
    killed: Literal["repeat", "show", "tell", "drop"] = "tell"
    personal: bool = False

    def takes(self, words: tuple[str, ...]) -> bool:
        """Whether so many words are not too many."""
        return self.text or len(words) <= self.most

    @property
    def usage(self) -> str:
        return f"/{self.name} {self.words}".strip()


async def show_help(call: Call) -> None:
    """The commands that this person may use."""
    lines = tuple(f"{command.usage} — {command.help}" for command in allowed(call.incoming.role))
    call.show(Card("help", "What you can ask for", lines))


COMMANDS: tuple[Command, ...] = (
    Command("start", "member", "who I am, and how to begin", member_commands.start, most=1, killed="repeat"),
    Command("help", "member", "this list", show_help, killed="repeat", personal=True),
    Command("reset", "member", "begin anew; I no longer see what was said before", member_commands.reset, in_turn=True,
            killed="repeat"),
    Command("undo", "member", "take back your last message and my answer", member_commands.undo_last, in_turn=True),
    Command("again", "member", "answer your last message afresh", member_commands.again, in_turn=True,
            killed="drop"),
    Command("stop", "member", "stop me in the middle of an answer", member_commands.stop, killed="drop"),
    Command("privacy", "member", "what is kept of what you write, and how to have it deleted", consent_commands.privacy,
            always=True, killed="repeat", personal=True),
    Command("optin", "member", "let me learn from what you write here", consent_commands.opt_in, killed="repeat",
            personal=True),
    Command("optout", "member", "no longer let me learn from what you write here", consent_commands.opt_out,
            always=True, killed="repeat", personal=True),
    Command("forgetme", "member", "delete everything that you ever wrote to me", consent_commands.forget_me,
            always=True, killed="repeat", personal=True),
    Command("retrain", "operator", "let the assistant learn from its chats again", retrain.run, "[start]", 1,
            killed="show"),
    Command("status", "operator", "how the assistant and its engine are doing", operator_commands.status,
            killed="repeat"),
    Command("cancel", "operator", "stop the learning under way", operator_commands.cancel_job),
    Command("versions", "operator", "every version so far, and how it measured", operator_commands.versions,
            killed="repeat"),
    Command("promote", "operator", "put a version into service; the newest good one if you name none",
            operator_commands.promote_version, "[N]", 1),
    Command("rollback", "operator", "go back to the version that served before", operator_commands.roll_back),
    Command("reject", "operator", "set a version aside that shall not serve", operator_commands.reject_version, "N", 1),
    Command("compare", "operator", "two versions answer the same question, and you choose", compare.run, "[QUESTION]",
            text=True),
    Command("teach", "operator", "teach an answer; or reply with it to one of mine that was not good", teach.run,
            "[QUESTION => ANSWER]", text=True),
    Command("persona", "operator", "see or change what the assistant is told about itself", persona.run, "[TEXT]",
            text=True, killed="repeat"),
    Command("assistant", "operator", "see who answers here, or choose another", operator_commands.choose_assistant,
            "[NAME]", 1, killed="repeat"),
    Command("answer", "operator", "when I answer in this group", access_commands.answer, "[mentions|all|listen]", 1,
            killed="repeat"),
    Command("access", "operator", "who may talk with the assistant", access_commands.access, "[open|pairing|closed]", 1,
            killed="repeat"),
    Command("admit", "operator", "let somebody in who waits with a code", access_commands.admit, "[CODE] [refuse]", 3,
            killed="repeat", personal=True),
    Command("operator", "owner", "who looks after the assistant; or give or take that", access_commands.operator,
            "[WHO] [remove]", 6, killed="repeat"),
    Command("learning", "operator", "whether this channel may be learnt from", consent_commands.learning, "[on|off]", 1,
            killed="repeat"),
    Command("speaker", "operator", "whose words to others I learn; named by a reply", speaker_command.run, "[remove]",
            1, killed="repeat"),
    Command("forgetme", "member", "delete it, or keep it", consent_commands.forget_me_now, "CODE [keep]", 2,
            in_turn=True, hidden=True, always=True, killed="repeat"),
    Command("vote", "member", "say whether an answer was good", votes.cast, "good|bad ID", 2, hidden=True,
            killed="drop"),
    Command("again", "member", "give this answer again", votes.again_here, "ID", 1, hidden=True, killed="drop"),
    Command("prefer", "operator", "say which answer was better", compare.prefer, "a|b|none ID", 2, hidden=True,
            killed="repeat"),
    Command("unteach", "operator", "take back what was taught", teach.take_back, "[ID]", 1, hidden=True),
)  # fmt: skip


def allowed(role: Role) -> tuple[Command, ...]:
    """The commands that `role` may type, in the table's order."""
    return tuple(command for command in COMMANDS if not command.hidden and RANK[role] >= RANK[command.role])


def parse(text: str) -> tuple[str, tuple[str, ...]] | None:
    """A command's name in small letters and its words; None where `text` is a message like any other."""
    found = _COMMAND.fullmatch(text.strip())
    return None if found is None else (found[1].lower(), tuple((found[2] or "").split()))


def asked(incoming: Incoming) -> tuple[str, tuple[str, ...]] | None:
    """What `parse` gives for its words; None also for what was only passed on: nobody is made to command by a text of
    somebody else's that they forward."""
    return None if incoming.forwarded else parse(incoming.text)


def named(name: str) -> tuple[Command, ...]:
    """The commands of that name; none where there is no such command."""
    return tuple(command for command in COMMANDS if command.name == name)


def find(name: str, words: tuple[str, ...], role: Role) -> Command:
    """The command. Raises NotFound naming the nearest, Refused for another role's, BadInput for too many words."""
    known = named(name)
    if not known:
        names = [command.name for command in allowed(role)]
        near = difflib.get_close_matches(name, names, 1, 0.5)
        hint = f"did you mean /{near[0]}?" if near else "/help shows what there is."
        raise NotFound(f"I don’t know /{name}; {hint}")
    if all(RANK[role] < RANK[command.role] for command in known):
        raise Refused(f"/{name} is for those who look after this assistant; ask one of them.")
    command = next((command for command in known if command.takes(words)), None)
    if command is None:
        raise BadInput(f"That was more than /{name} can take; write it like this: {known[0].usage}")
    return command
