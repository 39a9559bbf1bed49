"""What people ask for with commands, buttons, menus and forms: acknowledged first, then said as if they had typed it.

Promises that whoever pressed or picked something hears of it: what is no command of ours, tampered with or not, is told
to them alone.
"""

from __future__ import annotations

from typing import Any

import structlog
from pydantic import ValidationError

from bots.discord import slash
from bots.discord.interactions import EPHEMERAL, Interaction, Kind, incoming_of, pressed
from bots.discord.replies import COMPLETIONS, FORM, ReplyOutlet, acknowledge
from bots.discord.talk import Talk
from bots.incoming import Incoming
from store.assistants import list_assistants
from tuning.versions import history

MESSAGE = 4
NO_BUTTON = "That button does nothing any more; write what you want instead."
NOT_THEIRS = "Teaching is for those who look after this assistant; ask one of them."
TEACH = "teach:"
SHORT_TEXT, PARAGRAPH, ROW, TEXT_INPUT = 1, 2, 1, 4

log = structlog.get_logger()


class Questions:
    """Its method is named as the library calls it."""

    def __init__(self, talk: Talk) -> None:
        self._talk = talk

    async def on_raw_interaction(self, payload: dict[str, Any]) -> None:
        """Somebody uses a command, presses, types an option, or sent a form."""
        try:
            asked = Interaction.model_validate(payload)
        except ValidationError as error:
            log.error("interaction_not_read", problems=error.error_count())
            return
        match asked.type:
            case Kind.completion:
                self._talk.begin(self._complete(asked))
            case Kind.button:
                self._talk.begin(self._press(asked))
            case Kind.form if asked.data.custom_id.startswith(TEACH):
                target = asked.data.custom_id.removeprefix(TEACH)
                self._talk.begin(self._say(asked, f"/teach {asked.filled}", reply_to=target))
            case Kind.command if asked.data.type == slash.MESSAGE_MENU:
                self._talk.begin(self._offer_form(asked))
            case Kind.command:
                private = slash.is_personal(asked.data.name) and asked.guild_id is not None
                self._talk.begin(self._say(asked, slash.text_of(asked), private=private))
            case _:
                log.warning("interaction_unknown", kind=asked.type)

    async def _say(self, asked: Interaction, text: str, *, private: bool = False, reply_to: str | None = None) -> None:
        incoming = incoming_of(asked, self._talk.account, text, reply_to=reply_to)
        if incoming is None:
            log.warning("interaction_without_place", kind=asked.type)
            return
        outlet = self._outlet(asked, private=private)
        await outlet.defer()
        try:
            await self._talk.show(self._talk.conversation.handle(incoming), incoming, outlet)
        finally:
            await outlet.close()

    async def _press(self, asked: Interaction) -> None:
        command = pressed(asked)
        if command is not None:
            under = asked.message.id if asked.message is not None else None
            await self._say(asked, command, private=asked.under_private, reply_to=under)
            return
        outlet = self._outlet(asked, private=False)
        if await outlet.defer():
            await outlet.whisper(NO_BUTTON)

    async def _complete(self, asked: Interaction) -> None:
        """Choices, for those who may use the command at all."""
        incoming = incoming_of(asked, self._talk.account, f"/{asked.data.name}")
        names: list[str] = []
        if incoming is not None and asked.focused is not None:
            what = slash.COMPLETED.get((asked.data.name, asked.focused.name))
            names = await self._names(incoming, what)
        typed = str(asked.focused.value or "") if asked.focused is not None else ""
        await acknowledge(self._talk.calls, asked, COMPLETIONS, {"choices": slash.completions(names, typed)})

    async def _names(self, incoming: Incoming, what: str | None) -> list[str]:
        standing = await self._talk.conversation.access.standing(incoming)
        if standing.role == "member" or what is None:
            return []
        if what == "assistants":
            async with self._talk.database.session() as session:
                return [assistant.name for assistant in await list_assistants(session)]
        if standing.assistant is None:
            return []
        views = await history(self._talk.database, standing.assistant.name)
        return [str(view.name.number) for view in views]

    async def _offer_form(self, asked: Interaction) -> None:
        """A form for a better answer than the message that the menu was opened on."""
        incoming = incoming_of(asked, self._talk.account, "/teach")
        if incoming is None or asked.data.target_id is None:
            return
        standing = await self._talk.conversation.access.standing(incoming)
        if standing.role == "member":
            await acknowledge(self._talk.calls, asked, MESSAGE, {"content": NOT_THEIRS, "flags": EPHEMERAL})
            return
        field = {"type": TEXT_INPUT, "custom_id": "answer", "style": PARAGRAPH, "label": "What should it have said?",
                 "min_length": 1, "max_length": 4000, "required": True}  # fmt: skip
        form = {"custom_id": f"{TEACH}{asked.data.target_id}", "title": slash.TEACH_MENU,
                "components": [{"type": ROW, "components": [field]}]}  # fmt: skip
        await acknowledge(self._talk.calls, asked, FORM, form)

    def _outlet(self, asked: Interaction, *, private: bool) -> ReplyOutlet:
        place = asked.place_id
        return ReplyOutlet(self._talk.calls, place or 0, self._talk.ours, asked, private=private)
