"""What the engine refuses and the network breaks, as errors of our tree.

Promises a sentence that says what to do for each of them. Knows nothing of how the engine is asked.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager

import aiohttp

from config.errors import BadInput, EngineUnavailable, NotFound, ParlanceError, Refused, TooLong
from config.names import VersionName

BROKEN_OFF = "The engine broke off in the middle of the answer; ask again."


@contextmanager
def said(version: VersionName) -> Iterator[None]:
    """Turns what the network does into our errors."""
    try:
        yield
    except TimeoutError:
        raise EngineUnavailable(f"The engine took too long to answer as {version}; ask again later.") from None
    except UnicodeEncodeError:
        raise BadInput("The text holds characters that are not valid Unicode; leave them out.") from None
    except aiohttp.ClientConnectorError as error:
        raise EngineUnavailable("The engine is not there yet or no more; ask again in a minute.") from error
    except (aiohttp.ClientError, ConnectionError, json.JSONDecodeError) as error:
        raise EngineUnavailable(BROKEN_OFF) from error


async def refusal(answer: aiohttp.ClientResponse, version: VersionName) -> ParlanceError:
    """The error for an answer that is not 200."""
    try:
        message = str(json.loads(await answer.read())["error"]["message"])
    except (ValueError, KeyError, TypeError):
        message = ""
    if answer.status == 404:
        return NotFound(f"There is no version {version} here whose files are as they were made; choose another one.")
    if answer.status == 400 and "could not be loaded" in message:
        return Refused(f"This engine cannot load {version}; it was made for another base model or a larger rank.")
    if answer.status == 400 and ("context length" in message or "max_tokens" in message):
        return TooLong("The conversation is too long for this model; begin anew or say it in fewer words.")
    if answer.status == 400:
        return BadInput("The engine cannot take this conversation; begin anew.")
    if answer.status == 401:
        return EngineUnavailable("The engine here belongs to another installation; stop that one first.")
    return EngineUnavailable("The engine could not answer; ask again in a minute.")
