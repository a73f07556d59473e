"""What is wrong with a request, told as OpenAI's clients expect it."""

from __future__ import annotations

from typing import Any

from starlette.responses import JSONResponse


class ApiError(Exception):
    """A request that is not answered. `kind` and `code` are OpenAI's `type` and `code`; `param` is the field that is wrong."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        kind: str = "invalid_request_error",
        code: str | None = None,
        param: str | None = None,
        headers: dict[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status, self.message, self.headers = status, message, headers
        self.kind, self.code, self.param = kind, code, param

    @property
    def body(self) -> dict[str, Any]:
        """The error as it travels."""
        return {"error": {"message": self.message, "type": self.kind, "param": self.param, "code": self.code}}

    def response(self) -> JSONResponse:
        """The whole answer."""
        return JSONResponse(self.body, self.status, headers=self.headers)


def wrong_key() -> ApiError:
    """Nobody is let in without the key."""
    text = "the key is missing or wrong: send the one that the endpoint's start told, as 'Authorization: Bearer KEY'"
    return ApiError(401, text, code="invalid_api_key", headers={"WWW-Authenticate": "Bearer"})


def no_such_model(name: str, names: list[str]) -> ApiError:
    """The endpoint does not answer to that name."""
    text = f"there is no model {name[:200]!r} here; there is {', '.join(names)}"
    return ApiError(404, text, code="model_not_found", param="model")


def too_many(limit: int) -> ApiError:
    """As many requests are being answered as the endpoint takes at once."""
    text = f"{limit} requests are being answered, more than that are not taken at once: come again"
    return ApiError(429, text, kind="rate_limit_error", code="too_many_requests", headers={"Retry-After": "1"})


def stopping() -> ApiError:
    """The endpoint ends."""
    return ApiError(503, "the endpoint is stopping", kind="server_error", code="stopping", headers={"Retry-After": "5"})


def too_long(room: int, prompt: int, new: int) -> ApiError:
    """Prompt and answer have no room in the model."""
    text = f"the model has room for {room} tokens: the prompt has {prompt}, and {new} are to be made"
    return ApiError(400, text, code="context_length_exceeded", param="messages")


def failed(error: BaseException) -> ApiError:
    """The model, or what runs it, failed: its own words are in the job's log."""
    text = f"the answer failed ({type(error).__name__}); the endpoint's log tells why"
    return ApiError(500, text, kind="server_error", code="internal_error")
