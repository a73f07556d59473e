"""A POST of JSON to a webhook: no redirects, one bound on all of it, and errors that tell nothing of its URL."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import socket
import ssl
import threading
import time
from contextlib import suppress
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from typing import Any
from urllib.parse import SplitResult, unquote, urlsplit
from urllib.request import getproxies, proxy_bypass

READ = 65_536  # bytes of an answer that are read, and thrown away


class NotTold(Exception):
    """It could not be told; the text names neither the URL nor anything of it, which is a secret, nor what was answered."""


def post(url: str, body: dict[str, Any], secret: str | None, seconds: float) -> None:
    """Post the body; raises NotTold unless the answer is a 2xx."""
    parts = urlsplit(url)
    data = json.dumps(body).encode()
    headers = {
        "Content-Type": "application/json",
        "User-Agent": "fine-tuning-studio",
        "X-FTS-Delivery": str(body["id"]),
    }
    if parts.username is not None:
        headers["Authorization"] = _basic(parts)
    if secret is not None:
        at = str(int(time.time()))
        headers |= {"X-FTS-Timestamp": at, "X-FTS-Signature": f"sha256={signature(secret, at, data)}"}
    try:
        status = _posted(parts, data, headers, seconds)
    except TimeoutError:
        raise NotTold(f"no answer within {seconds:g} s") from None
    except ssl.SSLError as error:
        raise NotTold(f"no safe connection: {error.reason or 'TLS failed'}") from None
    except socket.gaierror:
        raise NotTold("its host's name is not known") from None
    except OSError as error:
        raise NotTold(f"it can't be reached: {error.strerror or type(error).__name__}") from None
    except (HTTPException, ValueError) as error:
        raise NotTold(f"what came was no answer ({type(error).__name__})") from None
    if not 200 <= status < 300:
        hint = "; redirects are not followed" if 300 <= status < 400 else ""
        raise NotTold(f"it answered {status}{hint}")


def signature(secret: str, at: str, data: bytes) -> str:
    """HMAC-SHA256 of the time (unix seconds, as text), a dot and the body, in hexadecimal."""
    return hmac.new(secret.encode(), at.encode() + b"." + data, hashlib.sha256).hexdigest()


def _posted(parts: SplitResult, data: bytes, headers: dict[str, str], seconds: float) -> int:
    """The status that was answered. Bounded as a whole: a server that sends a byte a second holds nobody."""
    connection, target, more = _way(parts, seconds)
    late = threading.Event()

    def cut() -> None:
        late.set()
        if (held := connection.sock) is not None:
            with suppress(OSError):
                held.shutdown(socket.SHUT_RDWR)

    timer = threading.Timer(seconds, cut)
    timer.daemon = True
    timer.start()
    try:
        connection.request("POST", target, data, {**headers, **more})
        answer: HTTPResponse = connection.getresponse()
        answer.read(READ)
    except (OSError, HTTPException):
        if late.is_set():
            raise TimeoutError from None
        raise
    finally:
        timer.cancel()
        connection.close()
    return answer.status


def _way(parts: SplitResult, seconds: float) -> tuple[HTTPConnection, str, dict[str, str]]:
    """The connection, what to ask for on it, and headers for the proxy, if the environment names one."""
    host, port = str(parts.hostname), parts.port
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    proxy = None if proxy_bypass(host) else getproxies().get(parts.scheme)
    if parts.scheme == "https":
        context = ssl.create_default_context()
        if proxy is None:
            return HTTPSConnection(host, port, timeout=seconds, context=context), target, {}
        via = urlsplit(proxy)
        tunnel = HTTPSConnection(str(via.hostname), via.port, timeout=seconds, context=context)
        tunnel.set_tunnel(host, port, _known(via))
        return tunnel, target, {}
    if proxy is None:
        return HTTPConnection(host, port, timeout=seconds), target, {}
    via = urlsplit(proxy)
    whole = parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
    return HTTPConnection(str(via.hostname), via.port, timeout=seconds), whole, _known(via)


def _known(proxy: SplitResult) -> dict[str, str]:
    return {} if proxy.username is None else {"Proxy-Authorization": _basic(proxy)}


def _basic(parts: SplitResult) -> str:
    pair = f"{unquote(parts.username or '')}:{unquote(parts.password or '')}"
    return "Basic " + base64.b64encode(pair.encode()).decode()
