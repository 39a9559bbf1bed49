"""What is no talk: commands, links alone, reactions alone, stand-ins for media, and names that bots go by.

Each function looks at one text or name and answers yes or no; a cheap look comes first, as nearly every text is talk.
Knows neither people nor conversations.
"""

from __future__ import annotations

import re

LONGEST_REACTION = 48
"""Characters. Longer laughter is rare, and a rant of signs may be a drawing."""

_COMMAND = re.compile(r"\s*(?:/[a-zA-Z]\w{0,31}(?:@\w+)?|![a-zA-Z][\w-]{0,31})(?:\s|$)")
_LINKS = re.compile(r"(?:\s*[<(\[]?(?:(?:https?|ftp|tg)://|www\.)[^\s]+)+\s*", re.IGNORECASE)
_WORD = re.compile(r"\w+")
_EMOJI_NAME = re.compile(r"<a?:\w{2,32}:\d+>|:[a-z][a-z\d_+-]{1,31}:")
_PLUS_ONE = re.compile(r"\s*[+-]\s?1{1,3}[\s!.]*")
_LAUGHTER = re.compile(
    r"b?(?:a*(?:h+[aeiou]+){2,}h*|a?(?:ja|je|ji){2,}j?|(?:ah){2,}a?|(?:kek){1,}|k{3,}|a*(?:х+[аеиоэы]+){2,}х*|(?:ах){2,}а?"
    r"|(?:哈|呵|嘿|ㅋ|ㅎ|笑|草)+|(?:خ|ه){3,})"
    r"|l+[oeu]+l+(?:z|s)?|(?:lol){2,}|l+m+f*a+o+|r+o+f+l+(?:mao)?|x+d+|lul[wz]?|omegalul|mdr+|ptdr|rsrs+|jsjs+|лол|кек|ржу"
)
_MEDIA = re.compile(
    r"<[^<>]{0,30}(?:omitted|omitido|omitida|omessi|omesso|omis|ausgeschlossen|weggelassen|weggelaten|attached|adjunto|"
    r"без медиафайлов|опущен)[^<>]{0,30}>"
    r"|(?:image|video|audio|gif|sticker|document|contact card|video note|voice message) omitted"
    r"|[\[(<](?:a |an )?(?:photo|picture|image|video|gif|sticker|audio|voice(?: message| note)?|file|document|"
    r"attachment|album|media|foto|bild|imagen|imagem|immagine|vidéo|autocollant|aufkleber|sprachnachricht|datei|"
    r"фото|видео|стикер|файл|голосовое сообщение)[\])>]"
    r"|(?:(?:IMG|VID|Screenshot|Screen Shot|WhatsApp|Bildschirmfoto|Photo)[\w .()-]{0,80}|[\w.()-]{1,100})"
    r"\.(?:jpe?g|png|gif|webp|heic|mp4|mov|webm|mp3|ogg|opus|m4a|pdf|docx?|zip)"
    r"(?: \([^()]{4,30}\))?",
    re.IGNORECASE,
)
_BOT = re.compile(r"(?:^|[\s_\-.\[(])[Bb][Oo][Tt](?:$|[\s_\-.\])])|[a-z\d]Bot$")
_BOTS = frozenset({"combot", "mee6", "dyno", "carl-bot", "dank memer", "grouphelp", "slackbot", "rythm", "hydra"})


def is_command(text: str) -> bool:
    """“/ban @odo”, “!rank”: said to a program, not to people. A path such as /home/odo is none."""
    return text.lstrip()[:1] in ("/", "!") and _COMMAND.match(text) is not None


def is_link_alone(text: str) -> bool:
    """Addresses and nothing said about them."""
    return ("://" in text or "www." in text) and _LINKS.fullmatch(text) is not None


def is_reaction_alone(text: str) -> bool:
    """“+1”, “👍”, “lol”, “haha 😂”, “:partyparrot:”, “?!”: how somebody feels about what was said, and nothing else."""
    if len(text) > LONGEST_REACTION:
        return False
    words = _WORD.findall(text)
    if not words:
        return True
    if len(words) > 6:
        return False
    if _PLUS_ONE.fullmatch(text):
        return True
    if ":" in text:
        words = _WORD.findall(_EMOJI_NAME.sub(" ", text))
    return all(_LAUGHTER.fullmatch(word.lower()) for word in words)


def is_stand_in(text: str) -> bool:
    """“<Media omitted>”, “[Photo]”, “IMG_0412.jpg”: where a picture, a voice or a file was."""
    return text.rstrip().endswith(_ENDS) and _MEDIA.fullmatch(text.strip()) is not None


_FILES = ("jpg", "jpeg", "png", "gif", "webp", "heic", "mp4", "mov", "webm", "mp3", "ogg", "opus", "m4a", "pdf", "doc")
_ENDS = (">", "]", ")", "omitted", "docx", "zip", *_FILES, *(end.upper() for end in _FILES))


def is_bot_name(name: str) -> bool:
    """Whether a program goes by this name: “Weather Bot”, “quiz_bot”, “HarbourBot”. Talbot and Abbot are people."""
    return _BOT.search(name) is not None or name.strip().casefold() in _BOTS
