from __future__ import annotations

import asyncio
import subprocess
import sys

import pytest
from fake_engine import FakeEngine, words
from sqlalchemy import select
from waiting import until
from web_server import Browser, serving

from bots.conversation import Conversation
from bots.web.access import CODE_SECONDS, COOKIE, OperatorCodes, new_session
from bots.web.feed import Feeds
from config.errors import Refused
from store.assistants import add_assistant
from store.tables import Job, Message, WebSession


def text_of(entries):
    return "".join(entry["text"] for entry in entries if entry["kind"] == "piece")


async def said(browser, number):
    """The messages of the history, once there are so many and all are said."""
    items = [item for item in (await browser.history())["items"] if item["kind"] == "message"]
    return items if len(items) == number and all(item["state"] == "said" for item in items) else None


async def test_the_page_is_there_and_a_browser_may_run_nothing_but_our_files(browser, site):
    page = await browser.http.get("/")
    assert page.status_code == 200 and "<textarea" in page.text and "harbour" in page.text
    policy = page.headers["content-security-policy"]
    assert "default-src 'none'" in policy and "unsafe" not in policy
    assert "style=" not in page.text and "onclick" not in page.text and "http://" not in page.text
    for file in ("chat.js", "log.js", "server.js", "hints.js", "markdown.js", "chat.css", "icon.svg"):
        assert (await browser.http.get(f"/static/{file}")).status_code == 200
    assert COOKIE not in page.cookies


async def test_an_answer_is_streamed_and_still_there_after_a_reload(browser):
    assert (await browser.open())["assistant"] == "harbour"
    cursor = (await browser.history())["cursor"]
    assert (await browser.say("Hello")).status_code == 202
    entries = await browser.read_until("done", cursor)
    assert [entry["kind"] for entry in entries] == ["heard", "piece", "piece", "answer", "card", "done"]
    assert text_of(entries) == entries[3]["text"] == "Hello there."
    assert entries[4]["title"] == "May I learn from what you write here?"
    items = await said(browser, 2)
    assert [(item["role"], item["text"]) for item in items] == [("user", "Hello"), ("assistant", "Hello there.")]


async def test_a_dropped_connection_resumes_where_it_was_without_loss_or_repetition(browser, fake_engine):
    gate = asyncio.Event()
    fake_engine.script = [["One", " two", gate, " three", " four"]]
    await browser.open()
    cursor = (await browser.history())["cursor"]
    await browser.say("Count")
    before = await browser.read_until("piece", cursor)
    gate.set()
    after = await browser.read_until("done", resume=True)
    assert text_of(before) + text_of(after) == "One two three four"


async def test_a_reload_in_the_middle_of_an_answer_shows_all_of_it(browser, fake_engine):
    gate = asyncio.Event()
    fake_engine.script = [["One", " two", gate, " three"]]
    await browser.open()
    cursor = (await browser.history())["cursor"]
    await browser.say("Count")
    async with asyncio.timeout(20):
        pieces = 0
        stream = browser.entries(cursor)
        async for entry in stream:
            pieces += entry["kind"] == "piece"
            if pieces == 2:
                break
        await stream.aclose()
    past = await browser.history()
    assert past["items"][-1]["state"] == "open"
    gate.set()
    entries = await browser.read_until("done", past["cursor"])
    assert text_of(entries) == "One two three"


async def test_an_answer_that_nobody_waits_for_is_finished_all_the_same(browser, fake_engine):
    gate = asyncio.Event()
    fake_engine.script = [[gate, "Here", " you are."]]
    await browser.open()
    await browser.say("Hello")
    gate.set()
    items = await until(lambda: said(browser, 2))
    assert items[1]["text"] == "Here you are."


async def test_a_cursor_of_an_earlier_process_is_told_to_read_the_history_again(browser):
    await browser.open()
    assert [entry["kind"] for entry in await browser.read_until("refresh", "0badcafe.3")] == ["refresh"]
    assert (await browser.read_until("refresh", "nonsense"))[0]["kind"] == "refresh"


async def test_after_a_restart_the_conversation_goes_on_and_what_was_left_is_answered(
    conversation, database, settings, fake_engine
):
    fake_engine.script = [["First."], [asyncio.Event()]]
    async with serving(conversation) as site:
        browser = Browser(site.address)
        await browser.open()
        cursor = (await browser.history())["cursor"]
        await browser.say("One", "m-00000001")
        await browser.read_until("done", cursor)
        await browser.say("Two", "m-00000002")
        await until(lambda: len(fake_engine.requests) == 2)
        cookies = browser.http.cookies
        await browser.http.aclose()
    engine = FakeEngine([["Second."]])
    async with serving(Conversation(database, settings, engine, words)) as site:
        browser = Browser(site.address)
        browser.http.cookies = cookies
        await browser.open()
        items = await until(lambda: said(browser, 4))
        assert [item["text"] for item in items] == ["One", "First.", "Two", "Second."]
        assert [m["content"] for m in engine.requests[0][1][1:]] == ["One", "First.", "Two"]
        await browser.http.aclose()


