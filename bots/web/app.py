"""The web connector: the chat page, its interface, and the stream of what happens.

Promises: nothing is done for a request from another site; everything a person typed is shown as text, never as
markup; the page is there before the engine is. A browser has a session from its first POST on, never from a GET: a
link from elsewhere comes without the cookie, and must not replace it.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Annotated, Any

import structlog
from fastapi import Depends, FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, JSONResponse, StreamingResponse
from fastapi.staticfiles import StaticFiles
from jinja2 import Environment, FileSystemLoader, select_autoescape
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException

from bots.commands import allowed
from bots.conversation import LONGEST_MESSAGE, Conversation
from bots.incoming import Role
from bots.trouble import tell_operators
from bots.web.access import COOKIE, COOKIE_SECONDS, OperatorCodes, Pace, Session, find_session, new_session
from bots.web.guard import refuse_strangers, with_tls
from bots.web.hub import ACCOUNT, Hub
from config.errors import BadInput, EngineUnavailable, NotFound, ParlanceError, Refused
from config.settings import Settings

HERE = Path(__file__).parent
MESSAGES_A_MINUTE = 40
PREPARE_AFTER_SECONDS = 4.0
"""Loading a tokenizer keeps a processor busy; the first page comes first."""
BEAT_SECONDS = 15.0
STATUS_EVERY = 1.0
UNREADABLE = "The page sent something that cannot be read; reload it."
SUGGESTIONS = ("Hello! Who are you?", "What can you help me with?", "Tell me something about this place.")
STATUS_CODES: dict[type[ParlanceError], int] = {NotFound: 404, Refused: 403, BadInput: 400, EngineUnavailable: 503}

log = structlog.get_logger()
Announce = Callable[[str], None]


class NewMessage(BaseModel):
    """A message from the page. `id` is the browser's own and makes sending twice harmless."""

    text: str = Field(max_length=100_000)
    id: str = Field(min_length=8, max_length=64, pattern=r"^[A-Za-z0-9-]+$")


class Opening(BaseModel):
    """The page was opened, perhaps for a named assistant."""

    assistant: str | None = Field(None, max_length=60)


class Choice(BaseModel):
    """Another assistant is wanted."""

    assistant: str = Field(max_length=60)


class Code(BaseModel):
    """A one-time operator code."""

    code: str = Field(max_length=40)


async def known(request: Request) -> Session:
    """The browser's session. Raises Refused where it has none."""
    session = await find_session(request.app.state.hub.conversation.database, request.cookies.get(COOKIE))
    if session is None:
        raise Refused("This page has lost its session; reload it.")
    return session


Known = Annotated[Session, Depends(known)]


def create_app(
    conversation: Conversation,
    *,
    announce: Announce | None = None,
) -> FastAPI:
    """The web application over `conversation`.

    `announce` shows an operator code in the terminal when somebody asks for one on the page; None: nobody can ask.
    `app.state.codes.operator_code()` gives one; `app.state.hub` takes messages left unanswered.
    """
    hub = Hub(conversation)
    codes = OperatorCodes(conversation.database)
    pace = Pace(MESSAGES_A_MINUTE)
    pages = Environment(loader=FileSystemLoader(HERE / "pages"), autoescape=select_autoescape())

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        for incoming in await conversation.unanswered(ACCOUNT):
            hub.answer_left(incoming)
        telling = tell_operators(conversation.database, ACCOUNT, conversation.busy, hub.tell)
        behind = [asyncio.create_task(work) for work in (_prepare(conversation), telling)]
        yield
        for task in behind:
            task.cancel()
        await asyncio.gather(*behind, return_exceptions=True)
        await hub.close()
        await conversation.close()

    app = FastAPI(title="Parlance", lifespan=lifespan, docs_url=None, redoc_url=None, openapi_url=None)
    app.state.hub, app.state.codes = hub, codes
    app.mount("/static", StaticFiles(directory=HERE / "static"), name="static")
    app.middleware("http")(refuse_strangers(conversation.settings.host, conversation.settings.public_url))

    @app.exception_handler(ParlanceError)
    async def refused(request: Request, error: ParlanceError) -> JSONResponse:
        code = next((code for kind, code in STATUS_CODES.items() if isinstance(error, kind)), 500)
        return JSONResponse({"sentence": str(error)}, code)

    @app.exception_handler(RequestValidationError)
    async def misshapen(request: Request, error: RequestValidationError) -> JSONResponse:
        return JSONResponse({"sentence": UNREADABLE}, 400)

    @app.exception_handler(HTTPException)
    async def not_here(request: Request, error: HTTPException) -> JSONResponse:
        """The framework's own refusals: no such address, or a body so deep that it was not even read as JSON."""
        sentence = "There is nothing at this address." if error.status_code in (404, 405) else UNREADABLE
        return JSONResponse({"sentence": sentence}, error.status_code, error.headers)

    @app.get("/")
    async def chat_page(assistant: str = "") -> HTMLResponse:
        names = await hub.assistants()
        here = assistant if assistant in names else None
        page = pages.get_template("chat.html").render(
            assistant=here or (names[0] if len(names) == 1 else "Parlance"), suggestions=SUGGESTIONS,
            longest=LONGEST_MESSAGE, can_ask=announce is not None,
        )  # fmt: skip
        return HTMLResponse(page)

    @app.get("/api/status")
    async def status() -> dict[str, Any]:
        return engine_status(conversation, "member")

    @app.post("/api/session")
    async def open_session(opening: Opening, request: Request, response: Response) -> dict[str, Any]:
        """Who this browser is, whom it talks to, and what it may ask for."""
        session = await find_session(conversation.database, request.cookies.get(COOKIE))
        if session is None:
            pace.check(f"new {_address(request)}")
            token, session = await new_session(conversation.database)
            _give_cookie(token, request, response)
        sentence = None
        if opening.assistant:
            try:
                await hub.choose(session, opening.assistant)
            except NotFound as error:
                sentence = str(error)
        return await describe(session) | {"sentence": sentence}

    async def describe(session: Session) -> dict[str, Any]:
        assistant = await hub.assistant(session)
        await hub.watch_job(session, assistant)
        commands = [{"name": c.name, "usage": c.usage, "help": c.help} for c in allowed(session.role)]
        return {"role": session.role, "assistant": assistant, "assistants": await hub.assistants(),
                "commands": commands, "status": engine_status(conversation, session.role)}  # fmt: skip

    @app.post("/api/assistant")
    async def choose(choice: Choice, session: Known) -> dict[str, Any]:
        await hub.choose(session, choice.assistant)
        return await describe(session)

    @app.post("/api/messages", status_code=202)
    async def send(message: NewMessage, session: Known) -> dict[str, bool]:
        """Taken; what comes of it appears in the stream."""
        pace.check(session.public_id)
        if len(message.text) > LONGEST_MESSAGE:
            raise BadInput(
                f"That message has {len(message.text):,} characters, and I can take {LONGEST_MESSAGE:,}; "
                "send the part that matters most."
            )
        hub.submit(session, message.text, message.id)
        return {"taken": True}

    @app.post("/api/operator")
    async def become_operator(given: Code, session: Known, request: Request, response: Response) -> dict[str, Any]:
        _give_cookie(await codes.redeem(session, given.code, _address(request)), request, response)
        hub.feeds.of(session.channel).role = "operator"
        return await describe(Session(session.id, session.public_id, "operator"))

    @app.post("/api/operator/code", status_code=202)
    async def ask_for_code(session: Known) -> dict[str, str]:
        """Show the code in the terminal where the platform runs; never here."""
        if announce is None:
            raise Refused("Ask whoever runs this installation for an operator code.")
        codes.check_asking()
        announce(codes.operator_code())
        return {"sentence": "A code was written to the terminal where Parlance runs."}

    @app.get("/api/history")
    async def history(session: Known) -> dict[str, Any]:
        return await hub.history(session)

    @app.get("/api/stream")
    async def stream(request: Request, session: Known, after: str = "") -> StreamingResponse:
        """Server-sent events past `Last-Event-ID`, or past the cursor of a history."""
        cursor = request.headers.get("Last-Event-ID") or after
        lines = event_lines(hub, session, cursor, conversation)
        return StreamingResponse(
            lines, media_type="text/event-stream", headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        )

    return app


