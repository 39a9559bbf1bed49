"""The platform: the one place where everything is put together and started.

The page is up first, and says that the engine is warming; the engine, the accounts on other platforms, the runner of
jobs and what was left unanswered follow behind it. Stopping ends all of it: first nobody takes new messages, then what
is under way is left for the next start, and the engine goes last.
"""

from __future__ import annotations

import asyncio
import signal
import socket
from collections.abc import AsyncIterator, Coroutine, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import structlog
import uvicorn
from sqlalchemy import func, select

from bots.accounts import AccountRow, Accounts
from bots.conversation import Conversation
from bots.platforms import PLATFORMS
from bots.seams import base_model_tokenizer
from bots.web.app import create_app
from config.errors import Refused
from config.settings import Settings, load_settings
from console.assistant_commands import DEFAULT_PROMPT
from console.doors import doors
from console.health import Readiness, add_health
from console.metrics import PlatformMetrics
from console.output import console
from console.platform_lock import only_one
from console.tracing import traced
from serving.client import EngineClient
from serving.entrance import Entrance
from serving.gateway.app import create_gateway
from serving.resizing import Resizing
from serving.router import set_route
from serving.supervisor import EngineSupervisor
from store.assistants import add_assistant
from store.database import Database, open_database
from store.tables import Assistant
from tuning.retention import Keeper
from tuning.runner import JobRunner
from tuning.schedule import Scheduler
from tuning.sharing import Sharing

FIRST_ASSISTANT = "parlance"
STOPPING_SECONDS = 10.0
"""How long accounts may take to let go of their platforms."""
LOOPBACK = ("127.0.0.1", "::1", "localhost")

log = structlog.get_logger()


async def serve(port: int | None, home: Path | None = None) -> None:
    """Run the platform until it is told to stop. Raises Refused where one runs on this home already."""
    settings = load_settings(**({"home": home} if home else {}), **({"port": port} if port is not None else {}))
    settings.paths.ensure()
    with only_one(settings.paths), _listening(settings) as listener:
        database = await open_database(settings)
        try:
            async with traced(settings.traces):
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

    tokenizer = base_model_tokenizer(settings)
    entrance = Entrance(engine, engine.plan.max_requests, tokenizer=tokenizer)  # one for all who wait for answers
    conversation = Conversation(database, settings, engine, tokenizer, entrance=entrance)
    resizing = Resizing(database, engine)
    runner = JobRunner(database, settings, ready, Sharing(database, settings, engine), resizing.make_room)
    app = create_app(conversation, announce=_show_code)
    readiness = Readiness(engine, lambda: engine.client.warm(engine.untuned), settings.home)
    add_health(app, database, PlatformMetrics(database, engine, entrance), readiness, settings.metrics_token)
    both = doors(app, create_gateway(database, settings, engine, entrance, tokenizer))
    server = _Server(uvicorn.Config(both, log_config=None, access_log=False, timeout_graceful_shutdown=2))
    accounts = Accounts(database, conversation)
    behind: list[asyncio.Task[None]] = []
    stopping = asyncio.Event()

    def stop() -> None:
        """Ctrl-C, or a kill that can be heard; the second one waits for nothing."""
        if stopping.is_set():
            server.stop()
        stopping.set()

    try:
        serving = asyncio.create_task(server.serve(sockets=[listener]))
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, stop)
        _greet(listener, app.state.codes.operator_code(), await accounts.list(), settings.public_url)
        keeper = Keeper(database, settings)
        engine.between_engines = keeper.between_engines
        engine.start()
        behind = [
            _behind("jobs", runner.run_forever()),
            _behind("size", resizing.run_forever()),
            _behind("schedule", Scheduler(database).run_forever()),
            _behind("retention", keeper.run_forever()),
            _behind("preparing", conversation.prepare()),
        ]
        talking = _behind("accounts", accounts.run_forever())
        asked = asyncio.create_task(stopping.wait())
        await asyncio.wait({serving, asked}, return_when=asyncio.FIRST_COMPLETED)
        asked.cancel()
        console.print("Stopping …")
        talking.cancel()
        await asyncio.wait({talking, serving}, timeout=STOPPING_SECONDS, return_when=asyncio.FIRST_COMPLETED)
        server.stop()
        await serving
    finally:
        for task in behind:
            task.cancel()
        await asyncio.gather(*behind, return_exceptions=True)
        runner.release()
        await engine.stop()


def _behind(name: str, work: Coroutine[None, None, None]) -> asyncio.Task[None]:
    """Something that goes on behind the page; when it breaks, the log says so."""

    def note(task: asyncio.Task[None]) -> None:
        if not task.cancelled() and task.exception() is not None:
            log.error("broke", what=name, exc_info=task.exception())

    task = asyncio.create_task(work, name=name)
    task.add_done_callback(note)
    return task


class _Server(uvicorn.Server):
    """uvicorn, but for its signals: raised again after it has stopped, they would end us before the engine is."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    def stop(self) -> None:
        """Finish what is under way and return from `serve`; asked twice, at once."""
        self.force_exit = self.should_exit
        self.should_exit = True


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


def _greet(
    listener: socket.socket, code: str, accounts: Sequence[AccountRow], public_url: str | None = None
) -> None:  # fmt: skip
    host, port = listener.getsockname()[:2]
    address = public_url or f"http://{host}:{port}"
    console.print(f"\nParlance is up: [bold]{address}[/bold]  (the engine is warming; the page says when)")
    console.print(f"To look after an assistant, open [bold]{address}/#operator={code}[/bold]", soft_wrap=True)
    console.print("[dim]The link works once, for 10 minutes.[/dim]")
    if host not in LOOPBACK:
        console.print("[yellow]The page can be reached from other machines.[/yellow]")
    for account in accounts:
        who = f"@{account.username} on {PLATFORMS[account.platform].title}"
        if account.state == "on":
            console.print(f"Connecting {who} (“{account.name}”).", markup=False)
        else:
            why = account.trouble or f"parlance account resume {account.name} lets it answer again."
            console.print(f"{who} (“{account.name}”) is {account.state}: {why}", markup=False, soft_wrap=True)
    if not accounts:
        console.print("[dim]To be reached on Telegram or Discord: parlance account add[/dim]")
    console.print("Ctrl-C stops it.\n")


def _show_code(code: str) -> None:
    """In the terminal, never in a log."""
    console.print(
        f"To look after an assistant, enter this code on the page: [bold]{code}[/bold] (it works once, for 10 minutes "
        "from when it was first shown)"
    )