async def test_sending_the_same_message_twice_answers_it_once(browser, fake_engine):
    await browser.open()
    cursor = (await browser.history())["cursor"]
    await browser.say("Hello", "m-same-same")
    await browser.read_until("answer", cursor)
    assert (await browser.say("Hello", "m-same-same")).status_code == 202
    await browser.say("Last", "m-other-one")
    await until(lambda: len(fake_engine.requests) == 2)
    assert [request[1][-1]["content"] for request in fake_engine.requests] == ["Hello", "Last"]


async def test_two_browsers_do_not_see_each_other(browser, site):
    other = Browser(site.address)
    await browser.open()
    await other.open()
    cursor = (await browser.history())["cursor"]
    await browser.say("A secret")
    await browser.read_until("done", cursor)
    assert (await other.history())["items"] == []
    await other.http.aclose()


async def test_without_a_session_nothing_is_told(site):
    stranger = Browser(site.address)
    for path in ("/api/history", "/api/stream"):
        answer = await stranger.http.get(path)
        assert answer.status_code == 403 and answer.json()["sentence"]
    assert (await stranger.say("Hello")).status_code == 403
    stranger.http.cookies.set(COOKIE, "forged")
    assert (await stranger.http.get("/api/history")).status_code == 403
    await stranger.http.aclose()


async def test_the_cookie_cannot_be_read_by_scripts_and_its_token_is_not_in_the_database(browser, database):
    answer = await browser.http.post("/api/session", json={})
    header = answer.headers["set-cookie"].lower()
    assert "httponly" in header and "samesite=strict" in header
    async with database.session() as session:
        row = await session.scalar(select(WebSession))
    assert browser.http.cookies[COOKIE] not in (row.token_digest, row.public_id)


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://elsewhere.example"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Content-Type": "text/plain"},
    ],
)
async def test_a_request_from_another_site_does_nothing(browser, database, headers):
    await browser.open()
    sent = {"Content-Type": "application/json"} | headers
    answer = await browser.http.post("/api/messages", content='{"text": "Hi", "id": "m-00000001"}', headers=sent)
    assert answer.status_code == 403 and answer.json()["sentence"]
    async with database.session() as session:
        assert await session.scalar(select(Message)) is None


async def test_a_name_that_another_site_points_at_this_machine_is_refused(browser):
    answer = await browser.http.get("/", headers={"Host": "rebound.example"})
    assert answer.status_code == 403


async def test_a_message_of_100000_characters_gets_a_sentence(browser, database):
    await browser.open()
    answer = await browser.say("é" * 100_000)
    assert answer.status_code == 400 and "100,000" in answer.json()["sentence"]
    answer = await browser.say("é" * 500_000)
    assert answer.status_code in (400, 403) and answer.json()["sentence"]
    async with database.session() as session:
        assert await session.scalar(select(Message)) is None


async def test_what_is_not_a_message_gets_a_sentence(browser):
    await browser.open()
    for body in ("[]", "{", '{"text": 3, "id": "m-00000001"}', '{"text": "a", "id": "../../etc"}'):
        answer = await browser.http.post("/api/messages", content=body, headers={"Content-Type": "application/json"})
        assert answer.status_code == 400 and "reload" in answer.json()["sentence"]


async def test_too_many_messages_in_a_minute_get_a_sentence(browser):
    await browser.open()
    answers = [await browser.say("/stop", f"m-stop-{at:04d}") for at in range(45)]
    assert answers[0].status_code == 202
    assert answers[-1].status_code == 403 and "faster" in answers[-1].json()["sentence"]


async def test_the_code_makes_an_operator_once(browser, site):
    assert (await browser.open())["role"] == "member"
    code = site.app.state.codes.operator_code()
    assert (await browser.http.post("/api/operator", json={"code": "AAAA-AAAA"})).status_code == 403
    found = await browser.http.post("/api/operator", json={"code": code.lower().replace("-", " ")})
    assert found.json()["role"] == "operator"
    assert "retrain" in [command["name"] for command in found.json()["commands"]]
    assert (await browser.open())["role"] == "operator"
    other = Browser(site.address)
    await other.open()
    assert (await other.http.post("/api/operator", json={"code": code})).status_code == 403
    assert (await other.open())["role"] == "member"
    await other.http.aclose()


async def test_a_code_can_be_asked_for_but_shows_in_the_terminal_alone(browser, site):
    await browser.open()
    answer = await browser.http.post("/api/operator/code", json={})
    assert len(site.codes) == 1 and site.codes[0] not in answer.text
    assert (await browser.http.post("/api/operator/code", json={})).status_code == 403
    assert (await browser.http.post("/api/operator", json={"code": site.codes[0]})).json()["role"] == "operator"


