"""Halves of characters in JSON bytes: lone surrogates, which the parser would replace in silence.

`marked` puts a code point that no text has in their place, so that whoever reads the parsed text can tell. Works on
bytes, whole escapes at a time; knows no export.
"""

from __future__ import annotations

import re

MARK = "\ufdd0"
_MARK_BYTES = MARK.encode()
_ANY = re.compile(rb"\\u[dD][89a-fA-F]|\xed[\xa0-\xbf]")
_ESCAPES = re.compile(
    rb"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}"
    rb"|(\\u[dD][89a-fA-F][0-9a-fA-F]{2}|\xed[\xa0-\xbf][\x80-\xbf])"
    rb"|\\.",
    re.DOTALL,
)
"""A pair, or a half (the group), or another escape, which is passed over whole: `\\\\ud800` is a backslash and text."""


def marked(data: bytes) -> bytes:
    """`data` with every lone surrogate, escaped or raw, replaced by MARK; the same object where there is none.

    `data` must neither begin nor end within an escape or a pair of them.
    """
    if _ANY.search(data) is None:
        return data
    replaced = _ESCAPES.sub(lambda found: _MARK_BYTES if found.group(1) else found.group(), data)
    return data if replaced == data else replaced
