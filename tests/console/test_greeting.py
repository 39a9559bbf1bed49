"""What the terminal says of accounts when the platform comes up."""

from __future__ import annotations

import socket
from datetime import UTC, datetime

import pytest

from bots.accounts import AccountRow
from console.platform import _greet


def _row(name: str, state: str, trouble: str | None = None) -> AccountRow:
    return AccountRow(
        name, "telegram", f"{name}_bot", state, trouble, None, None, None, None, 0, datetime(2026, 1, 1, tzinfo=UTC)
    )


def _said(capsys: pytest.CaptureFixture[str], *accounts: AccountRow) -> str:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        _greet(listener, "code", accounts)
    return " ".join(capsys.readouterr().out.split())


def test_accounts_are_greeted_with_and_what_is_wrong_with_them(capsys: pytest.CaptureFixture[str]) -> None:
    said = _said(capsys, _row("quay", "on"), _row("bed", "paused"), _row("pier", "stopped", "Get a new token."))
    assert "Connecting @quay_bot on Telegram (“quay”)." in said
    assert "@bed_bot on Telegram (“bed”) is paused: parlance account resume bed lets it answer again." in said
    assert "@pier_bot on Telegram (“pier”) is stopped: Get a new token." in said


def test_without_accounts_it_is_said_how_to_add_one(capsys: pytest.CaptureFixture[str]) -> None:
    assert "parlance account add" in _said(capsys)


def test_where_a_web_server_passes_the_page_on_the_link_is_the_public_one(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        _greet(listener, "code", [], "https://parlance.example")
    said = capsys.readouterr().out
    assert "https://parlance.example/#operator=code" in said and "127.0.0.1" not in said
