"""Slack's export: a zip with `users.json`, `channels.json` and a folder a channel with a file a day.

Promises every message that a person wrote and that has text, channel by channel in time order, with Slack's marks made
readable: mentions and channels by name, links by their text. Bots, joins and notices are counted and left out; a
thread's messages answer its first. All may lie in one folder more, as where somebody packed it again. Memory holds one
day of one channel. Knows nothing of databases.
"""

from __future__ import annotations

import hashlib
import html
import json
import re
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from config.errors import BadInput
from tuning.sources.export import kept_text
from tuning.sources.json_file import size_of
from tuning.sources.message import SourceChat, SourceMessage
from tuning.sources.surrogates import marked
from tuning.sources.zip_file import opened_zip

INDEXES = ("channels.json", "groups.json", "mpims.json", "dms.json")
LARGEST_DAY = 256 << 20
"""Bytes of one unpacked file: more in a day of a channel is no chat but a bomb."""
LAST_SECOND = 1 << 36
"""Unix seconds, about the year 4100: a later time is a mistake in the file."""
SPOKEN = {"", "thread_broadcast", "me_message", "file_share"}
LONGEST_AUTHOR = 100
_MARK = re.compile(r"<([^<>]+)>")
_DAY = re.compile(r"([^/]+)/[\d-]+\.json")


class SlackExport:
    """One export file: see tuning/sources/export.py."""

    kind = "slack"

    def __init__(self, file: Path) -> None:
        self.file = file
        self.size = size_of(file, "the .zip file that Slack made")
        self.position = 0
        self.entries: dict[str, int] = {}
        self.account = True
        self._names: dict[str, str] = {}

    @property
    def digest(self) -> str:
        with self.file.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()

    def __iter__(self) -> Iterator[SourceChat | SourceMessage]:
        with opened_zip(self.file, "download the export again") as archive:
            yield from self._items(archive)

    def _items(self, archive: zipfile.ZipFile) -> Iterator[SourceChat | SourceMessage]:
        known = set(archive.namelist())
        top = top_of(sorted(known)) or ""
        days: dict[str, list[str]] = {}
        for name in sorted(known):
            if found := _DAY.fullmatch(name.removeprefix(top)):
                days.setdefault(found[1], []).append(name)
        if f"{top}users.json" in known:
            users = self._list(archive, f"{top}users.json")
            self._names = {str(user["id"]): _name(user) for user in users if user.get("id")}
        chats = [chat for index in INDEXES if top + index in known for chat in self._list(archive, top + index)]
        if not chats:
            raise BadInput(f"{self.file.name} names no channels; it is not the zip file of a Slack export.")
        for chat in chats:
            folder = str(chat.get("name") or chat.get("id"))
            head = SourceChat(str(chat.get("id", folder))[:100], folder, "channel")
            yield head
            count = 0
            for day in days.get(folder, ()):
                self.position += archive.getinfo(day).compress_size
                for fields in self._list(archive, day):
                    count += 1
                    kept = self._message(fields, day)
                    if kept is not None:
                        yield kept
            self.entries[head.id] = count
        self.position = self.size

    def _list(self, archive: zipfile.ZipFile, name: str) -> list[dict[str, Any]]:
        if archive.getinfo(name).file_size > LARGEST_DAY:
            raise BadInput(f"{name} in {self.file.name} is too large to be what Slack writes; download it again.")
        try:
            found = json.loads(marked(archive.read(name)))
        except (ValueError, RecursionError):
            raise BadInput(f"{name} in {self.file.name} is not JSON; download the export again.") from None
        if not isinstance(found, list) or not all(isinstance(one, dict) for one in found):
            raise BadInput(f"{name} in {self.file.name} is not what Slack writes; download the export again.")
        return found

    def _message(self, fields: dict[str, Any], day: str) -> SourceMessage | None:
        user, stamp, text = fields.get("user"), fields.get("ts"), fields.get("text")
        person = isinstance(user, str) and user and not fields.get("bot_id")
        spoken = fields.get("type") == "message" and str(fields.get("subtype") or "") in SPOKEN
        if not person or not spoken or not isinstance(text, str) or not text.strip():
            return None
        thread = fields.get("thread_ts")
        edited = fields.get("edited") if isinstance(fields.get("edited"), dict) else {}
        which = f"Message {str(stamp)[:40]} in {day}"
        try:
            sent_at = _seconds(stamp)
            edited_at = _seconds(edited["ts"]) if edited and "ts" in edited else None
        except (ValueError, OverflowError):
            raise BadInput(f"{which} of {self.file.name} has no time that can be read; download it again.") from None
        return SourceMessage(
            external_id=str(stamp)[:40],
            author_id=f"slack:{user}"[:LONGEST_AUTHOR],
            author=self._author(str(user), fields),
            sent_at=sent_at,
            reply_to=str(thread)[:40] if thread and thread != stamp else None,
            forwarded=False,
            text=kept_text(self._readable(text)),
            edited_at=edited_at,
        )

    def _author(self, user: str, fields: dict[str, Any]) -> str:
        """By the list of users, which does not have those of other organisations; their messages name them."""
        if user not in self._names and isinstance(fields.get("user_profile"), dict):
            self._names[user] = _name({**fields["user_profile"], "id": user, "profile": fields["user_profile"]})
        return self._names.get(user, user)[:LONGEST_AUTHOR]

    def _readable(self, text: str) -> str:
        """Slack's marks as people see them."""

        def shown(mark: re.Match[str]) -> str:
            target, _, label = mark[1].partition("|")
            if target.startswith("@"):
                return f"@{label or self._names.get(target[1:], 'someone')}"
            if target.startswith("#"):
                return f"#{label or target[1:]}"
            if target.startswith("!"):
                return f"@{(label or target[1:].split('^')[0]).lstrip('@')}"
            return label or target

        return html.unescape(_MARK.sub(shown, text))


def top_of(names: Sequence[str]) -> str | None:
    """What stands before every name of an export in a zip: nothing, or the one folder that it was packed in again; None
    where the names are of no such export."""
    found = [name for name in names if name.rsplit("/", 1)[-1] in INDEXES and not name.startswith("__MACOSX/")]
    tops = {name.rpartition("/")[0] for name in found if name.count("/") < 2}
    return next((f"{top}/" if top else "" for top in sorted(tops)), None)


def _seconds(stamp: Any) -> int:
    """Raises ValueError or OverflowError for what is no time."""
    seconds = int(float(str(stamp)))
    if not 0 <= seconds < LAST_SECOND:
        raise ValueError
    return seconds


def _name(user: dict[str, Any]) -> str:
    profile = user.get("profile") if isinstance(user.get("profile"), dict) else {}
    names = ((profile or {}).get("display_name"), user.get("real_name"), user.get("name"), user.get("id"))
    return next(str(name) for name in names if name)
