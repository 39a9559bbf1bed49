"""The command line: one program, `parlance`. Exit 0: done; 1: refused or failed, with one sentence; 2: wrong usage."""

from __future__ import annotations

import sys
import traceback
from pathlib import Path

import structlog
import typer

from config.errors import ParlanceError
from config.settings import load_settings
from console import assistant_commands, chat_command, data_commands, platform_commands, tuning_commands
from console.output import errors

app = typer.Typer(
    name="parlance",
    help="Gives every chat its own assistant: tune it on the chat's log, prove that it got better, put it in service.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
for module in (assistant_commands, data_commands, tuning_commands, chat_command, platform_commands):
    module.register(app)


def _log_to(home: Path) -> None:
    """Commands log to a file: the screen is for results."""
    (home / "logs").mkdir(mode=0o700, parents=True, exist_ok=True)
    stream = (home / "logs" / "parlance.log").open("a", encoding="utf-8")
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso"),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(),
        ],
        logger_factory=structlog.WriteLoggerFactory(file=stream),
    )


def main() -> None:
    """Run a command; whatever goes wrong ends in one sentence and an exit code."""
    try:
        home = load_settings().home
        _log_to(home)
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
            f"Something went wrong that Parlance did not expect; the details are in {home / 'logs' / 'parlance.log'}.",
            style="red",
            markup=False,
            soft_wrap=True,
        )
        sys.exit(1)


if __name__ == "__main__":
    main()
