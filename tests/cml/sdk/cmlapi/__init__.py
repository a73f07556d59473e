"""A thin client with the names of Cloudera's SDK (cmlapi 24.05), for tests where that can't be installed.

It is as strict as the SDK is, and has its traps: a field or an argument that the SDK does not know is refused, a time limit
counts only as a whole number or a pair, and urllib3 asks again by itself as the SDK has it do.
"""

from __future__ import annotations

import json
import os
from datetime import datetime
from functools import partial
from types import SimpleNamespace
from typing import Any
from urllib.parse import quote, urlencode, urlparse

import urllib3

from cmlapi.calls import BODY, CALLS, PAGED
from cmlapi.fields import TYPES
from cmlapi.rest import ApiException

__all__ = ["ApiException", "CMLServiceApi", "default_client", *TYPES]


class Typed:
    """An object of the API: every field that its type has, None where nothing is known."""

    attribute_map: dict[str, str]

    def __init__(self, **values: Any) -> None:
        if unknown := values.keys() - self.attribute_map.keys():
            raise TypeError(
                f"{type(self).__name__}.__init__() got an unexpected keyword argument {sorted(unknown)[0]!r}"
            )
        for name in self.attribute_map:
            setattr(self, name, values.get(name))

    def to_dict(self) -> dict[str, Any]:
        """Its fields, those of what it holds too."""
        return {name: _plain(getattr(self, name)) for name in self.attribute_map}

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.to_dict()})"


def _kinds(declared: str) -> dict[str, str]:
    return {name: kind for name, _, kind in (each.partition(":") for each in declared.split())}


KINDS = {name: _kinds(declared) for name, declared in TYPES.items()}
CLASSES = {
    name: type(name, (Typed,), {"attribute_map": {each: each for each in kinds}}) for name, kinds in KINDS.items()
}
globals().update(CLASSES)


def _plain(value: Any) -> Any:
    if isinstance(value, list):
        return [_plain(each) for each in value]
    return value.to_dict() if isinstance(value, Typed) else value


def _read(value: Any, kind: str) -> Any:
    """What came, as its type. What the type does not know is dropped, as the SDK drops it."""
    if value is None or kind in {"", "object"}:
        return value
    if kind.startswith("["):
        return [_read(each, kind[1:-1]) for each in value]
    if kind == "date":
        return datetime.fromisoformat(value)
    if kind in {"int", "float"}:
        return int(value) if kind == "int" else float(value)
    return CLASSES[kind](**{name: _read(value.get(name), each) for name, each in KINDS[kind].items()})


def _written(value: Any) -> Any:
    """A request's body: fields that are None are not sent."""
    if isinstance(value, Typed):
        value = {name: getattr(value, name) for name in value.attribute_map if getattr(value, name) is not None}
    if isinstance(value, dict):
        return {name: _written(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_written(each) for each in value]
    return value.isoformat() if isinstance(value, datetime) else value


class CMLServiceApi:
    """The calls of `calls.py` as methods."""

    def __init__(self, host: str, key: str) -> None:
        self.host = host
        self.headers = {
            "authorization": f"Bearer {key}",
            "User-Agent": "Swagger-Codegen/24.05.20/python",
            "Accept": "application/json",
            "Content-Type": "application/json",
        }
        # Where the SDK keeps its pool of connections, and threads for calls that are not waited for.
        pool = SimpleNamespace(close=lambda: None)
        self.api_client = SimpleNamespace(
            rest_client=SimpleNamespace(pool_manager=urllib3.PoolManager(maxsize=4)), pool=pool, last_response=None
        )

    def __getattr__(self, name: str) -> Any:
        if name not in CALLS:
            raise AttributeError(f"'CMLServiceApi' object has no attribute '{name}'")
        return partial(self._call, name)

    def _call(self, name: str, *given: Any, _request_timeout: Any = None, **options: Any) -> Any:
        verb, path, kind = CALLS[name]
        wanted = (["body"] if name.startswith(BODY) else []) + [part.split("}")[0] for part in path.split("{")[1:]]
        values = dict(zip(wanted, given, strict=False))
        values |= {each: options.pop(each) for each in wanted if each in options}
        for each in wanted:
            if values.get(each) is None:
                raise ValueError(f"Missing the required parameter `{each}` when calling `{name}`")
        if unknown := options.keys() - (set(PAGED) if name.startswith("list_") else set()):
            raise TypeError(f"Got an unexpected keyword argument '{sorted(unknown)[0]}' to method {name}")
        body = _written(values.pop("body", {}))
        return _read(self._ask(verb, _filled(path, values), options, body, _request_timeout), kind)

    def _ask(self, verb: str, path: str, query: dict[str, Any], body: Any, limit: Any) -> Any:
        timeout = None
        if isinstance(limit, int):
            timeout = urllib3.Timeout(total=limit)
        elif isinstance(limit, tuple):
            timeout = urllib3.Timeout(connect=limit[0], read=limit[1])
        url = self.host + path + ("?" + urlencode(query) if query else "")
        sent = None if verb == "GET" else json.dumps(body)
        manager = self.api_client.rest_client.pool_manager
        answer = manager.request(verb, url, body=sent, headers=self.headers, timeout=timeout)
        if not 200 <= answer.status <= 299:
            raise ApiException(http_resp=answer)
        self.api_client.last_response = SimpleNamespace(status=answer.status, data=answer.data.decode())
        try:
            return json.loads(answer.data)
        except ValueError:
            return {}  # a gateway's page: the SDK makes an object of it that knows nothing


def _filled(path: str, values: dict[str, Any]) -> str:
    for name, value in values.items():
        path = path.replace("{" + name + "}", quote(str(value), safe=""))
    return path


def default_client(url: str | None = None, cml_api_key: str | None = None) -> CMLServiceApi:
    """A client of the API that is named, or that CDSW_API_URL and CDSW_APIV2_KEY name; ValueError when these are missing."""
    if url is None:
        if "CDSW_API_URL" not in os.environ:
            raise ValueError("Environment variable CDSW_API_URL not set.")
        parsed = urlparse(os.environ["CDSW_API_URL"])
        url = f"{parsed.scheme}://{parsed.netloc}"
    if not url.startswith("http"):
        raise ValueError(f"Protocol missing in url {url}. please specify http or https protocol.")
    key = cml_api_key if cml_api_key is not None else os.environ.get("CDSW_APIV2_KEY")
    if key is None:
        raise ValueError("Environment variable CDSW_APIV2_KEY not set.")
    return CMLServiceApi(url.rstrip("/"), key)
