"""The chat page in a real browser."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator
from typing import Any

import pytest
from playwright.async_api import Browser as Chromium
from playwright.async_api import Page, async_playwright, expect
from sqlalchemy import update
from web_server import Site

from bots.web.app import STATUS_EVERY
from serving.status import EngineStatus
from store.assistants import add_assistant
from store.tables import Job, Version

FOUND = next((path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), None)
FLAGS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
]  # fmt: skip
PATIENCE = 20_000
"""Milliseconds."""

pytestmark = pytest.mark.skipif(FOUND is None, reason="no Chromium on this machine")


@pytest.fixture(scope="module")
async def chromium() -> AsyncIterator[Chromium]:
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=FOUND, args=FLAGS)
        yield browser
        await browser.close()


@pytest.fixture
async def page(chromium: Chromium, site: Site) -> AsyncIterator[Page]:
    """An opened page that may not complain: no script error, nothing refused by the content policy."""
    context = await chromium.new_context(viewport={"width": 1000, "height": 760}, reduced_motion="reduce")
    context.set_default_timeout(PATIENCE)
    expect.set_options(timeout=PATIENCE)
    made = await context.new_page()
    complaints: list[str] = []
    made.on("pageerror", lambda error: complaints.append(str(error)))
    made.on("console", lambda line: complaints.append(line.text) if "Content Security" in line.text else None)
    await made.goto(site.address)
    await expect(made.locator("#empty")).to_be_visible()
    yield made
    await context.close()
    assert complaints == []


async def say(page: Page, text: str) -> None:
    await page.fill("#text", text)
    await page.press("#text", "Enter")


def whole_answers(page: Page) -> Any:
    return page.locator(".theirs:not(.streaming) .words")


async def test_a_person_writes_and_reads_an_answer_that_is_still_there_after_a_reload(page):
    await say(page, "Hello")
    await expect(page.locator(".mine")).to_have_text("Hello")
    await expect(whole_answers(page)).to_have_text("Hello there.")
    await expect(page.locator("#spoken")).to_contain_text("Hello there.")
    await page.reload()
    await expect(page.locator(".mine")).to_have_text("Hello")
    await expect(whole_answers(page)).to_have_text("Hello there.")
    await expect(page.locator("#empty")).to_be_hidden()


async def test_a_suggestion_begins_a_conversation(page):
    await page.locator(".suggestion").first.click()
    await expect(whole_answers(page)).to_have_text("Hello there.")


async def test_pieces_appear_while_they_are_said_and_a_reload_in_the_middle_loses_none(page, fake_engine):
    gate = asyncio.Event()
    fake_engine.script = [["One", " two", gate, " three"]]
    await say(page, "Count")
    await expect(page.locator(".streaming .words")).to_have_text("One two")
    await expect(page.locator("#stop")).to_be_visible()
    await page.reload()
    await expect(page.locator(".streaming .words")).to_have_text("One two")
    gate.set()
    await expect(whole_answers(page)).to_have_text("One two three")
    await expect(page.locator("#stop")).to_be_hidden()


async def test_the_stop_button_stops(page, fake_engine):
    fake_engine.script = [["So far", asyncio.Event()]]
    await say(page, "Tell me")
    await expect(page.locator(".streaming .words")).to_have_text("So far")
    await page.click("#stop")
    await expect(whole_answers(page)).to_have_text("So far")
    await expect(page.locator(".actions")).to_contain_text("Stopped here")
    assert fake_engine.running == 0


async def test_again_replaces_the_answer_and_undo_takes_the_exchange_away(page, fake_engine):
    fake_engine.script = [["First"], ["Second"]]
    await say(page, "Question")
    await expect(whole_answers(page)).to_have_text("First")
    await page.click(".again")
    await expect(whole_answers(page)).to_have_text("Second")
    await say(page, "/undo")
    await expect(whole_answers(page)).to_have_count(0)
    await expect(page.locator(".mine:not(.command)")).to_have_count(0)


async def test_a_vote_shows_that_it_stands_also_after_a_reload_and_for_the_keyboard(page):
    await say(page, "Hello")
    good, bad = page.get_by_role("button", name="Good"), page.get_by_role("button", name="Bad")
    await expect(good).to_have_attribute("aria-pressed", "false")
    await good.focus()
    await page.keyboard.press("Enter")
    await expect(good).to_have_attribute("aria-pressed", "true")
    await expect(page.locator("#spoken")).to_contain_text("Noted: good.")
    await page.reload()
    await expect(good).to_have_attribute("aria-pressed", "true")
    await bad.click()
    await expect(bad).to_have_attribute("aria-pressed", "true")
    await expect(good).to_have_attribute("aria-pressed", "false")
    await bad.click()
    await expect(bad).to_have_attribute("aria-pressed", "false")
    await expect(page.locator(".notice")).to_have_count(0)


async def operator_of(page, site):
    await page.goto(f"{site.address}/?again#operator={site.app.state.codes.operator_code()}")
    await expect(page.locator(".notice").last).to_contain_text("signed in as operator")


async def test_an_operator_teaches_a_better_answer_and_takes_it_back(page, site):
    await say(page, "When do you open?")
    await expect(whole_answers(page)).to_have_count(1)
    await expect(page.get_by_role("button", name="Better")).to_have_count(0)
    await operator_of(page, site)
    await page.get_by_role("button", name="Better").click()
    assert await page.input_value("#text") == "/teach When do you open? => "
    await page.keyboard.type("At six.")
    await page.keyboard.press("Enter")
    card = page.locator(".card", has_text="“When do you open?” – “At six.”")
    await expect(card).to_have_count(1)
    await card.get_by_role("button", name="Take it back").click()
    await expect(page.locator(".card h3", has_text="Taken back")).to_have_count(1)
    await expect(page.get_by_role("button", name="Take it back")).to_have_count(0)


async def test_two_versions_answer_in_one_card_and_are_named_after_the_choice(page, site, database, fake_engine):
    async with database.session() as session:
        session.add(Version(assistant_id=1, number=1, state="passed", digest="d", system_prompt="", base_model="demo",
                            report={"samples": []}))  # fmt: skip
    await operator_of(page, site)
    gate = asyncio.Event()
    fake_engine.script = [["At ", gate, "six."], ["At ", gate, "seven."]]
    await say(page, "/compare When do you open?")
    await expect(page.locator(".card h3", has_text="Two versions are answering")).to_have_count(1)
    gate.set()
    card = page.locator(".card", has_text="Which answer is better?")
    await expect(card.locator("dd")).to_have_count(2)
    await card.get_by_role("button", name="A is better").click()
    await expect(page.locator(".card dt").first).to_contain_text("A, ")
    await expect(page.locator(".card")).to_have_count(1)


async def test_buttons_of_a_card_work_again_when_what_was_pressed_did_not_work(page, site, database):
    await operator_of(page, site)
    async with database.session() as session:
        session.add(Version(assistant_id=1, number=1, state="passed", digest="d", system_prompt="", base_model="demo",
                            report={"held_out": {"base": 3.0, "version": 2.0}, "sentence": ""}))  # fmt: skip
    await say(page, "/versions")
    button = page.get_by_role("button", name="Put harbour@v1 into service")
    await expect(button).to_be_enabled()
    async with database.session() as session:
        await session.execute(update(Version).values(state="failed", report={"reasons": ["It is worse."]}))
    await button.click()
    await expect(page.locator(".notice").last).to_contain_text("did not pass its gate")
    await expect(button).to_be_enabled()


async def test_nothing_that_anybody_writes_becomes_markup(page, fake_engine):
    evil = "<img src=x onerror=alert(1)><script>alert(2)</script>"
    fake_engine.script = [[f"**bold** {evil}\n\n- `one`\n- two\n\n```\n{evil}\n```"]]
    await say(page, evil)
    await expect(page.locator(".mine")).to_have_text(evil)
    words = whole_answers(page)
    await expect(words.locator("strong")).to_have_text("bold")
    await expect(words.locator("li")).to_have_count(2)
    await expect(words.locator("pre")).to_have_text(evil)
    assert await page.locator("#log img, #log script").count() == 0


async def test_typing_a_slash_suggests_commands_for_the_keyboard(page):
    await page.locator("#text").press_sequentially("/pr")
    await expect(page.locator("#hints li")).to_have_count(1)
    await page.press("#text", "Tab")
    assert await page.input_value("#text") == "/privacy"
    await page.press("#text", "Enter")
    await expect(page.locator(".card")).to_contain_text("Encrypted")
    await page.locator("#text").press_sequentially("/")
    await page.press("#text", "ArrowDown")
    await expect(page.locator('#hints li[aria-selected="true"]')).to_contain_text("/help")
    await page.press("#text", "Escape")
    await expect(page.locator("#hints")).to_be_hidden()


async def test_while_the_engine_warms_the_page_says_so_and_the_answer_comes_by_itself(page, fake_engine):
    fake_engine.status = EngineStatus("warming", "The engine is warming up.", 20.0)
    await expect(page.locator("#banner")).to_contain_text("warming up. You can write already")
    await say(page, "Hello")
    await expect(page.locator(".notice")).to_contain_text("as soon as it is ready")
    fake_engine.be("ready", "The engine is ready.")
    await expect(whole_answers(page)).to_have_text("Hello there.")
    await expect(page.locator("#banner")).to_be_hidden()
    await expect(page.locator(".notice")).to_have_count(0)


async def test_what_is_amiss_with_a_ready_engine_is_said_quietly_to_operators_and_goes_when_it_is_over(
    page, site, fake_engine
):
    notice = "13 adapters are in use: a larger engine takes its place, and nobody has to wait for it."
    fake_engine.status = EngineStatus("ready", f"The engine is ready. {notice}", 0.0, notice)
    banner = page.locator("#banner")
    await asyncio.sleep(2 * STATUS_EVERY)
    await expect(banner).to_be_hidden()
    assert "adapters" not in (await page.locator("#state").get_attribute("title") or "")
    await operator_of(page, site)
    await expect(banner).to_have_text(notice)
    await expect(page.locator("#state-words")).to_have_text("Ready")
    await expect(page.locator("#banner .spinner")).to_be_hidden()
    quiet = await banner.evaluate("node => getComputedStyle(node).backgroundColor")
    fake_engine.be("unwell", "The engine does not answer.")
    await expect(banner).to_contain_text("does not answer")
    assert await banner.evaluate("node => getComputedStyle(node).backgroundColor") != quiet, "an alarm looks otherwise"
    fake_engine.be("ready", "The engine is ready.")
    await expect(banner).to_be_hidden()


async def test_the_address_from_the_terminal_makes_an_operator_and_the_code_leaves_the_address(page, site, database):
    async with database.session() as session:
        session.add(
            Job(assistant_id=1, state="running", step="learning", asked_by="somebody",
                progress={"fraction": 0.5, "loss": 2.5, "seconds_left": 100})
        )  # fmt: skip
    await page.goto(f"{site.address}/?again#operator={site.app.state.codes.operator_code()}")
    await expect(page.locator(".card progress")).to_have_count(1)
    await expect(page.locator(".card")).to_contain_text("About 2 minutes left")
    assert "operator=" not in page.url
    await page.click("text=Stop learning")
    await expect(page.locator(".notice").last).to_contain_text("Stopping")


async def test_the_header_names_who_one_talks_with_and_lets_one_choose(page, site, database, fake_engine):
    async with database.session() as session:
        await add_assistant(session, "garden", "You are the garden.", "demo")
    await page.goto(f"{site.address}/?assistant=garden")
    await expect(page.locator("#name")).to_have_text("garden")
    await page.click("#menu summary")
    await page.locator("#picker button", has_text="harbour").click()
    await expect(page.locator("#name")).to_have_text("harbour")
    assert page.url.endswith("?assistant=harbour")
    await say(page, "Hello")
    await expect(whole_answers(page)).to_have_text("Hello there.")
    assert fake_engine.requests[0][1][0]["content"] == "You are the harbour."


async def test_a_message_that_did_not_get_through_can_be_sent_again_and_is_answered_once(page, fake_engine):
    await page.route("**/api/messages", lambda route: route.abort())
    await say(page, "Hello")
    await expect(page.locator(".mine .failed")).to_contain_text("connection was lost")
    await page.unroute("**/api/messages")
    await page.click(".resend")
    await expect(whole_answers(page)).to_have_text("Hello there.")
    await expect(page.locator(".mine")).to_have_count(1)
    assert len(fake_engine.requests) == 1


async def test_nothing_is_wider_than_a_phone(page, fake_engine):
    fake_engine.script = [["averyveryverylongword" * 20 + "\n\n```\n" + "code " * 80 + "\n```"]]
    await page.set_viewport_size({"width": 360, "height": 640})
    await say(page, "x" * 300)
    await expect(whole_answers(page)).to_have_count(1)
    await say(page, "/help")
    await expect(page.locator(".commands")).to_be_visible()
    assert await page.evaluate("document.documentElement.scrollWidth") <= 360
    assert await page.evaluate("document.getElementById('scroll').scrollWidth") <= 360
    button = await page.locator("#send").bounding_box()
    assert button is not None and button["width"] >= 40 and button["y"] + button["height"] <= 640


async def test_a_message_over_the_limit_is_counted_and_cannot_be_sent(page):
    await page.fill("#text", "x" * 8001)
    await expect(page.locator("#count")).to_contain_text("8,001 of 8,000")
    await expect(page.locator("#send")).to_be_disabled()
