"""What a browser, or whoever pretends to be one, can make the page do. Over a real server where bytes matter."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from urllib.parse import urlsplit

import httpx
import pytest
from fastapi.routing import APIRoute
from sqlalchemy import func, select, update
from web_server import serving

from bots.web.access import (
    ALL_TRIES_A_MINUTE,
    COOKIE,
    OPERATOR_DAYS,
    TRIES_A_MINUTE,
    OperatorCodes,
    find_session,
    new_session,
)
from config.errors import Refused
from store.columns import now
from store.tables import Message, WebSession

READING = {"/", "/api/status", "/api/history", "/api/stream"}


def routes(site):
    return [route for route in site.app.routes if isinstance(route, APIRoute)]


async def sessions(database):
    async with database.session() as session:
        return await session.scalar(select(func.count()).select_from(WebSession))


async def raw(site, request):
    """What the server says to these very bytes, up to its headers' end."""
    host, port = site.address.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(request.replace(b"HOST", f"{host}:{port}".encode()))
    async with asyncio.timeout(10):
        answer = await reader.readuntil(b"\r\n\r\n")
    writer.close()
    return answer.decode()


async def test_whatever_can_be_asked_by_get_only_reads(browser, site, database):
    assert {route.path for route in routes(site) if "GET" in route.methods} == READING
    for path in READING - {"/api/stream"}:
        answer = await browser.http.get(path)
        assert "set-cookie" not in answer.headers
    assert await sessions(database) == 0


async def test_nothing_that_changes_something_can_be_asked_from_another_site(browser, site, database):
    await browser.open()
    changing = [(route.path, method) for route in routes(site) for method in route.methods - {"GET"}]
    assert len(changing) >= 5
    for path, method in changing:
        for headers in ({"Origin": "https://elsewhere.example"}, {"Sec-Fetch-Site": "cross-site"}):
            answer = await browser.http.request(method, path, json={}, headers=headers)
            assert answer.status_code == 403 and "another site" in answer.json()["sentence"]
        form = await browser.http.request(method, path, data={"text": "a"})
        assert form.status_code == 403
    assert await sessions(database) == 1


@pytest.mark.parametrize("path", ["/", "/api/status", "/api/history", "/static/chat.js", "/nothing", "/static/nothing"])
async def test_every_answer_forbids_scripts_of_others_frames_and_guessing_of_types(browser, path):
    headers = (await browser.http.get(path)).headers
    policy = headers["content-security-policy"]
    for part in ("default-src 'none'", "script-src 'self'", "frame-ancestors 'none'", "base-uri 'none'", "form-action"):
        assert part in policy
    assert "unsafe" not in policy and "*" not in policy and "http:" not in policy
    assert headers["x-content-type-options"] == "nosniff" and headers["referrer-policy"] == "no-referrer"
    if not path.startswith("/static"):
        assert path == "/nothing" or headers["cache-control"] == "no-store"


@pytest.mark.parametrize(
    "path", ["/static/../app.py", "/static/%2e%2e/app.py", "/static/..%2fapp.py", "/static//etc/passwd", "/static/%00"]
)
async def test_no_file_but_the_page_s_own_can_be_read(site, path):
    answer = await raw(site, f"GET {path} HTTP/1.1\r\nHost: HOST\r\n\r\n".encode())
    assert answer.split()[1] in ("404", "400", "405")


async def test_a_name_in_the_address_is_text_on_the_page(browser):
    page = await browser.http.get("/", params={"assistant": "<script>alert(1)</script>\"'"})
    assert page.status_code == 200 and "<script>alert" not in page.text


