"""Settings: defaults, then `parlance.toml` in the data folder, then environment variables `PARLANCE_*`.

Nothing has to be set. Secrets are `SecretStr`: they print as stars wherever they end up.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict, TomlConfigSettingsSource

from config.errors import BadInput
from config.hardware import GpuSharing
from config.machine import Machine
from config.paths import Paths


def default_home() -> Path:
    """`PARLANCE_HOME`, else `~/.parlance`."""
    return Path(os.environ.get("PARLANCE_HOME") or Path.home() / ".parlance").expanduser().absolute()


def _address(given: str) -> str:
    parts = urlsplit(given.rstrip("/"))
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.netloc != given.rstrip("/").split("://")[1]:
        raise ValueError("it is an address like https://parlance.example, without a path")
    return given.rstrip("/")


def _machine(given: str) -> str:
    Machine.parse(given)
    return given


Address = Annotated[str, AfterValidator(_address)]
MachineAddress = Annotated[str, AfterValidator(_machine)]


class Settings(BaseSettings):
    """All that an owner can set. Units are in the names or descriptions."""

    model_config = SettingsConfigDict(env_prefix="PARLANCE_", extra="ignore", frozen=True)

    home: Path = Field(default_factory=default_home, description="data folder")
    database_url: SecretStr | None = Field(None, description="another database than home/parlance.db")
    key: SecretStr | None = Field(None, description="32 bytes in base64; instead of the key file")
    base_model: str = Field("demo", description="name in the catalogue, hub id, or folder")
    host: str = Field("127.0.0.1", description="where the page listens")
    port: int = Field(8642, ge=0, le=65535, description="where the page listens; 0 takes a free one")
    public_url: Address | None = Field(
        None, description="where a web server with TLS passes the page on: https://parlance.example"
    )
    metrics_token: SecretStr | None = Field(
        None, min_length=16, description="who has it may read /metrics from anywhere; without one, this machine may"
    )
    gpu_sharing: GpuSharing = Field(
        "reserve", description="tuning beside serving on one GPU: reserve memory, sleep meanwhile, or separate: another"
    )
    training_gpu: int = Field(1, ge=0, description="number of the other GPU, to tune on where gpu_sharing is separate")
    training_machine: MachineAddress | None = Field(
        None, description="another machine to tune on, by SSH: ssh://user@host/folder, where Parlance lies there"
    )
    traces: str | None = Field(None, description="where OpenTelemetry's traces go, over OTLP: http://host:4318")
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    log_format: Literal["json", "text"] = "json"
    replay_share: float = Field(
        0.1, ge=0, lt=0.5, description="of what a tuning learns from, how much is general conversations"
    )
    context: int | None = Field(
        None,
        ge=256,
        description="most tokens of a conversation; without it, what the model reads and memory has room for",
    )
    max_answer_tokens: int = Field(256, ge=8, le=8192, description="longest answer, in tokens")
    temperature: float = Field(0.4, ge=0, le=2)
    repetition_penalty: float = Field(1.05, ge=1, le=2)

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        file = TomlConfigSettingsSource(settings_cls, toml_file=default_home() / "parlance.toml")
        return init_settings, env_settings, file

    @property
    def sharing(self) -> GpuSharing:
        """How tuning and serving live with the GPUs here: apart, where tuning has a machine of its own."""
        return "separate" if self.training_machine is not None else self.gpu_sharing

    @property
    def machine(self) -> Machine | None:
        """The one to tune on, where that is another one."""
        return Machine.parse(self.training_machine) if self.training_machine is not None else None

    @property
    def paths(self) -> Paths:
        """Where everything lies."""
        return Paths(self.home)


def load_settings(**given: object) -> Settings:
    """Read the settings. Raises BadInput with one sentence that names the setting and what is wrong with it."""
    try:
        return Settings(**given)  # type: ignore[arg-type]
    except ValidationError as error:
        first = error.errors(include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise BadInput(
            f"The setting {where} cannot be used: {first['msg']}. "
            f"Change it in parlance.toml or PARLANCE_{where.upper()}."
        ) from None
    except ValueError as error:  # the TOML itself
        raise BadInput(f"parlance.toml cannot be read: {error}.") from None
