"""How a call of Cloudera's API is made: a time limit, patience with what passes by itself, and errors that say what they mean."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from itertools import count
from typing import Any

from core.errors import Unavailable
from core.masking import masked_text
from core.text import plain

PAGE = 100
CONNECT = 5.0  # seconds to reach the API; FTS_CML_SECONDS is for its answer
PATIENCE = 20.0  # seconds that a call is tried again for
PAUSES = (0.5, 1.0, 2.0, 4.0, 8.0)  # seconds between tries; the last one again and again
BUSY = (408, 425, 429)  # statuses below 500 that pass by themselves


class Away(Unavailable):
    """The API does not answer just now; `retry_after` are the seconds that it asked to be left alone for, if it said so."""

    def __init__(self, message: str, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class Missing(ValueError):
    """What was asked for is not there."""


class Declined(ValueError):
    """The API answers that it won't do it, now or later; `status` is HTTP's, 0 when the SDK refused."""

    def __init__(self, message: str, status: int = 0) -> None:
        super().__init__(message)
        self.status = status


class Asking:
    """What asks one project's API; raises Away, Missing, Declined."""

    def __init__(
        self, api: Any, project: str, *, seconds: float = 20.0, patience: float | None = None,
        secrets: list[str] | None = None, sleep: Callable[[float], None] = time.sleep,
    ) -> None:  # fmt: skip
        self.api = api
        self.project = project
        self.limit = (CONNECT, seconds)  # a pair: the SDK takes no other for seconds with a fraction
        self.patience = PATIENCE if patience is None else patience
        self.secrets = secrets or []
        self.sleep = sleep

    def pages(self, what: str, method: str, field: str, *ids: str, **options: Any) -> Iterator[Any]:
        """Everything that is listed, page by page."""
        token: dict[str, Any] = {}
        while True:
            page = self.ask(what, method, *ids, page_size=PAGE, **options, **token)
            yield from getattr(page, field) or []
            if not page.next_page_token or page.next_page_token == token.get("page_token"):
                return
            token = {"page_token": page.next_page_token}

    def gone(self, what: str, method: str, *ids: str) -> None:
        """A call that ends something; no matter if it is gone."""
        try:
            self.ask(what, method, *ids)
        except Missing:
            pass

    def made(self, answer: Any) -> str:
        """The id of what was answered. Without one it is no answer of the API's: something between it and us spoke."""
        if not getattr(answer, "id", None):
            raise Away("Cloudera's API answered without an id; what was asked may be done")
        return str(answer.id)

    def ask(self, what: str, method: str, *values: Any, again: bool = True, **options: Any) -> Any:
        """One call, tried again for a while when that can do no harm."""
        ends = time.monotonic() + self.patience
        for tried in count():
            try:
                return self._once(what, method, *values, **options)
            except Away as error:
                pause = PAUSES[min(tried, len(PAUSES) - 1)]
                wait = pause if error.retry_after is None else max(error.retry_after, 0.1)
                if not again or time.monotonic() + wait > ends:
                    raise
            self.sleep(wait)
        raise AssertionError

    def _once(self, what: str, method: str, *values: Any, **options: Any) -> Any:
        try:
            answer = getattr(self.api, method)(*values, _request_timeout=self.limit, **options)
        # What it raises may be the SDK's, which has a status, its HTTP library's, or its own at what it can't read; and the SDK's
        # carries the whole answer in its text, so it is not shown as a cause.
        except Exception as error:
            raise self._told(what, error) from None
        last = getattr(getattr(self.api, "api_client", None), "last_response", None)
        if last is not None and not _is_json(last.data):
            raise Away(f"Cloudera's API answers something else than JSON when asked for {what}: a gateway's page?")
        return answer

    def _told(self, what: str, error: Exception) -> ValueError:
        """What an error of the SDK's means."""
        status = getattr(error, "status", None) or 0
        reason = masked_text(plain(_reason(error), limit=300), self.secrets)
        if status == 404 and _is_json(getattr(error, "body", None)):  # a gateway before the API has a 404 of its own
            return Missing(f"{what} was not found at Cloudera's{f': {reason}' if reason else ''}")
        if (
            status in (404, *BUSY)
            or status >= 500
            or (not status and not isinstance(error, TypeError | AttributeError))
        ):
            told = f"answers {status}" if status else f"can't be reached ({type(error).__name__})"
            return Away(f"Cloudera's API {told} when asked for {what}{f': {reason}' if reason else ''}", _rest(error))
        hint = "; CDSW_APIV2_KEY may have run out" if status in (401, 403) else ""
        return Declined(f"Cloudera's API declines {what} ({status or type(error).__name__}): {reason}{hint}", status)


def _is_json(body: object) -> bool:
    """Whether the API itself may have answered that: it has a JSON object, or nothing, to say."""
    text = body.decode("utf-8", "replace") if isinstance(body, bytes) else str(body or "")
    return text.lstrip()[:1] in ("", "{", "[")


def _reason(error: Exception) -> str:
    """What the API said of it: its body is JSON with a message, or a page of something before it."""
    reason = str(getattr(error, "reason", None) or "")
    try:
        told = json.loads(getattr(error, "body", None) or "")
        return str(told.get("message") or told.get("error") or reason)
    except (ValueError, AttributeError):
        return reason


def _rest(error: Exception) -> float | None:
    """The seconds of Retry-After; a date is as good as nothing here."""
    headers = getattr(error, "headers", None) or {}
    told = next((value for name, value in headers.items() if str(name).lower() == "retry-after"), None)
    try:
        return min(max(float(told), 0.0), 3600.0) if told is not None else None
    except ValueError:
        return None
