"""Turns the screenplays in `demo/communities` into Telegram Desktop exports in `demo/exports`.

Promises one export for each `NAME.txt`, laid out key by key as Telegram Desktop's "Export chat history"
writes `result.json`, and the same bytes on every run: ids, sizes and the seconds of a minute follow from
the screenplay alone, and its local time is taken for UTC. Knows nothing of how the exports are read.

A screenplay is `title:`, `id:` and `type:`, then days and what was said in them (`#` starts a comment):

    == 2026-02-03                        a day begins
    18:04 Mara: Morning all {👍3 ❤1}      a message, with its reactions
    18:05 Bram Tolliver > Mara: Aye.     a reply to Mara's latest message
    18:09 Mara [edited 18:12]: ...       also [fwd WHOM], [photo], [sticker ⛵]
    18:10 Mara [poll]: Which? | This 3 | That 2
    18:12 * Mara invited Joost, Nadia    or: joined by link, removed WHO, pinned WHOM, renamed TITLE, created TITLE
    --- later
    18:20 ~ Mara 2026-02-03 18:04: ...   Mara edits now what she wrote then

What stands before `--- later` is `NAME.json`; `NAME-later.json` is the whole chat, exported again later.
In a text `**bold**`, `_italic_`, `` `code` `` and `[label](url)` are marks, `\\n` breaks the line, and links,
e-mail addresses, phone and card numbers, mentions, hashtags and commands are found as Telegram finds them.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

Message = dict[str, Any]

HEAD = ("id", "type", "date", "date_unixtime", "edited", "edited_unixtime")
NOT_INCLUDED = "(File not included. Change data exporting settings to download.)"

ACTIONS = {
    "invited": ("invite_members", "members"),
    "removed": ("remove_members", "members"),
    "joined by link": ("join_group_by_link", "inviter"),
    "pinned": ("pin_message", "message_id"),
    "renamed": ("edit_group_title", "title"),
    "created": ("create_channel", "title"),
}

LINE = re.compile(
    r"(?P<time>\d\d:\d\d) (?P<who>[^:>\[\]*~]+?)(?: > (?P<to>[^:>\[\]]+?))?"
    r"(?P<tags>(?: \[[^\]]+\])*):(?: (?P<text>.*))?"
)
SERVICE = re.compile(r"(?P<time>\d\d:\d\d) \* (?P<who>.+?) (?P<verb>" + "|".join(ACTIONS) + r")(?: (?P<rest>.+))?")
EDIT = re.compile(r"(?P<time>\d\d:\d\d) ~ (?P<who>.+?) (?P<then>\d{4}-\d\d-\d\d \d\d:\d\d): (?P<text>.+)")
REACTIONS = re.compile(r"\s*\{((?:[^\s\d{}]+\d+ ?)+)\}$")

ENTITY = re.compile(
    r"\*\*(?P<bold>\S(?:.*?\S)?)\*\*"
    r"|`(?P<code>[^`]+)`"
    r"|\[(?P<label>[^\]]+)\]\((?P<href>[^)\s]+)\)"
    r"|(?P<link>https?://[^\s)]*[\w/])"
    r"|(?P<email>[\w.+-]+@[\w-]+(?:\.[\w-]+)+)"
    r"|(?<!\w)_(?P<italic>\S(?:.*?\S)?)_(?!\w)"
    r"|(?<![\w+])(?P<bank_card>\d{4}(?: ?\d{4}){3})(?! ?\d)"
    r"|(?<!\w)(?P<phone>\+\d[\d ]{7,}\d)"
    r"|(?<![\w@])(?P<mention>@[A-Za-z]\w{3,})"
    r"|(?<!\w)(?P<hashtag>#\w*[^\W\d]\w*)"
    r"|(?<![\w/.])(?P<bot_command>/[a-z]\w*(?:@\w+)?)",
    re.DOTALL,
)


class ScreenplayError(ValueError):
    """A line of a screenplay that cannot be read; says which and why."""


def entities(text: str) -> list[dict[str, str]]:
    """Telegram's `text_entities` of one text with marks: what lies between two entities is `plain`."""
    found: list[dict[str, str]] = []
    end = 0
    for match in ENTITY.finditer(text):
        if match.start() > end:
            found.append({"type": "plain", "text": text[end : match.start()]})
        if match["label"]:
            found.append({"type": "text_link", "text": match["label"], "href": match["href"]})
        else:
            kind = match.lastgroup or "plain"
            found.append({"type": kind, "text": match[kind]})
        end = match.end()
    if end < len(text):
        found.append({"type": "plain", "text": text[end:]})
    return found


