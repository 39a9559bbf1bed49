"""The command line: one program, `parlance`. Exit 0: done; 1: refused or failed, with one sentence; 2: wrong usage."""

from __future__ import annotations

import sys

import structlog
import typer

from config.errors import ParlanceError
from config.settings import default_home, load_settings
from console import (
    account_commands,
    assistant_commands,
    backup_commands,
    channel_commands,
    chat_command,
    cleaning_command,
    consent_commands,
    data_commands,
    disk_command,
    key_commands,
    people_commands,
    platform_commands,
    report_command,
    retention_command,
    schedule_command,
    source_commands,
    teach_commands,
    tuning_commands,
)
from console.logs import log_to
from console.output import errors

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
    key_commands,
    people_commands,
    source_commands,
    teach_commands,
    tuning_commands,
    report_command,
    schedule_command,
    cleaning_command,
    chat_command,
    backup_commands,
    disk_command,
    retention_command,
)
for module in (*_MODULES, platform_commands):
    module.register(app)


def main() -> None:
    """Run a command; whatever goes wrong ends in one sentence and an exit code."""
    file = default_home() / "logs" / "parlance.log"
    try:
        settings = load_settings()
        settings.paths.ensure()
        log_to(file, settings.log_level, settings.log_format)
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
        structlog.get_logger(__name__).exception("command broke")
        errors.print(
            f"Something went wrong that Parlance did not expect; the details are in {file}.",
            style="red",
            markup=False,
            soft_wrap=True,
        )
        sys.exit(1)


if __name__ == "__main__":
    main()
