"""Names of assistants and versions: what is well formed, and nothing else gets near a path.

An assistant is `harbour`; its third version `harbour@v3`. The untuned model is served as version 0 of a
reserved name, `base-MODEL@v0`. The same pattern stands in serving/resolver_plugin.py, which may not import this.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from config.errors import BadInput

ASSISTANT_PATTERN = r"[a-z][a-z0-9_-]{0,39}"
VERSION_PATTERN = rf"({ASSISTANT_PATTERN})@v(0|[1-9][0-9]{{0,5}})"
_ASSISTANT = re.compile(ASSISTANT_PATTERN)
_VERSION = re.compile(VERSION_PATTERN)
RESERVED_PREFIX = "base-"


@dataclass(frozen=True, slots=True)
class VersionName:
    """`NAME@vN`."""

    assistant: str
    number: int

    def __str__(self) -> str:
        return f"{self.assistant}@v{self.number}"

    @classmethod
    def parse(cls, text: str) -> VersionName:
        """From `NAME@vN`. Raises BadInput for anything else."""
        found = _VERSION.fullmatch(text)
        if found is None:
            raise BadInput(f"“{text[:60]}” is not a version; a version looks like harbour@v3.")
        return cls(found.group(1), int(found.group(2)))


def assistant_name(text: str) -> str:
    """`text` if it is a name an assistant may have. Raises BadInput."""
    if _ASSISTANT.fullmatch(text) is None:
        raise BadInput(
            f"“{text[:60]}” cannot be an assistant's name: use up to 40 small letters, digits, - and _, a letter first."
        )
    if text.startswith(RESERVED_PREFIX):
        raise BadInput(f"Names that begin with “{RESERVED_PREFIX}” are kept for the untuned models; choose another.")
    return text


def untuned(model: str) -> VersionName:
    """The name under which the untuned base model `model` (its name in the catalogue) is served."""
    slug = re.sub(r"[^a-z0-9_-]+", "-", model.lower()).strip("-")[: 39 - len(RESERVED_PREFIX)]
    return VersionName(f"{RESERVED_PREFIX}{slug}", 0)