def written(text: str) -> Message:
    """The keys `text` and `text_entities`: a string when all is plain, else strings and entities mixed."""
    text = text.replace("\\n", "\n")
    parts = entities(text)
    mixed = [part["text"] if part["type"] == "plain" else part for part in parts]
    return {"text": mixed if any(part["type"] != "plain" for part in parts) else text, "text_entities": parts}


def user_id(name: str) -> str:
    """Telegram's id of a person, the same for the same name in every screenplay."""
    return f"user{int(sha256(name.encode()).hexdigest(), 16) % 6_000_000_000 + 1_000_000_000}"


def stamp(moment: datetime, prefix: str = "date") -> Message:
    """A moment as Telegram writes it, twice: local time, and seconds since 1970 as a string."""
    return {prefix: moment.strftime("%Y-%m-%dT%H:%M:%S"), f"{prefix}_unixtime": str(int(moment.timestamp()))}


@dataclass
class Chat:
    """One screenplay, read line by line into an export's messages."""

    header: dict[str, str] = field(default_factory=dict)
    messages: list[Message] = field(default_factory=list)
    day: str = ""
    latest: dict[str, int] = field(default_factory=dict)
    last_id: int = 1

    def read(self, line: str) -> None:
        """Take in one line that is neither empty, a comment, nor `--- later`."""
        if line.startswith("== "):
            self.day = line[3:13]
        elif not self.day:
            key, _, value = line.partition(":")
            self.header[key.strip()] = value.strip()
        elif match := EDIT.fullmatch(line):
            self._edit(match)
        elif match := SERVICE.fullmatch(line):
            self._service(match)
        elif match := LINE.fullmatch(line):
            self._message(match)
        else:
            raise ScreenplayError("is no message, service message, edit or day")

    def export(self) -> Message:
        """The chat so far as Telegram Desktop's single-chat export."""
        return {
            "name": self.header["title"],
            "type": self.header["type"],
            "id": int(self.header["id"]),
            "messages": [{key: message[key] for key in HEAD if key in message} | message for message in self.messages],
        }

    def _moment(self, time: str) -> datetime:
        """The given minute of the current day, with seconds that keep the chat in order."""
        moment = datetime.strptime(f"{self.day} {time}", "%Y-%m-%d %H:%M").replace(tzinfo=UTC)
        last = datetime.fromtimestamp(int(self.messages[-1]["date_unixtime"]), UTC) if self.messages else moment
        if moment < last.replace(second=0):
            raise ScreenplayError("stands before the message above it")
        return max(moment + timedelta(seconds=self.last_id * 17 % 23), last + timedelta(seconds=2 + self.last_id % 5))

    def _begin(self, kind: str, time: str, who: str) -> Message:
        moment = self._moment(time)
        self.last_id += 1 if self.last_id % 41 else 2  # a deleted message leaves a gap
        self.messages.append({"id": self.last_id, "type": kind} | stamp(moment))
        return self.messages[-1]

    def _latest_of(self, who: str) -> int:
        if who not in self.latest:
            raise ScreenplayError(f"points at {who}, who has written nothing yet")
        return self.latest[who]

    def _message(self, match: re.Match[str]) -> None:
        who, text = match["who"], match["text"] or ""
        message = self._begin("message", match["time"], who)
        tags = dict(tag.partition(" ")[::2] for tag in re.findall(r"\[([^\]]+)\]", match["tags"]))
        if "edited" in tags:
            message |= stamp(self._moment(tags["edited"]), "edited")
        message |= {"from": who, "from_id": user_id(who)}
        if "fwd" in tags:
            message["forwarded_from"] = tags["fwd"]
        if match["to"]:
            message["reply_to_message_id"] = self._latest_of(match["to"])
        reactions = REACTIONS.search(text)
        text = text[: reactions.start()] if reactions else text
        if "photo" in tags:
            message |= {"photo": NOT_INCLUDED, "photo_file_size": 90_000 + self.last_id, "width": 1280, "height": 960}
        elif "sticker" in tags:
            message |= {"file": NOT_INCLUDED, "file_name": "sticker.webp", "file_size": 9_000 + self.last_id}
            message |= {"media_type": "sticker", "sticker_emoji": tags["sticker"], "width": 512, "height": 512}
        elif "poll" in tags:
            message["poll"], text = self._poll(text), ""
        message |= written(text)
        if reactions:
            message["reactions"] = [self._reaction(message, mark) for mark in reactions[1].split()]
        self.latest[who] = self.last_id

    def _poll(self, text: str) -> Message:
        question, *options = text.split(" | ")
        split = [option.rpartition(" ")[::2] for option in options]
        answers = [{"text": label, "voters": int(votes), "chosen": False} for label, votes in split]
        total = sum(int(votes) for _, votes in split)
        return {"question": question, "closed": False, "total_voters": total, "answers": answers}

    def _reaction(self, message: Message, mark: str) -> Message:
        emoji, count = re.findall(r"(\D+)(\d+)", mark)[0]
        others = [name for name in self.latest if name != message["from"]]
        turn = self.last_id % max(len(others), 1)
        ordered = (others[turn:] + others[:turn])[: min(int(count), 3)]
        recent = [{"from": name, "from_id": user_id(name), "date": message["date"]} for name in ordered]
        return {"type": "emoji", "count": int(count), "emoji": emoji} | ({"recent": recent} if recent else {})

    def _service(self, match: re.Match[str]) -> None:
        who, verb, rest = match["who"], match["verb"], match["rest"] or ""
        message = self._begin("service", match["time"], who)
        action, key = ACTIONS[verb]
        values = {"members": rest.split(", "), "inviter": "Group", "title": rest}
        value = self._latest_of(rest) if key == "message_id" else values[key]
        message |= {"actor": who, "actor_id": user_id(who), "action": action, key: value} | written("")

    def _edit(self, match: re.Match[str]) -> None:
        then = match["then"].replace(" ", "T")
        for message in self.messages:
            if message.get("from") == match["who"] and message["date"].startswith(then):
                message.update(stamp(self._moment(match["time"]), "edited") | written(match["text"]))
                return
        raise ScreenplayError("edits a message that is not there")


def exports(screenplay: str) -> list[Message]:
    """The exports of one screenplay: the first, and where it says `--- later` the longer one too."""
    chat = Chat()
    finished: list[Message] = []
    for number, line in enumerate(screenplay.splitlines(), start=1):
        if line == "--- later":
            finished.append(chat.export())
        elif line.strip() and not line.startswith("#"):
            try:
                chat.read(line.rstrip())
            except ScreenplayError as error:
                raise ScreenplayError(f"line {number} {error}: {line}") from error
    return [*finished, chat.export()]


def main() -> None:
    """Write every screenplay's exports and say how many messages each holds."""
    here = Path(__file__).parent
    for screenplay in sorted((here / "communities").glob("*.txt")):
        found = exports(screenplay.read_text(encoding="utf-8"))
        for suffix, export in zip(("", "-later"), found, strict=False):
            path = here / "exports" / f"{screenplay.stem}{suffix}.json"
            path.parent.mkdir(exist_ok=True)
            path.write_text(json.dumps(export, ensure_ascii=False, indent=1), encoding="utf-8")
            print(f"{path.relative_to(here.parent)}: {len(export['messages'])} messages")


if __name__ == "__main__":
    main()
