"""What every request passes: it must name this installation as its host and come from its own page, and what goes back
carries headers under which a browser runs nothing but our own files."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from urllib.parse import urlsplit

from fastapi import Request, Response
from fastapi.responses import JSONResponse

LOOPBACK = {"127.0.0.1", "localhost", "::1"}
LARGEST_BODY = 600_000
"""Bytes: the longest text that is read at all, escaped as JSON."""
HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; font-src 'self'; "
        "connect-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
}

Next = Callable[[Request], Awaitable[Response]]


def refuse_strangers(listens_on: str, public_url: str | None) -> Callable[[Request, Next], Awaitable[Response]]:
    """Middleware for an application that listens on `listens_on`; a web server passes it on at `public_url`."""
    public = {urlsplit(public_url).hostname or ""} if public_url else set()
    names = LOOPBACK | {listens_on} | public if listens_on in LOOPBACK else None

    async def middleware(request: Request, call_next: Next) -> Response:
        reason = _reason_against(request, names)
        response = JSONResponse({"sentence": reason}, 403) if reason else await call_next(request)
        for name, value in HEADERS.items():
            response.headers.setdefault(name, value)
        if request.url.path == "/" or request.url.path.startswith("/api/"):
            response.headers["Cache-Control"] = "no-store"
        return response

    return middleware


def with_tls(request: Request, public_url: str | None) -> bool:
    """Whether it came by way of a web server with TLS, which may not say so itself."""
    public = urlsplit(public_url or "")
    return public.scheme == "https" and request.url.hostname == public.hostname


def _reason_against(request: Request, names: set[str] | None) -> str | None:
    """Why this request is refused; None where it is welcome."""
    host = urlsplit(f"//{request.headers.get('host', '')}")
    if names is not None and (host.hostname or "") not in names:
        return "This page is not reached under that name; use the address that the terminal shows."
    if request.method in ("GET", "HEAD", "OPTIONS"):
        return None
    site, origin = request.headers.get("sec-fetch-site"), request.headers.get("origin")
    if site is not None and site != "same-origin":
        return "That came from another site, so nothing was done."
    if origin is not None and urlsplit(origin).netloc != host.netloc:
        return "That came from another site, so nothing was done."
    if not request.headers.get("content-type", "").startswith("application/json"):
        return "Only the page itself can send this."
    length = request.headers.get("content-length", "")
    if not length.isdecimal() or int(length) > LARGEST_BODY:
        return "That is too long to be sent in one piece; send the part that matters most."
    return None
