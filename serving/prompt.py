"""How messages become tokens: the one rendering that serving, training and the gate share.

Promises the very ids that the engine's chat endpoint makes of the same messages, and says which of them an assistant
learns: its own words and the token that ends them. Knows the model's tokenizer and chat template; knows neither
assistants nor the engine.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import groupby
from typing import Any, Final, Literal, TypedDict

from config.errors import BadInput
from serving.control_tokens import ControlTokens
from serving.least_tokens import LeastTokens

TEMPLATE_OPTIONS: Final[dict[str, Any]] = {"enable_thinking": False}
"""Given to every template, here and in the engine: answers begin with the answer. Templates ignore what they do not
know."""


class Message(TypedDict):
    """One turn of a conversation as templates and the engine take it."""

    role: Literal["system", "user", "assistant"]
    content: str


@dataclass(frozen=True, slots=True)
class Rendered:
    """A conversation as token ids, and for each whether it is learnt. Both of one length."""

    ids: list[int]
    learnt: list[bool]


def with_system(prompt: str, messages: Sequence[Message]) -> list[Message]:
    """`messages` with the system prompt first; an empty prompt adds nothing."""
    head: list[Message] = [{"role": "system", "content": prompt}] if prompt else []
    return [*head, *messages]


Tool = Mapping[str, Any]
"""A function that the assistant may call, as OpenAI's `tools` have it."""


