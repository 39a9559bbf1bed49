"""`python -m tuning.elsewhere`: lets another machine tune here, which started this over SSH and speaks by standard
input and output. It says hello, takes one run, has it learnt and gives it back, or ends as soon as the other side has
enough. Exit codes: 0 done or no longer wanted, 1 what came made no sense, with a sentence on standard error.
"""

from __future__ import annotations

import asyncio
import signal
import sys
import traceback

from config.errors import ParlanceError
from config.hardware import probe
from config.paths import Paths
from config.settings import default_home
from store.full_disk import is_full
from tuning.elsewhere.frames import LONGEST_LINE, PIECE, Gone, Hello, Link
from tuning.elsewhere.visit import folder_for_a_run, learn, receive_run
from tuning.training.provenance import code_digest
from tuning.training.run import FAILED, FULL


async def visit() -> int:
    """From hello to the end; the exit code."""
    loop = asyncio.get_running_loop()
    whole: asyncio.Task[object] = asyncio.current_task()  # type: ignore[assignment]
    for number in (signal.SIGTERM, signal.SIGHUP):  # as SSH's server ends what runs for a connection that is gone
        loop.add_signal_handler(number, lambda: whole.cancelling() or whole.cancel())  # once: then it puts things away
    reader = asyncio.StreamReader(limit=2 * PIECE + LONGEST_LINE)
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    transport, protocol = await loop.connect_write_pipe(asyncio.streams.FlowControlMixin, sys.stdout)
    transport.set_write_buffer_limits(high=0)  # sent is sent: what ends in a buffer ends with this process
    link = Link(reader, asyncio.StreamWriter(transport, protocol, None, loop))
    paths = Paths(default_home())
    beating = asyncio.create_task(link.beat())
    try:
        hello = Hello(code=code_digest(), hardware=await asyncio.to_thread(probe, paths.home))
        await link.send("hello", hello.model_dump_json().encode())
        await link.send("end", str(await one_run(link, paths)).encode())
        while True:  # until the other side has read it
            await link.receive()
    except (Gone, asyncio.CancelledError):
        return 0
    except ParlanceError as error:
        print(error, file=sys.stderr)  # noqa: T201
        return 1
    finally:
        beating.cancel()


async def one_run(link: Link, paths: Paths) -> int:
    """Take it, and have it learnt; the trainer's exit code, or what it would have been. Raises Gone."""
    try:
        async with folder_for_a_run(paths) as run:
            return await learn(link, run, await receive_run(link, run))
    except (OSError, ParlanceError) as error:
        traceback.print_exc()  # into the other side's log
        return FULL if is_full(error) else FAILED


if __name__ == "__main__":
    sys.exit(asyncio.run(visit()))
