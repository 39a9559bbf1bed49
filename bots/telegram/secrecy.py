"""Keeps secrets out of logs: the Bot API has tokens in its addresses, and the client library notes calls in full.

Promises that no record of the loggers below shows a token or what people wrote, whatever level they are set to.
"""

from __future__ import annotations

import logging
import re

LOGGERS = ("telegram.Bot", "telegram.ext.ExtBot", "telegram.request.BaseRequest", "aiohttp.client", "asyncio")
_TOKEN = re.compile(r"(?<!\d)(\d{5,}):[\w-]{30,}")


def without_tokens(text: str) -> str:
    """`text` with the number of each bot, which is no secret, and not the rest."""
    return _TOKEN.sub(r"\1:…", text)


class _Redaction(logging.Filter):
    """Writes records anew that hold a token; drops those for developers, which hold whole messages."""

    def filter(self, record: logging.LogRecord) -> bool:
        if record.levelno < logging.INFO:
            return False
        text = record.getMessage()
        if _TOKEN.search(text):
            record.msg, record.args = without_tokens(text), ()
        return True


_REDACTION = _Redaction()


def keep_secrets_out_of_logs() -> None:
    """From now on; a second time changes nothing."""
    for name in LOGGERS:
        logging.getLogger(name).addFilter(_REDACTION)
