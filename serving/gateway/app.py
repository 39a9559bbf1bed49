"""The gateway: OpenAI's `/v1/models` and `/v1/chat/completions` over the assistants of this installation.

Promises that every refusal has OpenAI's shape, that an answer names the version that gave it, that a client which goes
away costs the engine nothing more, and that no word of a request is logged or stored. Keys and their limits are
checked before (`serving/gateway/guard.py`).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager
from typing import Annotated, Any

import structlog
from fastapi import Depends, FastAPI, Request, Response, Security
from fastapi.exceptions import RequestValidationError
from fastapi.security import HTTPBearer
from starlette.exceptions import HTTPException

from config.errors import Busy, EngineUnavailable, ParlanceError
from config.names import VersionName
from config.settings import Settings
from serving.entrance import Engine, Entrance
from serving.fallback import with_last_good
from serving.gateway.answer import Envelope, chunks, whole
from serving.gateway.asking import ask
from serving.gateway.connection import ClientGone, EventStream, unless_gone
from serving.gateway.errors import ApiError, ErrorBody, translated
from serving.gateway.guard import Guard
from serving.gateway.models import Served, find_served, list_models
from serving.gateway.prompt import Prepared, Tokenizer, prepare
from serving.gateway.shapes import ChatCompletion, ChatRequest, Model, ModelList
from store.database import Database
from store.keys import KnownKey

PATH = "/v1"
CLIENT_GONE = 499
"""nginx's number for it; nobody reads it."""
REFUSALS: dict[int | str, dict[str, Any]] = {
    401: {"model": ErrorBody, "description": "No key, or none that is one"},
    413: {"model": ErrorBody, "description": "Too large"},
    429: {"model": ErrorBody, "description": "Too many requests; Retry-After says when"},
    "4XX": {"model": ErrorBody, "description": "Refused"},
    "5XX": {"model": ErrorBody, "description": "Ours to mend, or to wait for"},
}
NO_MODEL: dict[int | str, dict[str, Any]] = {404: {"model": ErrorBody, "description": "No such model for this key"}}
NOT_READY: dict[int | str, dict[str, Any]] = {503: {"model": ErrorBody, "description": "The engine is warming"}}
UNUSABLE: dict[int | str, dict[str, Any]] = {400: {"model": ErrorBody, "description": "Cannot be answered"}}

BRANCHES = ("str", "NamedTool")
"""How pydantic names the branches of a choice between types, where that is no obvious type."""

EVENT: dict[str, Any] = {
    "type": "object",
    "description": "one server-sent event",
    "properties": {"data": {"type": "string", "description": "a chat.completion.chunk as JSON; the last one [DONE]"}},
    "required": ["data"],
}

log = structlog.get_logger()
TokenizerSource = Callable[[], Awaitable[Tokenizer]]


def current_key(request: Request) -> KnownKey:
    """The key that the guard has let through."""
    key: KnownKey = request.state.key
    return key


Key = Annotated[KnownKey, Depends(current_key)]


