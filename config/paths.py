"""Where things lie in the data folder. The database, `adapters/` and the key file matter; the rest can be lost."""

from __future__ import annotations

import hashlib
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

from config.names import VersionName

SOCKET_PATH_LIMIT = 100
"""Bytes. Linux allows 107 for the path of a Unix socket."""


@dataclass(frozen=True, slots=True)
class Paths:
    """Paths under one home. Nothing is created here except by `ensure`."""

    home: Path

    @property
    def database(self) -> Path:
        return self.home / "parlance.db"

    @property
    def key_file(self) -> Path:
        return self.home / "secret" / "key"

    @property
    def adapters(self) -> Path:
        return self.home / "adapters"

    @property
    def jobs(self) -> Path:
        """Run folders; one holds training text only while its job runs."""
        return self.home / "jobs"

    @property
    def visits(self) -> Path:
        """Run folders of other machines' jobs that learn here, each for as long as the other machine is there."""
        return self.home / "visits"

    @property
    def logs(self) -> Path:
        return self.home / "logs"

    @property
    def run(self) -> Path:
        """Locks and the engine's state: what is true only while something runs."""
        return self.home / "run"

    @property
    def engine_socket(self) -> Path:
        """The engine's Unix socket: in the home, or, where that path would be too long, in a temporary folder."""
        inside = self.run / "engine.sock"
        if len(os.fsencode(inside)) <= SOCKET_PATH_LIMIT:
            return inside
        digest = hashlib.sha256(os.fsencode(self.home)).hexdigest()[:16]
        return Path(tempfile.gettempdir()) / f"parlance-{os.getuid()}-{digest}" / "engine.sock"

    def adapter(self, name: VersionName) -> Path:
        """The folder of one version: `adapters/NAME/vN`."""
        return self.adapters / name.assistant / f"v{name.number}"

    def job(self, job_id: int) -> Path:
        """The run folder of one job."""
        return self.jobs / str(job_id)

    def ensure(self) -> None:
        """Create the folders, readable by their owner alone."""
        for folder in (self.home, self.adapters, self.jobs, self.logs, self.run, self.key_file.parent):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        socket_folder = self.engine_socket.parent
        socket_folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if socket_folder.stat().st_uid != os.getuid():
            raise PermissionError(f"{socket_folder} belongs to somebody else")
