"""The engine's log, kept small while the engine writes it.

Promises that a full disk ends nothing and is told once. Knows nothing of what the log says.
"""

from __future__ import annotations

import logging
from pathlib import Path

from serving.engine import rotate

log = logging.getLogger(__name__)


class EngineLog:
    """The log at `file`."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self._full = False
        """Whether it could not be moved on the last time."""

    def keep_small(self) -> None:
        """Move it on where it has grown large."""
        try:
            rotate(self.file)
        except OSError as error:  # a full disk, above all: no reason to end an engine that answers
            if not self._full:
                log.warning("%s cannot be moved on (%s); free some space on its disk", self.file, error.strerror)
            self._full = True
        else:
            self._full = False
