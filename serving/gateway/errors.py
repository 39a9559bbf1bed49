"""What went wrong, in OpenAI's shape: status, sentence, type, code.

Promises that clients which know OpenAI's errors know ours: which key is wrong, which model is not there, what is too
long, when to try again. Knows no request.
"""

from __future__ import annotations

import math
from typing import Any

from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field

from config.errors import BadInput, Busy, EngineUnavailable, NotFound, ParlanceError, Refused, TooLong

TRY_AGAIN_SECONDS = 5
LONGEST_PAUSE = 60
"""Seconds: OpenAI's own client takes no longer pause for an answer to its question when to come back."""
TOO_LONG = "context_length_exceeded"
"""The code by which clients know that they are to shorten the conversation."""
OURS = "Something went wrong in Parlance itself; its log says more."


class ErrorDetail(BaseModel):
    """What happened and what to do; `param` names the field that is wrong."""

    message: str
    type: str
    param: str | None = Field(json_schema_extra={"default": None})
    code: str | None = Field(json_schema_extra={"default": None})


class ErrorBody(BaseModel):
    """The body of every answer that is not 2xx."""

    error: ErrorDetail


class ApiError(Exception):
    """A refusal with its HTTP `status`; `retry_after` in seconds."""

    def __init__(
        self,
        status: int,
        message: str,
        code: str | None = None,
        *,
        param: str | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.param = param
        self.retry_after = retry_after

    @property
    def kind(self) -> str:
        """OpenAI's word for this sort of error."""
        if self.status == 429:
            return "rate_limit_error"
        return "server_error" if self.status >= 500 else "invalid_request_error"

    def body(self) -> dict[str, Any]:
        """As JSON. What came from outside may hold what is no valid Unicode."""
        message = str(self).encode("utf-8", "replace").decode()
        return {"error": {"message": message, "type": self.kind, "param": self.param, "code": self.code}}

    def response(self, headers: dict[str, str] | None = None) -> JSONResponse:
        """As an answer."""
        sent = dict(headers or {})
        if self.retry_after is not None:
            sent["Retry-After"] = str(min(LONGEST_PAUSE, max(1, math.ceil(self.retry_after))))
        if self.status == 401:
            sent["WWW-Authenticate"] = "Bearer"
        return JSONResponse(self.body(), self.status, sent)


def invalid_key(given: bool) -> ApiError:
    """No key, or none that is one."""
    if not given:
        return ApiError(
            401,
            "There is no API key with this request; send one as “Authorization: Bearer KEY”.",
            "invalid_api_key",
        )
    return ApiError(
        401,
        "This API key is not known here, or was revoked; whoever runs this installation makes a new one with: "
        "parlance key add",
        "invalid_api_key",
    )


def too_long(tokens: int, context: int) -> ApiError:
    """Like OpenAI's own words, which clients look for when they decide to shorten a conversation. `tokens` at least."""
    least = "at least " if tokens > context else ""
    return ApiError(
        400,
        f"This model's maximum context length is {context} tokens, and your messages are {least}{tokens} tokens; "
        "shorten them, so that there is room for an answer.",
        TOO_LONG,
        param="messages",
    )


def translated(error: ParlanceError, seconds_left: float | None = None) -> ApiError:
    """An error of our tree for a client. `seconds_left` until the engine is ready, as far as is known."""
    sentence = str(error)
    if isinstance(error, Busy):
        return ApiError(429, sentence, "rate_limit_exceeded", retry_after=error.seconds)
    if isinstance(error, EngineUnavailable):
        return ApiError(503, sentence, "engine_unavailable", retry_after=seconds_left or TRY_AGAIN_SECONDS)
    if isinstance(error, NotFound | Refused):
        return ApiError(404, sentence, "model_not_found", param="model")
    if isinstance(error, TooLong):
        return ApiError(400, sentence, TOO_LONG, param="messages")
    if isinstance(error, BadInput):
        return ApiError(400, sentence)
    return ApiError(500, OURS)
