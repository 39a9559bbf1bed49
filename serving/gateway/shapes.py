"""What clients send and get, as OpenAI's chat completions have it.

Promises that fields which are not here are ignored, because clients send many; and that types are not guessed at:
"1" is no number. Knows neither models nor engines.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, BeforeValidator, Field, StrictBool, StrictInt, StrictStr
from pydantic.types import Strict


def _whole(given: Any) -> Any:
    """JSON knows one kind of number: 5.0 is 5."""
    return int(given) if isinstance(given, float) and given.is_integer() else given


Number = Annotated[float, Strict()]
MOST_STOPS = 16
LARGEST_SEED = 2**53 - 1
"""The largest whole number that every reader of JSON reads alike."""
MOST_TOKENS = 2**31 - 1
MOST_MESSAGES = 20_000
"""More than any context holds; they are read where others wait."""
T = TypeVar("T")
Many = Annotated[list[T], Field(fail_fast=True)]
"""As many as a body holds. What is wrong with the first of them is said, not with each of a hundred thousand."""
Seed = Annotated[StrictInt, Field(ge=-LARGEST_SEED, le=LARGEST_SEED), BeforeValidator(_whole)]
Count = Annotated[StrictInt, Field(ge=1, le=MOST_TOKENS), BeforeValidator(_whole)]


class TextPart(BaseModel):
    """A piece of a message. Assistants here read text alone."""

    type: Literal["text"]
    text: StrictStr


class FunctionCall(BaseModel):
    """Which function, and its arguments as a JSON object in text."""

    name: StrictStr
    arguments: StrictStr


class ToolCall(BaseModel):
    """A call that the assistant made."""

    id: StrictStr
    type: Literal["function"] = "function"
    function: FunctionCall


class ChatMessage(BaseModel):
    """One message. `content` as text or as parts of it; None where an assistant only called tools."""

    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: StrictStr | Many[TextPart] | None = None
    tool_calls: Many[ToolCall] | None = None
    tool_call_id: StrictStr | None = None

    @property
    def text(self) -> str:
        """All of it."""
        if isinstance(self.content, str):
            return self.content
        return "".join(part.text for part in self.content or ())


class FunctionShape(BaseModel):
    """A function that may be called; `parameters` is a JSON schema."""

    name: StrictStr = Field(min_length=1, max_length=64)
    description: StrictStr | None = None
    parameters: dict[str, Any] | None = None


class Tool(BaseModel):
    """Something that the client can do for the assistant."""

    type: Literal["function"]
    function: FunctionShape


class ToolName(BaseModel):
    """The name of a function."""

    name: StrictStr


class NamedTool(BaseModel):
    """One tool that must be called."""

    type: Literal["function"]
    function: ToolName


class StreamOptions(BaseModel):
    """`include_usage`: the counts in a last chunk."""

    include_usage: StrictBool = False


class ResponseFormat(BaseModel):
    """In which form the answer is wanted."""

    type: Literal["text", "json_object", "json_schema"] = Field(json_schema_extra={"enum": ["text"]})


class ChatRequest(BaseModel):
    """`POST /v1/chat/completions`. `max_completion_tokens` is what `max_tokens` is called today."""

    model: StrictStr = Field(description="an assistant's name, or NAME@vN for one version of it")
    messages: Many[ChatMessage] = Field(min_length=1, max_length=MOST_MESSAGES)
    stream: StrictBool | None = None
    stream_options: StreamOptions | None = None
    max_tokens: Count | None = None
    max_completion_tokens: Count | None = None
    temperature: Number | None = Field(None, ge=0, le=2)
    top_p: Number | None = Field(None, ge=0, le=1)
    stop: StrictStr | Annotated[list[StrictStr], Field(max_length=MOST_STOPS)] | None = None
    seed: Seed | None = None
    # What is refused in words of our own is read here all the same; the published schema says what is done.
    n: Count | None = Field(None, json_schema_extra={"anyOf": [{"const": 1}, {"type": "null"}]})
    tools: Many[Tool] | None = None
    tool_choice: Literal["none", "auto", "required"] | NamedTool | None = Field(
        None, json_schema_extra={"anyOf": [{"enum": ["none", "auto"]}, {"type": "null"}]}
    )
    response_format: ResponseFormat | None = None

    @property
    def longest_answer(self) -> int | None:
        """As many tokens as are asked for."""
        return self.max_completion_tokens if self.max_completion_tokens is not None else self.max_tokens

    @property
    def stops(self) -> tuple[str, ...]:
        """Texts that end the answer."""
        given = [self.stop] if isinstance(self.stop, str) else self.stop or []
        return tuple(one for one in given if one)


class Usage(BaseModel):
    """Counts in tokens."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int


class AnswerMessage(BaseModel):
    """What the assistant said. `content` is None where it only called tools."""

    role: Literal["assistant"] = "assistant"
    content: str | None
    tool_calls: list[ToolCall] | None = None


class Choice(BaseModel):
    """The one answer."""

    index: Literal[0] = 0
    message: AnswerMessage
    finish_reason: Literal["stop", "length", "tool_calls"]
    logprobs: None = None


class ChatCompletion(BaseModel):
    """A whole answer. `model` is the version that gave it."""

    id: str
    object: Literal["chat.completion"] = "chat.completion"
    created: int
    model: str
    choices: list[Choice]
    usage: Usage


class Model(BaseModel):
    """An assistant, or one version of it. `created` in Unix seconds."""

    id: str
    object: Literal["model"] = "model"
    created: int
    owned_by: Literal["parlance"] = "parlance"


class ModelList(BaseModel):
    """All that a key may use."""

    object: Literal["list"] = "list"
    data: list[Model]