def _address(request: Request) -> str:
    """Where it comes from, as far as that is known."""
    return request.client.host if request.client else ""


def _give_cookie(token: str, request: Request, response: Response) -> None:
    settings: Settings = request.app.state.hub.conversation.settings
    secure = request.url.scheme == "https" or with_tls(request, settings.public_url)
    response.set_cookie(COOKIE, token, max_age=COOKIE_SECONDS, httponly=True, samesite="strict", secure=secure)


async def _prepare(conversation: Conversation) -> None:
    await asyncio.sleep(PREPARE_AFTER_SECONDS)
    await conversation.prepare()


def engine_status(conversation: Conversation, role: Role) -> dict[str, Any]:
    """The engine's state as the page shows it to somebody of this role. Seconds."""
    status = conversation.engine.status
    left = status.seconds_left
    sentence, notice = status.sentence, status.notice
    if role == "member":  # what is amiss with an engine that answers is no concern of theirs
        sentence, notice = sentence.removesuffix(notice).rstrip(), ""
    return {"state": status.state, "sentence": sentence, "notice": notice,
            "seconds_left": None if left is None else round(left)}  # fmt: skip


async def event_lines(hub: Hub, session: Session, cursor: str, conversation: Conversation) -> AsyncIterator[str]:
    """The stream's text: entries with their cursor as id, the engine's status whenever it changes, and a beat."""
    feed, number = hub.feeds.of(session.channel), hub.feeds.number(cursor)
    feed.readers += 1
    feed.role = session.role
    entries = feed.after(number if number is not None else -1)
    reading: asyncio.Future[tuple[int, dict[str, Any]]] | None = None
    shown: dict[str, Any] | None = None
    quiet = 0.0
    try:
        yield "retry: 1000\n\n"
        while True:
            status = engine_status(conversation, feed.role)
            if status != shown:
                shown, quiet = status, 0.0
                yield f"data: {json.dumps({'kind': 'status', **status})}\n\n"
            reading = reading or asyncio.ensure_future(_next(entries))
            await asyncio.wait({reading}, timeout=STATUS_EVERY)
            if not reading.done():
                quiet += STATUS_EVERY
                if quiet >= BEAT_SECONDS:
                    quiet = 0.0
                    yield ": still here\n\n"
                continue
            done, reading = reading, None
            try:
                at, entry = done.result()
            except StopAsyncIteration:
                yield f"data: {json.dumps({'kind': 'refresh'})}\n\n"
                return
            yield f"id: {hub.feeds.cursor(at)}\ndata: {json.dumps(entry)}\n\n"
    finally:
        feed.readers -= 1
        if reading is not None:
            reading.cancel()
            with suppress(asyncio.CancelledError, StopAsyncIteration):
                await reading


async def _next(entries: AsyncIterator[tuple[int, dict[str, Any]]]) -> tuple[int, dict[str, Any]]:
    return await anext(entries)
