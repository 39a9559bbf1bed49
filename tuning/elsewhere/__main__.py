"""`python -m tuning.elsewhere`: lets another machine tune here, which started this over SSH and speaks by standard
input and output. It says hello, takes one run, has it learnt and gives it back, or ends as soon as the other side has
enough. Exit codes: 0 done or no longer wanted, 1 what came made no sense, with a sentence on standard error.
"""

from __future__ import annotations

import asyncio
import signal
import sys

from config.errors import ParlanceError
from config.hardware import probe
from config.settings import load_settings
from tuning.elsewhere.frames import LONGEST_LINE, PIECE, Gone, Hello, Link
from tuning.elsewhere.visit import folder_for_a_run, learn, receive_run
from tuning.training.provenance import code_digest


async def visit() -> int:
    """From hello to the end; the exit code."""
    loop = asyncio.get_running_loop()
    whole: asyncio.Task[object] = asyncio.current_task()  # type: ignore[assignment]
    for number in (signal.SIGTERM, signal.SIGHUP):  # as SSH's server ends what runs for a connection that is gone
        loop.add_signal_handler(number, whole.cancel)
    reader = asyncio.StreamReader(limit=2 * PIECE + LONGEST_LINE)
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    transport, protocol = await loop.connect_write_pipe(asyncio.streams.FlowControlMixin, sys.stdout)
    link = Link(reader, asyncio.StreamWriter(transport, protocol, None, loop))
    paths = load_settings().paths
    beating = asyncio.create_task(link.beat())
    try:
        hello = Hello(code=code_digest(), hardware=await asyncio.to_thread(probe, paths.home))
        await link.send("hello", hello.model_dump_json().encode())
        async with folder_for_a_run(paths) as run:
            go = await receive_run(link, run)
            code = await learn(link, run, go)
            await link.send("end", str(code).encode())
    except (Gone, asyncio.CancelledError):
        return 0
    except ParlanceError as error:
        print(error, file=sys.stderr)  # noqa: T201
        return 1
    finally:
        beating.cancel()
    return 0


if __name__ == "__main__":
    sys.exit(asyncio.run(visit()))
