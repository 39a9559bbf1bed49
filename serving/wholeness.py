"""Whether a version's files are still as they were made, asked before the engine is: cheap enough for every request.

An engine reads an adapter again that it has put aside, in the middle of a step that answers everybody, and ends where
its files are gone or damaged. Promises that a version whose files are not whole is never asked for, as long as they
change while nobody is being answered with it. Knows nothing of engines.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

from config.errors import BadInput, EngineUnavailable, NotFound
from config.names import VersionName
from config.paths import Paths
from serving.adapters import CONFIG, WEIGHTS, verify

Signature = tuple[tuple[int, int, int], ...]


class Wholeness:
    """The versions in the folder of `paths`. A digest is computed only when a file looks different from last time."""

    def __init__(self, paths: Paths) -> None:
        self._paths = paths
        self._whole: dict[VersionName, Signature] = {}

    async def check(self, version: VersionName) -> None:
        """Returns where all is well. Raises NotFound where the files are gone or are not those that were made, and
        EngineUnavailable where none can be read at all: that is no one version's fault."""
        folder = self._paths.adapter(version)
        try:
            now = _signature(folder)
            if self._whole.get(version) == now:
                return
            await asyncio.to_thread(verify, folder)
        except (OSError, BadInput) as error:
            self._whole.pop(version, None)
            if not _any(self._paths.adapters):
                raise EngineUnavailable(
                    "The adapters in the data folder cannot be read at the moment; ask again later."
                ) from error
            raise NotFound(
                f"There is no version {version} here whose files are as they were made; choose another one."
            ) from error
        self._whole[version] = now


def _any(adapters: Path) -> bool:
    try:
        return any(adapters.iterdir())
    except OSError:
        return False


def _signature(folder: Path) -> Signature:
    """Changes whenever a file is written, replaced or cut short."""
    stats = [(folder / name).stat() for name in (CONFIG, WEIGHTS)]
    return tuple((stat.st_ino, stat.st_size, stat.st_mtime_ns) for stat in stats)
