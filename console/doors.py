"""One port, two doors: the pages for people with a browser, `/v1` for programs with a key.

Promises that neither sees what is meant for the other: no cookie and no page's rule counts at `/v1`, and no key at the
pages. What a program asks is one request, under its own `X-Request-Id` where it is plain, and the answer names it.
Starting and stopping is the pages' affair.
"""

from __future__ import annotations

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from config.request import working_for
from config.traces import span
from serving.gateway.app import PATH

REQUEST_ID = "X-Request-Id"


def doors(pages: ASGIApp, gateway: ASGIApp) -> ASGIApp:
    """Both as one application."""

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        path = scope.get("path", "")
        if scope["type"] == "http" and (path == PATH or path.startswith(f"{PATH}/")):
            await _as_one_request(gateway, scope, receive, send)
        else:
            await pages(scope, receive, send)

    return application


async def _as_one_request(gateway: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
    given = Headers(scope=scope).get(REQUEST_ID)
    with working_for("gateway", given) as request, span("gateway", request=request.id):

        async def named(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message)[REQUEST_ID] = request.id
            await send(message)

        await gateway(scope, receive, named)