async def test_a_body_of_unsaid_or_too_great_length_is_not_read(site, database):
    head = b"POST /api/session HTTP/1.1\r\nHost: HOST\r\nContent-Type: application/json\r\n"
    chunked = await raw(site, head + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n")
    assert chunked.split()[1] == "403"
    huge = await raw(site, head + b"Content-Length: 99999999999\r\n\r\n{}")
    assert huge.split()[1] == "403"
    assert await sessions(database) == 0


@pytest.mark.parametrize("body", ["[" * 200_000, '{"assistant":' * 30_000, "\ud800", '{"assistant": 1e999999}'])
async def test_a_body_made_to_break_readers_is_a_sentence(browser, body):
    content = body.encode("utf-8", "surrogatepass")
    answer = await browser.http.post("/api/session", content=content, headers={"Content-Type": "application/json"})
    assert answer.status_code == 400 and answer.json()["sentence"]


async def test_who_becomes_an_operator_gets_another_cookie_and_the_old_one_is_nobody_s(browser, site, database):
    await browser.open()
    before = browser.http.cookies[COOKIE]
    answer = await browser.http.post("/api/operator", json={"code": site.app.state.codes.operator_code()})
    assert answer.status_code == 200 and "httponly" in answer.headers["set-cookie"].lower()
    assert browser.http.cookies[COOKIE] != before and (await browser.open())["role"] == "operator"
    assert await find_session(database, before) is None


async def test_behind_https_the_cookie_never_goes_without_it(browser):
    answer = await browser.http.post("/api/session", json={}, headers={"X-Forwarded-Proto": "https"})
    assert "; secure" in answer.headers["set-cookie"].lower()


@pytest.mark.parametrize(
    ("public", "secure"), [("https://parlance.example", True), ("http://parlance.example:81", False)]
)
async def test_behind_a_web_server_the_page_is_used_by_the_name_of_the_settings_and_no_other(
    conversation, public, secure
):
    conversation.settings = conversation.settings.model_copy(update={"public_url": public})
    place = urlsplit(public).netloc
    async with serving(conversation) as site:
        through = {"Host": place, "Origin": public, "Sec-Fetch-Site": "same-origin"}
        async with httpx.AsyncClient(base_url=site.address, trust_env=False, headers=through) as http:
            assert (await http.get("/")).status_code == 200
            opened = await http.post("/api/session", json={})
            assert opened.status_code == 200
            assert ("; secure" in opened.headers["set-cookie"].lower()) is secure
            for named in ({"Host": "evil.example"}, {"Origin": "https://evil.example"}):
                refused = await http.post("/api/session", json={}, headers=named)
                assert refused.status_code == 403 and "set-cookie" not in refused.headers
        async with httpx.AsyncClient(base_url=site.address, trust_env=False) as http:
            here = await http.post("/api/session", json={})
            assert here.status_code == 200 and "; secure" not in here.headers["set-cookie"].lower()


async def test_an_operator_s_browser_that_nobody_used_for_long_is_a_member_s_again(database):
    token, session = await new_session(database)
    codes = OperatorCodes(database)
    token = await codes.redeem(session, codes.operator_code())
    for days, role in ((OPERATOR_DAYS - 1, "operator"), (OPERATOR_DAYS + 1, "member"), (0, "member")):
        async with database.session() as changing:
            seen = now() - timedelta(days=days)
            await changing.execute(update(WebSession).values(seen_at=seen))
        found = await find_session(database, token)
        assert found is not None and found.role == role and found.public_id == session.public_id


async def test_who_guesses_codes_is_slowed_and_keeps_nobody_else_out(database):
    moment = [0.0]
    codes = OperatorCodes(database, clock=lambda: moment[0])
    _, session = await new_session(database)
    code = codes.operator_code()
    for _ in range(TRIES_A_MINUTE):
        with pytest.raises(Refused, match="does not work"):
            await codes.redeem(session, "AAAA-AAAA", "203.0.113.7")
    with pytest.raises(Refused, match="wait a minute"):
        await codes.redeem(session, code, "203.0.113.7")
    await codes.redeem(session, code, "192.0.2.1")


async def test_guesses_from_a_thousand_places_are_bounded_too(database):
    moment = [0.0]
    codes = OperatorCodes(database, clock=lambda: moment[0])
    _, session = await new_session(database)
    code = codes.operator_code()
    for at in range(ALL_TRIES_A_MINUTE):
        with pytest.raises(Refused, match="does not work"):
            await codes.redeem(session, "AAAA-AAAA", f"2001:db8::{at:x}")
    with pytest.raises(Refused, match="wait a minute"):
        await codes.redeem(session, code, "192.0.2.1")
    moment[0] = 61.0
    await codes.redeem(session, code, "192.0.2.1")


async def test_new_sessions_of_one_place_are_bounded(browser, database):
    answers = []
    for _ in range(45):
        browser.http.cookies.clear()
        answers.append((await browser.http.post("/api/session", json={})).status_code)
    assert answers.count(200) == 40 == await sessions(database)


async def test_a_session_that_was_made_up_is_none_whatever_it_is(database):
    for token in ("", "x", "' OR 1=1 --", "\x00", "é" * 50, "a" * 10_000):
        assert await find_session(database, token) is None


async def test_what_was_refused_is_not_in_the_database(browser, database):
    await browser.open()
    await browser.http.post("/api/messages", json={"text": "Hello", "id": "m-00000001"}, headers={"Origin": "null"})
    async with database.session() as session:
        assert await session.scalar(select(func.count()).select_from(Message)) == 0
