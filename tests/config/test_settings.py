"""Settings come from defaults, file and environment, and secrets never print."""

from pathlib import Path

import pytest

from config.errors import BadInput
from config.settings import load_settings


def test_the_environment_wins_over_the_file(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home.mkdir()
    (home / "parlance.toml").write_text("port = 9001\ntemperature = 0.2\n")
    monkeypatch.setenv("PARLANCE_PORT", "9002")
    settings = load_settings()
    assert (settings.port, settings.temperature, settings.home) == (9002, 0.2, home)


def test_a_wrong_setting_is_named_in_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PARLANCE_PORT", "many")
    with pytest.raises(BadInput, match="The setting port cannot be used") as met:
        load_settings()
    assert "\n" not in str(met.value)


def test_a_broken_file_is_named_in_one_sentence(home: Path) -> None:
    home.mkdir()
    (home / "parlance.toml").write_text("port = = 3")
    with pytest.raises(BadInput, match=r"parlance\.toml cannot be read"):
        load_settings()


def test_secrets_print_as_stars(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PARLANCE_KEY", "very-secret-key")
    monkeypatch.setenv("PARLANCE_DATABASE_URL", "postgresql+asyncpg://u:hunter2@db/x")
    settings = load_settings()
    for shown in (repr(settings), str(settings), str(settings.model_dump()), settings.model_dump_json()):
        assert "very-secret-key" not in shown
        assert "hunter2" not in shown


@pytest.mark.parametrize(
    "given", ["parlance.example", "https://parlance.example/chat", "ftp://x", "https://", "https://a?b"]
)
def test_a_public_address_that_is_none_is_told(given: str) -> None:
    with pytest.raises(BadInput, match=r"public_url cannot be used: .*like https://parlance\.example, without a path"):
        load_settings(public_url=given)


def test_a_public_address_may_have_a_port_and_end_in_a_slash() -> None:
    assert load_settings(public_url="https://parlance.example:8443/").public_url == "https://parlance.example:8443"
