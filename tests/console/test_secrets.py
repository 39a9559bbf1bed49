"""Secrets of an installation: nothing shows them, wherever a command or one of its processes can be looked at."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import typer

from config.settings import load_settings
from console.cli import app
from store.crypto import load_cipher
from tuning.training.process import trainers_environment

ROOT = Path(__file__).resolve().parents[2]
PASSWORD, TOKEN = "hunter2-of-the-database", "a-metrics-token-of-ours"
ADDRESS = f"postgresql+asyncpg://ada:{PASSWORD}@127.0.0.1:1/parlance"


def commands(group: Any, path: str = "") -> list[tuple[str, Any]]:
    found = []
    for name, command in group.commands.items():
        found.append((f"{path} {name}".strip(), command))
        if hasattr(command, "commands"):
            found += commands(command, f"{path} {name}".strip())
    return found


def test_no_command_takes_a_secret_as_an_argument_that_a_list_of_processes_would_show():
    known = commands(typer.main.get_command(app))
    assert len(known) > 20
    for path, command in known:
        for parameter in command.params:
            names = {parameter.name or "", *parameter.opts}
            secret = any(re.search(r"token|password|secret|passphrase", name) for name in names)
            assert not secret or getattr(parameter, "is_flag", False), f"parlance {path}: {names}"


@pytest.mark.parametrize("level", ["debug", "info"])
def test_a_database_that_cannot_be_reached_is_told_of_without_its_password(home: Path, level: str):
    environment = dict(os.environ) | {"PARLANCE_DATABASE_URL": ADDRESS, "PARLANCE_LOG_LEVEL": level}
    environment["PARLANCE_METRICS_TOKEN"] = TOKEN
    done = subprocess.run(
        [sys.executable, "-m", "console.cli", "assistant", "list"],
        capture_output=True, text=True, env=environment, cwd=ROOT, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    logged = "".join(file.read_text() for file in (home / "logs").iterdir())
    for text in (done.stdout, done.stderr, logged):
        assert PASSWORD not in text and TOKEN not in text


def test_settings_show_stars_however_they_are_looked_at(home: Path):
    settings = load_settings(database_url=ADDRESS, metrics_token=TOKEN, key="a" * 43 + "=")
    shown = [
        repr(settings),
        str(settings),
        str(settings.model_dump()),
        settings.model_dump_json(),
        repr(vars(settings)),
    ]
    for text in shown:
        assert PASSWORD not in text and TOKEN not in text and "a" * 43 not in text


def test_a_setting_that_cannot_be_used_is_refused_without_being_quoted(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PARLANCE_METRICS_TOKEN", "short-secret")
    with pytest.raises(Exception, match="metrics_token") as refused:
        load_settings()
    assert "short-secret" not in str(refused.value)


def test_training_is_not_told_what_it_does_not_need(monkeypatch: pytest.MonkeyPatch):
    for name in ("KEY", "DATABASE_URL", "METRICS_TOKEN", "BOT_TOKEN"):
        monkeypatch.setenv(f"PARLANCE_{name}", "a secret")
    monkeypatch.setenv("HTTP_PROXY", "kept")
    given = trainers_environment({"WANTED": "yes"})
    assert "a secret" not in given.values()
    assert given["HTTP_PROXY"] == "kept" and given["WANTED"] == "yes"


def test_what_a_key_derives_tells_nothing_of_it_nor_of_what_else_it_derives(tmp_path: Path):
    file = tmp_path / "key"
    cipher = load_cipher(file, None)
    derived = {cipher.derive("engine"), cipher.derive("buttons")}
    assert len(derived) == 2
    key = file.read_text()
    assert key not in repr(cipher) and not any(one in key or key in one for one in derived)
