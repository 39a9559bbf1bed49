from __future__ import annotations

import httpx
import pytest
from starlette.requests import Request
from starlette.responses import PlainTextResponse

from config.request import current
from console.doors import doors


@pytest.fixture
async def http():
    """Each side says which it is, what it was asked for, and under which request it works."""

    def side(name):
        async def app(scope, receive, send):
            asked = current()
            told = f"{name} {Request(scope).url.path} {asked.origin if asked else None} {asked.id if asked else None}"
            await PlainTextResponse(told)(scope, receive, send)

        return app

    way = httpx.ASGITransport(app=doors(side("pages"), side("gateway")))
    async with httpx.AsyncClient(transport=way, base_url="http://localhost") as made:
        yield made


@pytest.mark.parametrize("path", ["/", "/v10", "/v1x/models", "/api/v1/models", "/V1/models", "/static/../v2"])
async def test_what_is_not_for_programs_goes_to_the_pages(http, path):
    assert (await http.get(path)).text.startswith("pages ")


@pytest.mark.parametrize("path", ["/v1", "/v1/models", "/v1/chat/completions", "/v1/nothing"])
async def test_what_a_program_asks_is_one_request_that_the_answer_names(http, path):
    answer = await http.get(path)
    assert answer.text == f"gateway {path} gateway {answer.headers['x-request-id']}"
    assert (await http.get(path)).headers["x-request-id"] != answer.headers["x-request-id"]
    assert (await http.get(path, headers={"X-Request-Id": "own.7"})).text.endswith(" own.7")
    crooked = await http.get(path, headers={"X-Request-Id": "own 7; x"})
    assert "own" not in crooked.headers["x-request-id"] and "own" not in crooked.text
    assert current() is None
