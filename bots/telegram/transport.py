"""python-telegram-bot's requests carried by aiohttp, whose parser is in C: a third of the processor time a call.

Promises that an error names what failed and no address, for the Bot API's addresses hold the token. Sends no files.
"""

from __future__ import annotations

import ssl
from functools import cache
from typing import Any
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import aiohttp
import certifi
from telegram.error import NetworkError, TimedOut
from telegram.request import BaseRequest, RequestData

SECONDS = 20.0
"""For an answer to begin, where a call says nothing else."""
CONNECT_SECONDS = 10.0
KEPT_SECONDS = 30.0
"""Before an idle connection is let go; servers do so after a minute or more."""


class NeverSent(NetworkError):
    """There was no connection, so the server cannot have acted."""


class AiohttpRequest(BaseRequest):
    """At most `connections` at once; further calls wait for theirs."""

    def __init__(self, connections: int) -> None:
        self._connections = connections
        self._opened: aiohttp.ClientSession | None = None

    @property
    def read_timeout(self) -> float:
        """Seconds."""
        return SECONDS

    async def initialize(self) -> None:
        """Opens nothing: that is for the first call to do."""

    async def shutdown(self) -> None:
        """Let every connection go."""
        if self._opened is not None:
            await self._opened.close()

    @property
    def _http(self) -> aiohttp.ClientSession:
        if self._opened is None:
            connector = aiohttp.TCPConnector(limit=self._connections, ssl=_trust(), keepalive_timeout=KEPT_SECONDS)
            self._opened = aiohttp.ClientSession(
                connector=connector, headers={"User-Agent": self.USER_AGENT}, trust_env=False, raise_for_status=False
            )
        return self._opened

    async def do_request(
        self,
        url: str,
        method: str,
        request_data: RequestData | None = None,
        read_timeout: Any = BaseRequest.DEFAULT_NONE,
        write_timeout: Any = BaseRequest.DEFAULT_NONE,
        connect_timeout: Any = BaseRequest.DEFAULT_NONE,
        pool_timeout: Any = BaseRequest.DEFAULT_NONE,
    ) -> tuple[int, bytes]:
        """Status and body. Raises NetworkError, of which NeverSent and TimedOut are kinds."""
        seconds = read_timeout if isinstance(read_timeout, int | float) else SECONDS
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_SECONDS, sock_read=seconds)
        parameters = request_data.json_parameters if request_data is not None else None
        try:
            async with self._http.request(
                method, url, data=parameters, timeout=timeout, proxy=_proxy(*urlsplit(url)[:2])
            ) as answer:
                return answer.status, await answer.read()
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
            raise NeverSent(type(error).__name__) from None
        except TimeoutError:
            raise TimedOut from None
        except (aiohttp.ClientError, OSError) as error:
            raise NetworkError(type(error).__name__) from None


@cache
def _proxy(scheme: str, place: str) -> str | None:
    """The proxy that the environment names for this host and port. aiohttp would look for it, and for a netrc file in
    another thread, with every call."""
    return None if proxy_bypass(place) else getproxies().get(scheme)


@cache
def _trust() -> ssl.SSLContext:
    """The machine's authorities and Mozilla's, for some machines bring none."""
    context = ssl.create_default_context()
    context.load_verify_locations(certifi.where())
    return context
