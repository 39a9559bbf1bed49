"""One port, two doors: the pages for people with a browser, `/v1` for programs with a key.

Promises that neither sees what is meant for the other: no cookie and no page's rule counts at `/v1`, and no key at the
pages. Starting and stopping is the pages' affair.
"""

from __future__ import annotations

from starlette.types import ASGIApp, Receive, Scope, Send

from serving.gateway.app import PATH


def doors(pages: ASGIApp, gateway: ASGIApp) -> ASGIApp:
    """Both as one application."""

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        path = scope.get("path", "")
        for_programs = scope["type"] == "http" and (path == PATH or path.startswith(f"{PATH}/"))
        await (gateway if for_programs else pages)(scope, receive, send)

    return application
