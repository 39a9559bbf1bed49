"""The platform: the one place where everything is put together and started.

The page is up first, and says that the engine is warming; the engine, the runner of jobs and what was left unanswered
follow behind it. Stopping ends all of it, in the reverse order.
"""

from __future__ import annotations

import asyncio
import fcntl
import signal
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path

import structlog
import uvicorn
from sqlalchemy import func, select

from bots.conversation import Conversation
from bots.seams import base_model_tokenizer
from bots.web.app import create_app
from config.errors import Refused
from config.settings import Settings, load_settings
from console.assistant_commands import DEFAULT_PROMPT
from console.output import console
from serving.client import EngineClient
from serving.router import set_route
from serving.supervisor import EngineSupervisor
from store.assistants import add_assistant
from store.database import Database, open_database
from store.tables import Assistant
from tuning.runner import JobRunner

FIRST_ASSISTANT = "parlance"
LOOPBACK = ("127.0.0.1", "::1", "localhost")

log = structlog.get_logger()


async def serve(port: int | None, home: Path | None = None) -> None:
    """Run the platform until it is told to stop. Raises Refused where one runs on this home already."""
    settings = load_settings(**({"home": home} if home else {}), **({"port": port} if port is not None else {}))
    settings.paths.ensure()
    with _only_one(settings), _listening(settings) as listener:
        database = await open_database(settings)
        try:
            await _run(settings, database, listener)
        finally:
            await database.close()


async def _run(settings: Settings, database: Database, listener: socket.socket) -> None:
    await _first_assistant(database, settings)
    engine = EngineSupervisor(settings, database.cipher)

    @asynccontextmanager
    async def ready() -> AsyncIterator[EngineClient]:
        await engine.wait_ready()
        yield engine.client

    conversation = Conversation(database, settings, engine, base_model_tokenizer(settings))
    runner = JobRunner(database, settings, ready)
    app = create_app(conversation, announce=_show_code)
    server = _Server(uvicorn.Config(app, log_config=None, access_log=False, timeout_graceful_shutdown=2))
    jobs: asyncio.Task[None] | None = None
    preparing: asyncio.Task[None] | None = None
    try:
        serving = asyncio.create_task(server.serve(sockets=[listener]))
        for stopping in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(stopping, server.stop)
        _greet(listener, app.state.codes.operator_code())
        engine.start()
        preparing = asyncio.create_task(conversation.prepare())
        jobs = asyncio.create_task(runner.run_forever())
        jobs.add_done_callback(_note_end)
        await serving
    finally:
        console.print("Stopping …")
        if preparing is not None:
            preparing.cancel()
        if jobs is not None:
            jobs.cancel()
            with suppress(asyncio.CancelledError):
                await jobs
        runner.release()
        await engine.stop()


class _Server(uvicorn.Server):
    """uvicorn, but for its signals: raised again after it has stopped, they would end us before the engine is."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    def stop(self) -> None:
        """Finish what is under way and return from `serve`; asked twice, at once."""
        self.force_exit = self.should_exit
        self.should_exit = True


def _note_end(jobs: asyncio.Task[None]) -> None:
    """The runner goes on for ever; an end of its own is a fault worth a line in the log."""
    if not jobs.cancelled() and jobs.exception() is not None:
        log.error("the runner of jobs broke", error=repr(jobs.exception()))


@contextmanager
def _only_one(settings: Settings) -> Iterator[None]:
    with (settings.paths.run / "platform.lock").open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Refused(f"Parlance already runs on {settings.home}; stop that one first, or use it.") from None
        yield


@contextmanager
def _listening(settings: Settings) -> Iterator[socket.socket]:
    """The page's socket. Raises Refused where the port is taken."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((settings.host, settings.port))
        except OSError as error:
            raise Refused(
                f"The page cannot listen on {settings.host}:{settings.port} ({error.strerror}); "
                "choose another port with --port N."
            ) from None
        listener.listen(128)
        yield listener


async def _first_assistant(database: Database, settings: Settings) -> None:
    """On an empty home, an untuned assistant to talk with, so that the page is of use at once."""
    async with database.session() as session:
        if await session.scalar(select(func.count()).select_from(Assistant)) == 0:
            await add_assistant(session, FIRST_ASSISTANT, DEFAULT_PROMPT, settings.base_model)
            await set_route(session, "default", "", FIRST_ASSISTANT)


def _greet(listener: socket.socket, code: str) -> None:
    host, port = listener.getsockname()[:2]
    console.print(f"\nParlance is up: [bold]http://{host}:{port}[/bold]  (the engine is warming; the page says when)")
    console.print(
        f"To look after an assistant, open [bold]http://{host}:{port}/#operator={code}[/bold]", soft_wrap=True
    )
    console.print("[dim]The link works once, for 10 minutes.[/dim]")
    if host not in LOOPBACK:
        console.print("[yellow]The page can be reached from other machines.[/yellow]")
    console.print("Ctrl-C stops it.\n")


def _show_code(code: str) -> None:
    """In the terminal, never in a log."""
    console.print(
        f"To look after an assistant, enter this code on the page: [bold]{code}[/bold] (once, for 10 minutes)"
    )
