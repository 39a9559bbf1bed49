"""The demo model as it is, but for a template that also knows tools; whoever uses none sees no difference."""

from __future__ import annotations

from pathlib import Path

from config.catalogue import DEMO_FOLDER

TEMPLATE_FILE = "chat_template.jinja"
TOLD = (
    "{%- if tools -%}<|system|>Answer with <tool_call>{...}</tool_call> where one of these helps. "
    "{% for tool in tools %}{{ tool | tojson }}{% endfor %}<|end|>{%- endif -%}"
)
CALLED = (
    "{%- if message.tool_calls %}{% for call in message.tool_calls %}<tool_call>{{ call.function.name }} "
    "{{ call.function.arguments.day }}</tool_call>{% endfor %}{% endif -%}"
)
CONTENT = "{{ message['content'] }}"


def demo_knowing_tools(folder: Path) -> Path:
    """Make it in `folder`; returns the model's own, which is called as the demo model is."""
    made = folder / "demo"
    made.mkdir(parents=True)
    for file in DEMO_FOLDER.iterdir():
        if file.name != TEMPLATE_FILE:
            (made / file.name).symlink_to(file)
    plain = (DEMO_FOLDER / TEMPLATE_FILE).read_text()
    assert CONTENT in plain
    (made / TEMPLATE_FILE).write_text(TOLD + plain.replace(CONTENT, CONTENT + CALLED, 1))
    return made
