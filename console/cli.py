"""The command line: one program, `parlance`. Exit 0: done; 1: refused or failed, with one sentence; 2: wrong usage."""

from __future__ import annotations

import logging
import sys
import traceback
from logging.handlers import RotatingFileHandler
from pathlib import Path

import structlog
import typer

from bots.platforms import PLATFORMS
from config.errors import ParlanceError
from config.settings import default_home, load_settings
from console import (
    account_commands,
    assistant_commands,
    channel_commands,
    chat_command,
    cleaning_command,
    consent_commands,
    data_commands,
    people_commands,
    platform_commands,
    report_command,
    schedule_command,
    source_commands,
    teach_commands,
    tuning_commands,
)
from console.output import errors

LOG_BYTES = 5_000_000

app = typer.Typer(
    name="parlance",
    help="Gives every chat its own assistant: tune it on the chat's log, prove that it got better, put it in service.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
_MODULES = (
    assistant_commands,
    account_commands,
    channel_commands,
    consent_commands,
    data_commands,
    people_commands,
    source_commands,
    teach_commands,
    tuning_commands,
    report_command,
    schedule_command,
    cleaning_command,
    chat_command,
)
for module in (*_MODULES, platform_commands):
    module.register(app)


class _WithoutTokens(logging.Formatter):
    """Whatever a library says of an address that holds a bot's token, the log does not have it."""

    def format(self, record: logging.LogRecord) -> str:
        text = super().format(record)
        for platform in PLATFORMS.values():
            text = platform.token.sub("…", text)
        return text


def _log_to(file: Path, level: str) -> None:
    """Commands log to a file: the screen is for results."""
    handler = RotatingFileHandler(file, maxBytes=LOG_BYTES, backupCount=3, encoding="utf-8")
    handler.setFormatter(_WithoutTokens("%(message)s"))
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    for chatty in (
        "httpx",
        "httpcore",
        "aiosqlite",
        "alembic",
        "telegram",
        "discord",
        "aiohttp",
        "presidio-analyzer",
        "uvicorn",
    ):
        logging.getLogger(chatty).setLevel(logging.WARNING)
    structlog.configure(
        processors=[
            structlog.stdlib.add_log_level,
            structlog.stdlib.add_logger_name,
            structlog.processors.TimeStamper(fmt="iso"),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.stdlib.BoundLogger,
        logger_factory=structlog.stdlib.LoggerFactory(),
    )


def main() -> None:
    """Run a command; whatever goes wrong ends in one sentence and an exit code."""
    file = default_home() / "logs" / "parlance.log"
    try:
        settings = load_settings()
        settings.paths.ensure()
        _log_to(file, settings.log_level)
        app(standalone_mode=True)
    except ParlanceError as error:
        errors.print(str(error), style="red", markup=False, soft_wrap=True)
        sys.exit(1)
    except KeyboardInterrupt:
        errors.print("Stopped.")
        sys.exit(1)
    except PermissionError as error:
        errors.print(
            f"{error.filename or error} may not be read or written; check who owns it.", style="red", markup=False
        )
        sys.exit(1)
    except Exception:
        structlog.get_logger().error("command broke", trace=traceback.format_exc())
        errors.print(
            f"Something went wrong that Parlance did not expect; the details are in {file}.",
            style="red",
            markup=False,
            soft_wrap=True,
        )
        sys.exit(1)


if __name__ == "__main__":
    main()
