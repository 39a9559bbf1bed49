"""/persona: what the assistant is told about itself, its system prompt; shown, or set to another.

What was gated is what is served: a version answers with the prompt it was trained and measured with, so a new one
holds from the next version on. Only the untuned model takes it up at once.
"""

from __future__ import annotations

from bots.call import Call
from bots.events import Button, Card
from config.names import VersionName
from store.assistants import find_assistant, set_persona


async def run(call: Call) -> None:
    """`/persona` shows it, `/persona TEXT` sets it."""
    routed = await call.routed()
    name, version = routed.assistant.name, routed.version
    if not call.text:
        lines = [routed.system_prompt or "Nothing at all so far."]
        if routed.assistant.system_prompt != routed.system_prompt:
            lines.append(f"From the next version on it will be: {routed.assistant.system_prompt}")
        lines.append("To change it: /persona and the new text.")
        call.show(Card("persona", f"What {name} is told about itself", tuple(lines)))
        return
    async with call.database.session() as session:
        assistant = await find_assistant(session, name)
        await set_persona(session, assistant, call.text)
    call.show(_changed(name, version, call.text, routed.system_prompt))


def _changed(name: str, version: VersionName, text: str, served: str) -> Card:
    if not version.number:
        return Card("persona", f"{name} is told this from now on", (text,), tone="good")
    if text == served:
        return Card("persona", f"{name} is told this already", (text,))
    lines = (
        text,
        f"{version} answers now, and goes on with the words it was trained and measured with.",
        "Until then nothing changes; the next retrain takes the new words up.",
    )
    return Card("persona", f"{name} is told this from the next version on", lines, tone="good",
                buttons=(Button("Retrain", "/retrain", "main"),))  # fmt: skip
