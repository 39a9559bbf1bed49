"""The address of another machine: how it is reached by SSH, and where Parlance lies there.

Knows nothing of what it is wanted for.
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from typing import Self
from urllib.parse import unquote, urlsplit

HOME = "/~/"
"""At the beginning of a path: from the account's own folder on."""


@dataclass(frozen=True, slots=True)
class Machine:
    """`user` and `port` None: as SSH's own settings have it. `folder`: of Parlance, absolute or from the account's own
    on."""

    host: str
    folder: str
    user: str | None = None
    port: int | None = None

    @classmethod
    def parse(cls, address: str) -> Self:
        """Of `ssh://[user@]host[:port]/folder`. Raises ValueError with what is wrong with it."""
        parts = urlsplit(address)
        if parts.scheme != "ssh" or not parts.hostname or parts.query or parts.fragment:
            raise ValueError("write it as ssh://user@host/folder, where the folder is the one of Parlance there")
        if parts.password is not None:
            raise ValueError("leave the password out: a key lets in, and SSH knows where yours is")
        path = unquote(parts.path)
        folder = path.removeprefix(HOME) if path.startswith(HOME) else path
        if folder.strip("/") == "" or any(character < " " for character in folder):
            raise ValueError("name the folder of Parlance there as well: ssh://user@host/folder")
        host = _as_written(parts.hostname, parts.netloc)
        if folder.startswith("-") or host.startswith("-"):
            raise ValueError("neither the host nor the folder may begin with a dash")
        return cls(host, folder.rstrip("/"), unquote(parts.username) if parts.username else None, parts.port)

    def command(self, *words: str) -> str:
        """A command line for its shell, which runs Python with `words` where Parlance lies."""
        return f"cd {shlex.quote(self.folder)} && exec .venv/bin/python {shlex.join(words)}"


def _as_written(host: str, within: str) -> str:
    """`host` is in small letters; the settings of SSH tell names apart by theirs."""
    place = within.lower().rindex(host)
    return within[place : place + len(host)]