def create_gateway(
    database: Database, settings: Settings, engine: Engine, entrance: Entrance, tokenizer_source: TokenizerSource
) -> FastAPI:
    """The application; all its paths begin with `/v1`. It may be called before the engine is there."""
    app = FastAPI(
        title="Parlance", description="Assistants of this installation, for any client that speaks to OpenAI.",
        openapi_url=f"{PATH}/openapi.json", docs_url=None, redoc_url=None, redirect_slashes=False,
        dependencies=[Security(HTTPBearer(auto_error=False, description="A key made with: parlance key add"))],
        responses=REFUSALS,
    )  # fmt: skip
    app.add_middleware(Guard, database=database, entrance=entrance)

    @app.exception_handler(ApiError)
    async def refused(request: Request, error: ApiError) -> Response:
        return error.response()

    @app.exception_handler(ParlanceError)
    async def failed(request: Request, error: ParlanceError) -> Response:
        log.warning("gateway_refused", key=request.state.key.name, reason=type(error).__name__)
        status = engine.status
        if isinstance(error, Busy) and status.state != "ready":  # it is the engine that all the others wait for
            error = EngineUnavailable(status.sentence)
        return translated(error, status.seconds_left).response()

    @app.exception_handler(RequestValidationError)
    async def misshapen(request: Request, error: RequestValidationError) -> Response:
        return _misshapen(error).response()

    @app.exception_handler(HTTPException)
    async def not_here(request: Request, error: HTTPException) -> Response:
        sentence = {404: "There is no such address here.", 405: "That is not done at this address."}
        told = sentence.get(error.status_code, error.detail or "This request cannot be read.")
        return ApiError(error.status_code, told).response(dict(error.headers or {}))

    @app.exception_handler(ClientGone)
    async def gone(request: Request, error: ClientGone) -> Response:
        return Response(status_code=CLIENT_GONE)

    @app.get(f"{PATH}/models", operation_id="list_models")
    async def models(key: Key) -> ModelList:
        """All that this key may use: each assistant, and each version of it that may serve."""
        return ModelList(data=await list_models(database, key))

    @app.get(f"{PATH}/models/{{model}}", operation_id="get_model", responses=NO_MODEL)
    async def one_model(model: str, key: Key) -> Model:
        """One of them."""
        served = await find_served(database, key, model)
        return Model(id=model, created=int(served.created.timestamp()))

    @app.post(
        f"{PATH}/chat/completions", operation_id="chat", response_model=ChatCompletion,
        response_model_exclude_none=False, responses={
            200: {"description": "The answer, whole, or as a stream of chunks where `stream` is true",
                  "content": {"text/event-stream": {"schema": EVENT}}},
            **UNUSABLE, **NO_MODEL, **NOT_READY,
        },
    )  # fmt: skip
    async def complete(asked: ChatRequest, request: Request, key: Key) -> Any:
        """An assistant's answer to a conversation."""

        async def find() -> tuple[VersionName, tuple[Served, Prepared]]:
            served = await find_served(database, key, asked.model)
            tokenizer = await tokenizer_source()
            prepared = await asyncio.to_thread(
                prepare, asked, tokenizer, served.system_prompt, key.leads, engine.client.context, settings
            )
            return served.version, (served, prepared)

        async def answer(found: tuple[Served, Prepared]) -> Any:
            return await answered(asked, request, key, *found)

        if "@" in asked.model:  # that version, or none
            return await answer((await find())[1])
        return await with_last_good(database, find, answer)

    async def answered(asked: ChatRequest, request: Request, key: KnownKey, served: Served, prepared: Prepared) -> Any:
        envelope = Envelope(served.shown, key.name)
        said = ask(entrance, served, key, prepared, at_once=not asked.stream)
        if not asked.stream:
            async with aclosing(said):
                return await unless_gone(request, whole(envelope, said))
        async with _closed_unless_passed_on(said):
            first = await unless_gone(request, anext(said))
        usage = asked.stream_options is not None and asked.stream_options.include_usage
        return EventStream(chunks(envelope, first, said, usage), said)

    return app


@asynccontextmanager
async def _closed_unless_passed_on(source: Any) -> AsyncIterator[None]:
    """Closes `source` where the block fails; else whoever gets it next does."""
    try:
        yield
    except StopAsyncIteration:
        raise EngineUnavailable("The engine gave no answer; ask again.") from None
    except BaseException:
        await source.aclose()
        raise


def _misshapen(error: RequestValidationError) -> ApiError:
    """The most exact of what is wrong with a request, without a word of it."""
    found = max(error.errors(), key=lambda one: len(one["loc"]))
    if found["type"] == "json_invalid":
        return ApiError(400, "The body of this request is not JSON; send it as OpenAI's clients do.")
    if found["loc"] == ("body",):
        return ApiError(400, "This request has no JSON body; send one, with Content-Type: application/json.")
    param = ""
    for part in found["loc"][1:]:
        if isinstance(part, int):
            param += f"[{part}]"
        elif part.isidentifier() and part not in BRANCHES:
            param += f".{part}" if param else part
    return ApiError(400, f"{param} cannot be used: {found['msg']}.", "invalid_value", param=param or None)
