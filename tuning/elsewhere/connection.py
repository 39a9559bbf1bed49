"""The other machine, reached by SSH as its owner would: with this account's keys, known hosts and settings.

Knows what both sides say first, and nothing of what is learnt. What goes wrong is one sentence that names the machine.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import IO, Any

import asyncssh

from config.errors import BadInput, JobFailed, MachineAway
from config.hardware import Hardware
from config.machine import Machine
from tuning.elsewhere.frames import SILENCE, Gone, Hello, Link
from tuning.training.provenance import code_digest

CONNECT_SECONDS, END_SECONDS = 20.0, 10.0
MOST_LINES = 100
MOST_PRINTED = 5_000_000
"""Bytes of what is printed there that one connection adds to the log."""

asyncssh.set_log_level("WARNING")


@dataclass(frozen=True, slots=True)
class Reached:
    """The other machine, at work for us."""

    hardware: Hardware
    link: Link


@asynccontextmanager
async def reached(machine: Machine, errors: IO[bytes]) -> AsyncIterator[Reached]:
    """The machine, for as long as it is held; `errors` takes what it prints. Inside, Gone becomes MachineAway.

    Raises MachineAway where it is not there, JobFailed where its owner has something to do first.
    """
    async with _connected(machine) as connection:
        command = machine.command("-m", "tuning.elsewhere")
        process = await _started(machine, connection, command)
        printing = asyncio.create_task(_copy(process.stderr, errors))
        beating: asyncio.Task[None] | None = None
        try:
            link = Link(process.stdout, process.stdin, lost=(OSError, asyncssh.Error))
            hello = await _heard(machine, link, process)
            beating = asyncio.create_task(link.beat())
            yield Reached(hello.hardware, link)
        except Gone as error:
            raise MachineAway(f"The connection to {machine.host}, on which it was learning, broke off.") from error
        finally:
            if beating is not None:
                beating.cancel()
                await asyncio.gather(beating, return_exceptions=True)
            await _end(process)
            printing.cancel()  # where nobody takes what is still to be sent, it would never end
            await asyncio.gather(printing, return_exceptions=True)


async def hardware_of(machine: Machine, errors: IO[bytes]) -> Hardware:
    """What it has. Raises as `reached` does."""
    async with reached(machine, errors) as there:
        return there.hardware


@asynccontextmanager
async def _connected(machine: Machine) -> AsyncIterator[Any]:
    """Raises MachineAway or JobFailed."""
    given: dict[str, Any] = {"host": machine.host}
    if machine.user is not None:
        given["username"] = machine.user
    if machine.port is not None:
        given["port"] = machine.port
    name = machine.host
    try:
        connection = await asyncssh.connect(
            **given, agent_forwarding=False, connect_timeout=CONNECT_SECONDS, keepalive_interval=SILENCE / 4
        )
    except asyncssh.HostKeyNotVerifiable as error:
        raise JobFailed(
            f"{name}, on which to tune, is not known here yet, or not the machine it was; connect to it once with "
            "ssh from this account and confirm its key, then start the retrain again."
        ) from error
    except asyncssh.PermissionDenied as error:
        raise JobFailed(
            f"{name}, on which to tune, does not let this account in; add this account's SSH key there (ssh-copy-id), "
            "then start the retrain again."
        ) from error
    except (ValueError, FileNotFoundError, PermissionError) as error:  # known_hosts, config, or a key
        raise JobFailed(
            f"The SSH settings of this account cannot be used to reach {name} ({_why(error)}); see that ssh gets there "
            "from this account, then start the retrain again."
        ) from error
    except (asyncssh.Error, OSError) as error:  # a timeout is an OSError
        raise MachineAway(f"{name}, on which to tune, cannot be reached ({_why(error)}).") from error
    try:
        yield connection
    finally:
        connection.close()
        try:
            async with asyncio.timeout(END_SECONDS):
                await connection.wait_closed()
        except (asyncssh.Error, OSError):  # nobody takes what is still to be said
            connection.abort()


async def _started(machine: Machine, connection: Any, command: str) -> Any:
    """The process there. Raises MachineAway."""
    try:
        async with asyncio.timeout(CONNECT_SECONDS):
            return await connection.create_process(command, encoding=None)
    except (asyncssh.Error, OSError) as error:
        raise MachineAway(f"{machine.host}, on which to tune, does not run anything ({_why(error)}).") from error


def _why(error: BaseException) -> str:
    """In few words, and none of ours."""
    if isinstance(error, TimeoutError):
        return "no answer"
    if isinstance(error, OSError):
        number = error.errno or 0
        return os.strerror(number) if number > 0 else error.strerror or "no connection"
    return str(error).rstrip(".") or "no connection"


async def _heard(machine: Machine, link: Link, process: Any) -> Hello:
    """Raises JobFailed where Parlance is not there, or another one."""
    name = machine.host
    code = None
    try:
        content = await _first(link)
        code = json.loads(content).get("code")
        hello = Hello.model_validate_json(content) if code == code_digest() else None
    except (Gone, BadInput, ValueError, AttributeError) as error:
        await _end(process)
        if process.returncode is None or process.returncode < 0:
            raise MachineAway(f"{name}, on which to tune, went away before it said anything.") from error
        raise JobFailed(
            f"{name}, on which to tune, has no Parlance that runs in the folder {machine.folder}; run make install "
            "there, or set training_machine to where it is, then start the retrain again."
        ) from error
    if hello is None:
        raise JobFailed(
            f"{name}, on which to tune, has another version of Parlance than this machine; bring both to the same, "
            "then start the retrain again."
        )
    return hello


async def _first(link: Link) -> bytes:
    """What a hello says; lines that the account's own start prints before it are passed over."""
    for _ in range(MOST_LINES):
        with suppress(BadInput):
            frame, content = await link.receive()
            if frame.kind == "hello":
                return content
    raise BadInput("there is no hello in it")


async def _copy(printed: Any, errors: IO[bytes]) -> None:
    """Until nothing more comes; beyond so much it is dropped."""
    left = MOST_PRINTED
    while piece := await printed.read(1 << 16):
        errors.write(piece[:left])
        errors.flush()
        left -= min(left, len(piece))


async def _end(process: Any) -> None:
    """Say that nothing more is wanted, and wait until it has put its things in order."""
    try:
        process.stdin.write_eof()
        async with asyncio.timeout(END_SECONDS):
            await process.wait_closed()
    except (OSError, asyncssh.Error, TimeoutError):
        process.close()