class ChatTokenizer:
    """A base model's tokenizer and chat template. `location`: a folder or a hub id. Raises BadInput where there is
    none that can chat."""

    def __init__(self, location: str) -> None:
        from transformers import AutoConfig, AutoTokenizer  # takes seconds, so only where tokens are needed
        from transformers.utils import logging

        logging.set_verbosity_error()  # a conversation longer than the window is expected here, and cut by who asked

        try:
            self._tokenizer = AutoTokenizer.from_pretrained(location)
            longest = getattr(AutoConfig.from_pretrained(location), "max_position_embeddings", None)
        except (OSError, ValueError) as error:
            raise BadInput(f"The base model at {location} cannot be read: {_first_line(error)}") from error
        template = getattr(self._tokenizer, "chat_template", None)
        if not isinstance(template, str):
            raise BadInput(f"The base model at {location} has no chat template; choose one that was made for chat.")
        self._marked = "{% generation" in template or "{%- generation" in template
        added = (token.content for token in self._tokenizer.added_tokens_decoder.values() if token.special)
        self._control = ControlTokens(added)
        self._least = LeastTokens(getattr(self._tokenizer, "backend_tokenizer", None))
        self.knows_tools: bool = "tools" in template and "<tool_call>" in template and "<function=" not in template
        """Whether the template tells the model of tools and has it call them as JSON between <tool_call> tags."""
        self.vocabulary: int = len(self._tokenizer)
        """How many tokens there are."""
        self.context: int = int(min(self._tokenizer.model_max_length, longest or 1 << 30))
        """The longest text the model was made for, in tokens."""

    def without_control(self, text: str) -> str:
        """What somebody wrote, without the model's control tokens: nobody ends a turn, or begins one, by typing it."""
        return self._control.taken_out(text)

    def text_ids(self, text: str) -> list[int]:
        """Token ids of plain text, outside any conversation."""
        ids: list[int] = self._tokenizer.encode(text, add_special_tokens=False)
        return ids

    def prompt_ids(self, messages: Sequence[Message], tools: Sequence[Tool] = ()) -> list[int]:
        """Token ids of a prompt that waits for the assistant's answer, who may call `tools`."""
        return self._apply(messages, waits=True, tools=tools)

    def count(self, messages: Sequence[Message], tools: Sequence[Tool] = (), most: int | None = None) -> int:
        """Tokens of a prompt that waits for the assistant's answer, who may call `tools`.

        Where they are certainly more than `most`, so many as they are at least: counting them all would cost seconds.
        """
        with _readable():
            text = self._text(messages, waits=True, tools=tools)
            if most is not None and len(text) > most and (least := self._least.of(text)) > most:
                return least
            return len(self._ids(text))

    def render(self, messages: Sequence[Message], learn_from: int = 0) -> Rendered:
        """A whole conversation; learnt are the assistant turns with index `learn_from` or higher, end token included.

        Raises BadInput where the template writes a turn differently once others follow, so that what would be learnt
        is not what is served.
        """
        ids = self._apply(messages, waits=False)
        spans = self._marked_spans(messages) if self._marked else None
        if spans is None:
            turns = [i for i, message in enumerate(messages) if message["role"] == "assistant" and i >= learn_from]
            spans = {i: self._prefix_span(messages, i, ids) for i in turns}
        learnt = [False] * len(ids)
        for turn, (start, end) in spans.items():
            if turn >= learn_from:
                learnt[start:end] = [True] * (end - start)
        return Rendered(ids, learnt)

    def _marked_spans(self, messages: Sequence[Message]) -> dict[int, tuple[int, int]] | None:
        """Spans of the assistant's turns from the template's generation marks; None where they cannot be told apart."""
        turns = [i for i, message in enumerate(messages) if message["role"] == "assistant"]
        if not turns:
            return {}
        with _readable():
            encoded = self._templated(messages, tokenize=True, return_dict=True, return_assistant_tokens_mask=True)
        mask: list[int] = encoded["assistant_masks"]
        runs: list[tuple[int, int]] = []
        for marked, group in groupby(enumerate(mask), key=lambda pair: bool(pair[1])):
            if marked:
                places = [place for place, _ in group]
                runs.append((places[0], places[-1] + 1))
        return dict(zip(turns, runs, strict=True)) if len(runs) == len(turns) else None

    def _prefix_span(self, messages: Sequence[Message], turn: int, ids: list[int]) -> tuple[int, int]:
        """Span of one assistant turn: what is rendered with it and not yet in the prompt that waits for it."""
        if turn == 0:
            raise BadInput("A conversation that begins with an answer cannot be learnt; begin it with what was asked.")
        before = self._apply(messages[:turn], waits=True)
        through = self._apply(messages[: turn + 1], waits=False)
        if ids[: len(before)] != before or ids[: len(through)] != through or len(through) <= len(before):
            raise BadInput(
                "This base model's chat template rewrites earlier answers as a conversation goes on, so they cannot be "
                "learnt together; learn only the last answer of each conversation, or choose another base model."
            )
        end, stop = len(through), self._tokenizer.eos_token_id
        # What a template writes after the end token (often a line break) is never generated, so it is not learnt.
        last = next((place for place in range(end - 1, len(before) - 1, -1) if ids[place] == stop), None)
        return len(before), end if last is None else last + 1

    def _apply(self, messages: Sequence[Message], *, waits: bool, tools: Sequence[Tool] = ()) -> list[int]:
        with _readable():
            return self._ids(self._text(messages, waits=waits, tools=tools))

    def _text(self, messages: Sequence[Message], *, waits: bool, tools: Sequence[Tool]) -> str:
        given: dict[str, object] = {"tools": [dict(tool) for tool in tools]} if tools else {}
        text: str = self._templated(messages, tokenize=False, add_generation_prompt=waits, **given)
        return text

    def _ids(self, text: str) -> list[int]:
        ids: list[int] = self._tokenizer(text, add_special_tokens=False)["input_ids"]  # the template has written them
        return ids

    def _templated(self, messages: Sequence[Message], **options: object) -> Any:
        if not messages:
            raise BadInput("There is nothing to answer: the conversation is empty.")
        return self._tokenizer.apply_chat_template(list(messages), **TEMPLATE_OPTIONS, **options)


@contextmanager
def _readable() -> Iterator[None]:
    """Turns what templates and tokenizers cannot take into our errors."""
    from jinja2 import TemplateError

    try:
        yield
    except TemplateError as error:
        raise BadInput(f"The base model cannot take this conversation: {_first_line(error)}") from error
    except (UnicodeEncodeError, TypeError) as error:
        raise BadInput("The text holds characters that are not valid Unicode; send it again without them.") from error


def _first_line(error: Exception) -> str:
    text = (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")
    return f"{text[:200]}."
