"""The workbench of Cloudera ML that a studio runs in: its pages to link to, and how busy its cluster is.

The older API tells that (v1, which Cloudera's own pages use): HTTP Basic with CDSW_API_KEY, without the SDK. Nothing of it
changes anything, and none of it is needed to run a job: a workbench that has it no longer only tells less.
"""

from __future__ import annotations

import base64
import json
import math
import time
from collections.abc import Callable
from http.client import HTTPException, HTTPResponse
from typing import Any, NamedTuple
from urllib.error import HTTPError, URLError
from urllib.parse import quote, urlsplit
from urllib.request import HTTPRedirectHandler, Request, build_opener

from core.errors import Unavailable
from core.settings import Settings
from core.text import ADDRESS

SECONDS = 5.0  # that an answer may take
LARGEST = 16 << 20  # bytes of an answer
API = "/api/v1/projects"  # what stands in the address of a project's API, and not in its page's


class Cluster(NamedTuple):
    """What is taken of the workbench's cluster, and what it has; memory in GiB. None: not told."""

    cpus: float | None
    cpus_allocatable: float | None
    memory: float | None
    memory_allocatable: float | None
    gpus: float | None
    gpus_allocatable: float | None


def page(text: object) -> str | None:
    """The address of a page, when it is one that a browser may be given; None for all else."""
    return text if isinstance(text, str) and ADDRESS.fullmatch(text) else None


# ─── pages, as far as the environment tells them ──────────────────────────────────────────────────────


def project_page(using: Settings) -> str | None:
    """The project's page."""
    return page((using.cdsw_project_url or "").replace(API, "", 1).rstrip("/"))


def pages(using: Settings) -> dict[str, str]:
    """The project's pages by what is listed there: jobs, experiments, models. Empty where the project's is not known."""
    project = project_page(using)
    return {} if project is None else {"jobs": f"{project}/jobs", "experiments": f"{project}/cmlflow", "models": f"{project}/models"}  # fmt: skip


def experiment_page(using: Settings, id: str) -> str | None:
    """The page of an experiment of MLflow's, by its id there."""
    every = pages(using).get("experiments")
    return every and page(f"{every}/{quote(id, safe='')}")


# ─── what the workbench tells when it is asked: each raises Unavailable ───────────────────────────────


def cluster(using: Settings) -> Cluster:
    """How busy the cluster is, as the project's owner may see it."""
    owner = owner_of(using)
    if owner is None:
        raise Unavailable("PROJECT_OWNER is not set: nobody's usage can be asked for")
    told = _told(using, using.cdsw_api_url, f"users/{quote(owner, safe='')}/resources-usage")
    found = told.get("cluster") if isinstance(told, dict) else None
    names = ("cpu", "cpuAllocatable", "memory", "memoryAllocatable", "nvidiaGPU", "nvidiaGPUAllocatable")
    return Cluster(*(_number(found.get(name)) if isinstance(found, dict) else None for name in names))


def gpu_enabled(using: Settings) -> bool:
    """Whether pods of this workbench may have GPUs at all."""
    told = _told(using, using.cdsw_api_url, "site/config/")
    most = _number(told.get("max_gpu_per_engine")) if isinstance(told, dict) else None
    label = told.get("default_accelerator_label_id") if isinstance(told, dict) else None
    return most is None or most >= 1 or str(label or 0) != "0"


def job_pages(using: Settings) -> dict[str, str]:
    """The pages of the project's jobs, by their ids."""
    told = _told(using, using.cdsw_project_url, "jobs")
    rows = [each for each in told if isinstance(each, dict)] if isinstance(told, list) else []
    found = {str(each.get("public_identifier")): page(each.get("html_url")) for each in rows}
    return {id: url for id, url in found.items() if url is not None}


def owner_of(using: Settings) -> str | None:
    """Whose project it is: PROJECT_OWNER, else as the project's address says."""
    if using.project_owner:
        return using.project_owner
    _, _, behind = (using.cdsw_project_url or "").partition(f"{API}/")
    return behind.partition("/")[0] or None


# ─── asking ───────────────────────────────────────────────────────────────────────────────────────────


class _Stay(HTTPRedirectHandler):
    """Goes nowhere else: the key is for the workbench alone, and a page to log in at is no answer."""

    def redirect_request(self, *given: Any, **more: Any) -> None:
        return None


_OPENER = build_opener(_Stay)


def _told(using: Settings, root: str | None, path: str, clock: Callable[[], float] = time.monotonic) -> Any:
    key = using.cdsw_api_key
    if not root or key is None:
        missing = "CDSW_API_KEY" if root else "CDSW_API_URL or CDSW_PROJECT_URL"
        raise Unavailable(f"the workbench's API v1 can't be asked: {missing} is not set")
    if urlsplit(root).scheme not in ("http", "https"):
        raise Unavailable("the workbench's API v1 can't be asked: CDSW_API_URL and CDSW_PROJECT_URL must be addresses")
    request = Request(f"{root.rstrip('/')}/{path}", headers={"Accept": "application/json"})
    secret = base64.b64encode(f"{key.get_secret_value()}:".encode()).decode()
    request.add_unredirected_header("Authorization", f"Basic {secret}")
    try:
        with _OPENER.open(request, timeout=SECONDS) as answer:
            return json.loads(_read(answer, clock))
    except HTTPError as error:
        error.close()
        hint = "; CDSW_API_KEY may have run out" if error.code in (401, 403) else ""
        raise Unavailable(f"the workbench's API v1 answers {error.code} when asked for {_named(path)}{hint}") from None
    except (URLError, HTTPException, OSError) as error:
        why = str(getattr(error, "reason", None) or error) or type(error).__name__
        raise Unavailable(f"the workbench's API v1 can't be reached ({why})") from None
    except (ValueError, RecursionError):
        raise Unavailable(f"the workbench's API v1 answers no JSON when asked for {_named(path)}") from None


def _read(answer: HTTPResponse, clock: Callable[[], float]) -> bytes:
    """All of it; raises what a slow or endless answer is taken for."""
    until, parts, size = clock() + SECONDS, [], 0
    while part := answer.read1(65_536):
        parts.append(part)
        size += len(part)
        if size > LARGEST:
            raise OSError(f"its answer has more than {LARGEST >> 20} MiB")
        if clock() > until:
            raise OSError(f"its answer takes longer than {SECONDS:g} s")
    return b"".join(parts)


def _named(path: str) -> str:
    """What was asked for, without whose it is."""
    return path.strip("/").rpartition("/")[2]


def _number(value: object) -> float | None:
    try:
        found = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        return None
    return max(0.0, found) if math.isfinite(found) else None
