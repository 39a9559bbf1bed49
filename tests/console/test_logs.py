"""What is in the log of everything that happens to a message, and what is not."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from pathlib import Path

import pytest
import structlog
from fake_engine import FakeEngine, words
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from bots.conversation import Conversation
from bots.incoming import Incoming
from config.errors import EngineUnavailable, Refused
from config.request import working_for
from console.logs import log_to, trace_of
from serving.router import set_route
from store.assistants import add_assistant

SECRET = "the treasure lies under the third lamp"
TOKEN = "123456789:AAFakeFakeFakeFakeFakeFakeFakeFake123"


@pytest.fixture
def log_file(tmp_path):
    """The log at its most talkative; how logging was before is so again afterwards."""
    root = logging.getLogger()
    before = root.handlers[:], root.level
    file = tmp_path / "parlance.log"
    log_to(file, "debug", "json")
    yield file
    for handler in root.handlers:
        handler.close()
    root.handlers[:], root.level = before
    structlog.reset_defaults()


def lines(file):
    return [json.loads(line) for line in file.read_text().splitlines()]


@pytest.fixture
async def conversation(database, settings):
    async with database.session() as session:
        await add_assistant(session, "harbour", "You are the harbour.", "demo")
        await set_route(session, "default", "", "harbour")
    made = Conversation(database, settings, FakeEngine(), words)
    yield made
    await made.close()


async def say(conversation, words, number, **more):
    given = {"account": "web", "channel": "web:a", "author_id": "1", "author": SECRET, "role": "operator"} | more
    return [event async for event in conversation.handle(Incoming(text=words, external_id=f"m{number}", **given))]


async def test_whatever_becomes_of_a_message_none_of_its_words_are_in_the_log(conversation, database, log_file):
    engine = conversation.engine
    engine.script = [
        [SECRET],
        [EngineUnavailable("The engine broke off.")],
        [EngineUnavailable("The engine broke off.")],
        [ValueError(f"cannot encode {SECRET!r}")],
        [Refused(f"No {SECRET}.")],
        [SECRET],
    ]
    every = [
        SECRET, SECRET, SECRET, SECRET, f"/persona {SECRET}", f"/teach {SECRET} = {SECRET}", f"/{SECRET}",
        f"/assistant {SECRET}", f"/vote {SECRET}", f"/operator {SECRET}", f"/retrain {SECRET}", SECRET * 400, "",
    ]  # fmt: skip
    for number, said in enumerate(every):
        await say(conversation, said, number)
    async with database.session() as session:
        await session.execute(text("ALTER TABLE messages RENAME TO gone"))
    await say(conversation, SECRET, 99)
    kept = log_file.read_text()
    assert [line["event"] for line in lines(log_file)].count("answer_failed") >= 2
    assert "message_failed" in kept and "OperationalError" in kept
    assert "treasure" not in kept and "lamp" not in kept


async def test_a_failed_statement_does_not_quote_what_was_to_be_written(database):
    with pytest.raises(SQLAlchemyError) as caught:
        async with database.session() as session:
            await session.execute(text("INSERT INTO nowhere VALUES (:said)"), {"said": SECRET})
    assert SECRET not in str(caught.value)


async def test_all_lines_of_a_message_have_its_id_and_no_others_do(conversation, log_file):
    conversation.engine.script = [[ValueError("no")], [ValueError("no")]]
    await say(conversation, "One", 1)
    await say(conversation, "Two", 2)
    with working_for("gateway", "their-own-id"):
        await say(conversation, "Three", 3)
    structlog.get_logger("console.platform").info("something else")
    found = [line.get("request") for line in lines(log_file)]
    assert len(set(found)) == len(found) == 4 and found[2:] == ["their-own-id", None]


def test_a_line_says_when_what_where_and_how_bad_whoever_wrote_it(log_file):
    structlog.get_logger("bots.presenter").warning("channel_gone", channel="web:a")
    logging.getLogger("serving.supervisor").warning("the engine ended; see %s", "engine.log")
    logging.getLogger("asyncio").error("Task exception was never retrieved")
    for line in lines(log_file):
        assert {"timestamp", "event", "logger", "level"} <= set(line)
    assert [line["event"] for line in lines(log_file)][1] == "the engine ended; see engine.log"


def test_libraries_are_heard_from_a_warning_on(log_file):
    for library in ("httpx", "aiosqlite", "telegram.Bot", "openai", "sqlalchemy.engine", "anything"):
        logging.getLogger(library).info(SECRET)
        logging.getLogger(library).debug(SECRET)
    logging.getLogger("bots.anything").debug("ours")
    assert [line["event"] for line in lines(log_file)] == ["ours"]


def test_of_an_error_the_log_has_kind_and_place_and_not_its_words(log_file):
    log = structlog.get_logger("bots.presenter")

    def fails():
        raise KeyError(SECRET)

    try:
        try:
            fails()
        except KeyError as error:
            raise ValueError(f"{SECRET} again") from error
    except ValueError as error:
        log.exception("broke")
        log.error("broke", exc_info=error)
        logging.getLogger("asyncio").error("broke", exc_info=True)
        group = ExceptionGroup(SECRET, [error, OSError(28, "No space left on device")])
    traces = [line["trace"] for line in lines(log_file)]
    assert len(traces) == 3
    for trace in traces:
        assert "builtins.KeyError" in trace and "builtins.ValueError" in trace and "in fails" in trace
        assert trace.index("KeyError") < trace.index("which led to") < trace.rindex("ValueError")
    assert "No space left" in trace_of(group) and "treasure" not in log_file.read_text() + trace_of(group)


@pytest.mark.parametrize("form", ["json", "text"])
def test_a_bot_s_token_never_reaches_the_file_whoever_logs_it(log_file, form):
    log_to(log_file, "info", form)
    structlog.get_logger("bots.anything").warning("called", address=f"https://api.example/bot{TOKEN}/getMe")
    logging.getLogger("aiohttp.client").warning("could not reach %s", f"https://api.example/bot{TOKEN}/getMe")
    kept = log_file.read_text()
    assert kept.count("api.example") == 2 and TOKEN not in kept and TOKEN.split(":")[1] not in kept


def test_as_text_a_line_can_be_read_as_it_stands(log_file):
    log_to(log_file, "info", "text")
    with working_for("chat", "an-id"):
        structlog.get_logger("bots.presenter").warning("channel_gone", channel="web:a")
    line = log_file.read_text()
    assert "level=warning event=channel_gone" in line and "channel=web:a" in line and "request=an-id" in line


def test_only_its_owner_reads_the_log_of_a_command(home: Path):
    subprocess.run([sys.executable, "-m", "console.cli", "assistant", "list"], check=True, capture_output=True)
    for file in (home / "logs").iterdir():
        assert file.stat().st_mode & 0o077 == 0