async def test_a_visitor_who_asks_for_codes_takes_nobody_s_away(browser, database):
    time = [0.0]
    codes = OperatorCodes(database, clock=lambda: time[0])
    _, session = await new_session(database)
    printed = codes.operator_code()  # in the terminal's link
    for moment in (31, 62, CODE_SECONDS - 1):
        time[0] = moment
        codes.check_asking()
        assert codes.operator_code() == printed
        with pytest.raises(Refused, match="a moment ago"):
            codes.check_asking()
    time[0] = CODE_SECONDS
    await codes.redeem(session, printed)
    fresh = codes.operator_code()
    assert fresh != printed  # each works once
    time[0] += CODE_SECONDS + 1
    assert codes.operator_code() != fresh  # and is no older than it may be, however often it was shown


async def test_codes_grow_old_and_guessing_is_slowed(database):
    time = [0.0]
    codes = OperatorCodes(database, clock=lambda: time[0])
    _, session = await new_session(database)
    code = codes.operator_code()
    for _ in range(5):
        with pytest.raises(Refused, match="does not work"):
            await codes.redeem(session, "WRONG")
    with pytest.raises(Refused, match="wait a minute"):
        await codes.redeem(session, code)
    time[0] = 61
    await codes.redeem(session, code)
    late = codes.operator_code()
    time[0] += CODE_SECONDS + 1
    with pytest.raises(Refused, match="does not work"):
        await codes.redeem(session, late)
    with pytest.raises(Refused, match="does not work"):
        await OperatorCodes(database).redeem(session, "")


async def test_a_member_chooses_who_to_talk_with(browser, database, fake_engine):
    async with database.session() as session:
        await add_assistant(session, "garden", "You are the garden.", "demo")
    found = await browser.open(assistant="garden")
    assert found["assistant"] == "garden" and found["assistants"] == ["garden", "harbour"]
    cursor = (await browser.history())["cursor"]
    await browser.say("Hello")
    await browser.read_until("done", cursor)
    assert fake_engine.requests[0][1][0]["content"] == "You are the garden."
    assert (await browser.open())["assistant"] == "garden"
    found = await browser.open(assistant="nobody")
    assert found["assistant"] == "garden" and "no assistant" in found["sentence"]
    assert (await browser.http.post("/api/assistant", json={"assistant": "harbour"})).json()["assistant"] == "harbour"


async def test_the_engine_state_is_told_while_it_warms(browser, fake_engine):
    fake_engine.be("warming", "The engine is warming up.")
    assert (await browser.http.get("/api/status")).json() == {
        "state": "warming", "sentence": "The engine is warming up.", "notice": "", "seconds_left": 20,
    }  # fmt: skip
    assert (await browser.open())["status"]["state"] == "warming"


async def test_cards_and_notices_are_shown_again_after_a_reload_in_their_place(browser):
    await browser.open()
    cursor = (await browser.history())["cursor"]
    await browser.say("One", "m-00000001")
    await browser.read_until("done", cursor)
    for at, text in enumerate(("/privacy", "/help", "Two")):
        cursor = (await browser.history())["cursor"]
        await browser.say(text, f"m-1000000{at}")
        await browser.read_until("done", cursor)
    kinds = [item["kind"] for item in (await browser.history())["items"]]
    assert kinds == ["message", "message", "card", "card", "card", "message", "message"]
    cursor = (await browser.history())["cursor"]
    await browser.say("/reset", "m-20000000")
    entries = await browser.read_until("done", cursor)
    removed = next(entry for entry in entries if entry["kind"] == "removed")
    assert removed["until"] is not None
    assert [item["kind"] for item in (await browser.history())["items"]] == ["notice"]


async def test_an_operator_who_opens_the_page_sees_a_job_that_is_under_way(browser, site, database):
    async with database.session() as session:
        session.add(
            Job(assistant_id=1, state="running", step="learning", asked_by="somebody",
                progress={"fraction": 0.5, "loss": 2.5, "seconds_left": 100, "sentence": "Learning"})
        )  # fmt: skip
    await browser.open()
    cursor = (await browser.history())["cursor"]
    await browser.say("Hello")
    await browser.read_until("done", cursor)
    site.app.state.hub.feeds = Feeds()  # as after a restart
    await browser.http.post("/api/operator", json={"code": site.app.state.codes.operator_code()})
    card = (await browser.read_until("card", f"{site.app.state.hub.feeds.boot}.0"))[-1]
    assert 0.4 < card["bar"] < 0.5 and "About 2 minutes left" in " ".join(card["lines"])
    await browser.open()
    kinds = [item["kind"] for item in (await browser.history())["items"]]
    assert kinds == ["message", "message", "notice", "card"]


def test_importing_the_page_loads_no_model_library():
    code = (
        "import sys, bots.web.app\n"
        "heavy = {'torch', 'transformers', 'vllm', 'peft', 'tokenizers'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
