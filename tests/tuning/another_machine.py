"""Another machine to tune on: an SSH server on loopback, with an account, a home and a Parlance of its own."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import asyncssh
import psutil
from harbour import alive
from small_training import new_run

from config.catalogue import find_model
from config.machine import Machine
from config.paths import Paths
from tuning.elsewhere.training import run_training_on
from tuning.training.run import Progress, RunFolder

ROOT = Path(__file__).resolve().parents[2]


@dataclass(slots=True)
class AnotherMachine:
    """`away`: whether it lets nobody connect. `processes`: the shells that connections have started there;
    `agents`: where these could ask for our keys."""

    home: Path
    folder: Path
    port: int
    server: Any
    away: bool = False
    connections: list[Any] = field(default_factory=list)
    processes: list[asyncio.subprocess.Process] = field(default_factory=list)
    agents: list[str] = field(default_factory=list)

    @property
    def address(self) -> str:
        return f"ssh://ada@127.0.0.1:{self.port}{self.folder}"

    @property
    def machine(self) -> Machine:
        return Machine.parse(self.address)

    @property
    def paths(self) -> Paths:
        return Paths(self.home / ".parlance")

    def visits(self) -> list[Path]:
        return list(self.paths.visits.glob("[!.]*"))

    def cut(self) -> None:
        """As if a cable were pulled and the server noticed."""
        for connection in self.connections:
            connection.abort()


def install(folder: Path, root: Path = ROOT) -> None:
    """As `make install` leaves it: a Python in `.venv` that runs what lies at `root`."""
    python = folder / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text(f'#!/bin/sh\ncd "{root}" && exec "{sys.executable}" "$@"\n')
    python.chmod(0o755)


async def _pass_on(reader: Any, writer: Any) -> None:
    """Until the reader ends, and the writer learns of it; what nobody takes any more is dropped."""
    with suppress(OSError, asyncssh.Error):
        while piece := await reader.read(1 << 16):
            with suppress(OSError, asyncssh.Error):
                writer.write(piece)
                await writer.drain()
    with suppress(OSError, asyncssh.Error):
        writer.write_eof()


@asynccontextmanager
async def another_machine(home: Path, mine: Path) -> AsyncIterator[AnotherMachine]:
    """One that knows the account whose home is `mine`, and is known there. The home's variable is to be set to it."""
    folder = home / "parlance of ours"
    install(folder)
    key, host = asyncssh.generate_private_key("ssh-ed25519"), asyncssh.generate_private_key("ssh-ed25519")
    ours = mine / ".ssh"
    ours.mkdir(mode=0o700, parents=True)
    key.write_private_key(str(ours / "id_ed25519"))
    key.write_public_key(str(home / "authorized_keys"))
    made: AnotherMachine

    class Server(asyncssh.SSHServer):
        def connection_made(self, conn: Any) -> None:
            made.connections.append(conn)
            if made.away:
                conn.abort()

    async def run(process: Any) -> None:
        environment = {name: value for name, value in os.environ.items() if not name.startswith("PARLANCE_")}
        shell = await asyncio.create_subprocess_shell(
            process.command, env=environment | {"HOME": str(home)}, cwd=home,
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        made.processes.append(shell)
        made.agents += filter(None, [process.channel.get_agent_path()])
        given = asyncio.create_task(_pass_on(process.stdin, shell.stdin))
        await asyncio.gather(_pass_on(shell.stdout, process.stdout), _pass_on(shell.stderr, process.stderr))
        status = await shell.wait()
        given.cancel()
        with suppress(OSError):
            process.exit(status)

    server = await asyncssh.listen(
        "127.0.0.1", 0, server_factory=Server, server_host_keys=[host], process_factory=run, encoding=None,
        authorized_client_keys=str(home / "authorized_keys"),
    )  # fmt: skip
    port = server.get_port()
    (ours / "known_hosts").write_text(f"[127.0.0.1]:{port} {host.export_public_key().decode()}")
    made = AnotherMachine(home, folder, port, server)
    try:
        yield made
    finally:
        server.close()
        await server.wait_closed()
        for shell in made.processes:
            if shell.returncode is None:
                shell.kill()
            await shell.wait()


def a_run(folder: Path, base: Path, **settings: Any) -> RunFolder:
    run, chosen = new_run(folder, base, **settings)
    run.settings.write_text(chosen.model_dump_json())
    return run


async def trained(there: AnotherMachine, run: RunFolder, base: Path, log: Path) -> list[Progress]:
    async with aclosing(run_training_on(there.machine, run, find_model(str(base)), log)) as steps:
        return [at async for at in steps]


def files(run: RunFolder) -> dict[str, bytes]:
    made = [*run.adapter.iterdir(), run.parity]
    return {file.name: file.read_bytes() for file in made}


def below(there: AnotherMachine) -> list[psutil.Process]:
    """All that connections have started there and that lives."""
    found: list[psutil.Process] = []
    for shell in there.processes:
        try:
            first = psutil.Process(shell.pid)
            found += [first, *first.children(recursive=True)]
        except psutil.NoSuchProcess:
            pass
    return [process for process in found if alive(process)]


def nothing_left(there: AnotherMachine) -> bool:
    return not there.visits() and not below(there)
