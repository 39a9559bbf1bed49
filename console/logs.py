"""The log: one line of JSON an event (or of text, by the setting), in `logs/parlance.log`, readable by its owner alone.

Promises that a line names the request it belongs to, that no line holds a bot's token, and that of an error the log has
its kind and where it came from but not its own words: those of libraries quote what they were given, which may be what
somebody wrote. What libraries say below a warning is not kept, for the same reason.
"""

from __future__ import annotations

import logging
import sys
import traceback
from collections.abc import Iterator, MutableMapping
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import Any, Literal

import structlog

from bots.platforms import PLATFORMS
from config.request import current

LOG_BYTES, LOGS_KEPT = 5_000_000, 3
ROOMS = ("bots", "config", "console", "serving", "store", "tuning")

Event = MutableMapping[str, Any]


def log_to(file: Path, level: str, form: Literal["json", "text"]) -> None:
    """From now on all loggers of this process write to `file`, ours from `level` on. Raises OSError."""
    handler = RotatingFileHandler(file, maxBytes=LOG_BYTES, backupCount=LOGS_KEPT, encoding="utf-8")
    file.chmod(0o600)
    each: list[structlog.typing.Processor] = [
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso"),
        _with_request,
        _with_trace,
    ]
    shown: structlog.typing.Processor = structlog.processors.JSONRenderer(ensure_ascii=False)
    if form == "text":
        shown = structlog.processors.LogfmtRenderer(key_order=("timestamp", "level", "event"), bool_as_flag=False)
    handler.setFormatter(
        _WithoutTokens(
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, shown],
            foreign_pre_chain=each,
        )
    )
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    for room in ROOMS:
        logging.getLogger(room).setLevel(level.upper())
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level, *each, structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        wrapper_class=structlog.stdlib.BoundLogger,
        logger_factory=structlog.stdlib.LoggerFactory(),
    )  # fmt: skip


class _WithoutTokens(structlog.stdlib.ProcessorFormatter):
    """Whatever a library says of an address that holds a bot's token, the log does not have it."""

    def format(self, record: logging.LogRecord) -> str:
        text = super().format(record)
        for platform in PLATFORMS.values():
            text = platform.token.sub("…", text)
        return text


def _with_request(logger: object, method: str, event: Event) -> Event:
    asked = current()
    if asked is not None:
        event["request"] = asked.id
    return event


def _with_trace(logger: object, method: str, event: Event) -> Event:
    given = event.pop("exc_info", None)
    error = given if isinstance(given, BaseException) else (given[1] if isinstance(given, tuple) else None)
    if given is True:
        error = sys.exc_info()[1]
    if error is not None:
        event["trace"] = trace_of(error)
    return event


def trace_of(error: BaseException) -> str:
    """Where `error` came from and what led to it: kinds and lines of code, and no values."""
    return "\n".join(_traced(error, set()))


def _traced(error: BaseException, seen: set[int]) -> Iterator[str]:
    seen.add(id(error))
    before = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    if before is not None and id(before) not in seen:
        yield from _traced(before, seen)
        yield "which led to:"
    yield "".join(traceback.format_tb(error.__traceback__)).rstrip()
    kind = type(error)
    yield f"{kind.__module__}.{kind.__qualname__}"
    if isinstance(error, OSError) and error.strerror:
        yield f"  {error.strerror}"
    if isinstance(error, BaseExceptionGroup):
        for one in error.exceptions:
            if id(one) not in seen:
                yield from _traced(one, seen)
