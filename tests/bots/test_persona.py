"""/persona: what an assistant is told about itself, and from when on a change holds."""

from __future__ import annotations

import pytest

from bots.events import Card, Notice
from store.assistants import LONGEST_PERSONA
from store.tables import Assistant, Version


def card_in(events):
    return next(event for event in events if isinstance(event, Card))


async def serve(database, number):
    async with database.session() as session:
        session.add(Version(assistant_id=1, number=number, state="passed", digest="d", base_model="demo",
                            system_prompt="You are the harbour.", report={}))  # fmt: skip
        (await session.get_one(Assistant, 1)).in_service = number


@pytest.fixture
def operator(ask):
    async def say(text):
        return await ask(text, role="operator")

    return say


async def test_the_untuned_model_takes_it_up_at_once(operator, ask, fake_engine):
    assert card_in(await operator("/persona")).lines[0] == "You are the harbour."
    card = card_in(await operator("/persona You are the keeper.\nBe brief."))
    assert "from now on" in card.title and not card.buttons
    await ask("Hello")
    assert fake_engine.requests[-1][1][0]["content"] == "You are the keeper.\nBe brief."


async def test_a_version_goes_on_with_what_it_was_gated_with(operator, ask, database, fake_engine):
    await serve(database, 1)
    card = card_in(await operator("/persona You are the keeper."))
    assert "from the next version on" in card.title and "harbour@v1" in card.lines[1]
    assert [button.command for button in card.buttons] == ["/retrain"]
    await ask("Hello")
    assert fake_engine.requests[-1][1][0]["content"] == "You are the harbour."
    assert card_in(await operator("/persona")).lines[:2] == (
        "You are the harbour.", "From the next version on it will be: You are the keeper."
    )  # fmt: skip
    assert "already" in card_in(await operator("/persona You are the harbour.")).title


async def test_it_is_bounded_and_members_cannot_change_it(operator, ask, database):
    refused = next(event.text for event in await operator("/persona " + "x" * (LONGEST_PERSONA + 1))
                   if isinstance(event, Notice))  # fmt: skip
    assert "2,001" in refused and "2,000" in refused
    assert "those who look after" in str(await ask("/persona You are mine."))
    async with database.session() as session:
        assert (await session.get_one(Assistant, 1)).system_prompt == "You are the harbour."
