"""The engine that all tests share, as the fixture `engine` hands it out."""

from __future__ import annotations

from dataclasses import dataclass

from config.paths import Paths
from config.settings import Settings
from serving.client import EngineClient
from serving.supervisor import EngineSupervisor
from store.crypto import Cipher


@dataclass(frozen=True, slots=True)
class RunningEngine:
    """A real engine on a home of its own. A test that ends it waits with `supervisor.wait_ready` until it is back."""

    settings: Settings
    paths: Paths
    cipher: Cipher
    supervisor: EngineSupervisor
    client: EngineClient
