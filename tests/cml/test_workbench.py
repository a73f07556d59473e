"""What the studio tells of the workbench that it runs in, as the workbench's own API tells it."""

from __future__ import annotations

import base64
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar

import pytest
from pydantic import SecretStr

from actors.answering import answer
from actors.desk import Desk
from core import workbench
from core.errors import Unavailable
from core.settings import Settings
from tests.cml.cloud import OWNER, PROJECT_NAME
from tests.cml.standin import StandIn


@pytest.fixture
def bench(cloudera: StandIn, studio_settings: Settings, desk: Desk) -> StandIn:
    """The stand-in, with a desk whose settings are a pod's."""
    pod = Settings()
    for name in ("cdsw_project_id", "cdsw_project_url", "cdsw_api_url", "cdsw_api_key", "cdsw_apiv2_key", "cdsw_domain", "project_owner"):  # fmt: skip
        setattr(studio_settings, name, getattr(pod, name))
    return cloudera


def ask(desk: Desk, **fields: Any) -> dict[str, Any]:
    reply = answer(desk, "GetWorkbench", fields, None)
    assert reply["ok"], reply
    value: dict[str, Any] = reply["value"]
    return value


def until(desk: Desk, true: Callable[[dict[str, Any]], bool], **fields: Any) -> dict[str, Any]:
    """What is told once it is true."""
    ends = time.monotonic() + 30
    while not true(told := ask(desk, **fields)):
        assert time.monotonic() < ends, told
        time.sleep(0.05)
    return told


def stale(desk: Desk) -> None:
    """Let what is known be too old to be told again without asking."""
    for each in desk.lookouts.values():
        each._asked_at -= 3600


def of_v1(standin: StandIn) -> list[str]:
    return [each.path for each in standin.received if each.path.startswith("/api/v1/")]


def test_outside_a_workbench_nothing_is_known_and_nobody_is_asked(desk: Desk) -> None:
    threads = threading.active_count()
    told = ask(desk, jobs=["a"], experiments=["b"])
    assert {name: value for name, value in told.items() if value} == {}
    assert told["on"] is False and not desk.lookouts and threading.active_count() == threads


LABEL = {
    "id": "7", "label_key": "nvidia.com/gpu.product", "label_value": "A100-\x1b[2J40GB", "availability": True,
    "max_gpu_count": "8", "current_gpu_count": "2", "max_gpu_per_workload": "4",
}  # fmt: skip


def test_the_load_the_owner_the_accelerators_and_the_pages_are_told(bench: StandIn, desk: Desk) -> None:
    bench.cloud.labels = [LABEL]
    told = until(desk, lambda told: bool(told["cluster"] and told["accelerators"] and told["gpu_enabled"] is not None))
    project = f"{bench.cloud.base}/{OWNER}/{PROJECT_NAME}"
    assert (told["on"], told["owner"], told["project_id"], told["project"]) == (True, OWNER, bench.project_id, project)
    assert told["pages"] == {
        "jobs": f"{project}/jobs", "experiments": f"{project}/cmlflow", "models": f"{project}/models"
    }  # fmt: skip
    usage = bench.cloud.usage
    assert told["cluster"] == {
        "cpus": usage["cpu"], "cpus_allocatable": usage["cpuAllocatable"],
        "memory": usage["memory"], "memory_allocatable": usage["memoryAllocatable"],
        "gpus": usage["nvidiaGPU"], "gpus_allocatable": usage["nvidiaGPUAllocatable"],
    }  # fmt: skip
    assert told["accelerators"] == [
        {"id": "7", "name": r"A100-\x1b[2J40GB", "available": True, "gpus_now": 2, "gpus_most": 8, "per_workload": 4}
    ]
    assert told["away"] == []


def test_many_questions_are_one_to_the_workbench_within_half_a_minute(bench: StandIn, desk: Desk) -> None:
    until(desk, lambda told: bool(told["cluster"]) and told["gpu_enabled"] is not None)
    for _ in range(5):
        ask(desk)
    assert len(of_v1(bench)) == 2  # resources-usage and site/config


def test_pages_of_jobs_and_experiments_come_by_id_and_name(bench: StandIn, desk: Desk) -> None:
    id = bench.template("one-job")
    experiment = bench.cloud.state["experiments"]
    experiment["e-1"] = {"id": "e-1", "name": "Run: 7", "artifact_location": "", "created_at": None}
    told = until(
        desk, lambda told: bool(told["jobs"] and told["experiments"]), jobs=[id, "gone"], experiments=["Run: 7", "no"]
    )
    project = f"{bench.cloud.base}/{OWNER}/{PROJECT_NAME}"
    assert told["jobs"] == {id: f"{project}/jobs/{id}"} and told["experiments"] == {"Run: 7": f"{project}/cmlflow/e-1"}


@pytest.mark.parametrize("fault", ["fail", "reset", "never"])
def test_what_was_known_is_told_while_the_older_api_is_away(
    bench: StandIn, desk: Desk, fault: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workbench, "SECONDS", 1.0)
    before = until(desk, lambda told: bool(told["cluster"]))
    stale(desk)
    getattr(bench, fault)(times=9, where="/api/v1/")
    told = until(desk, lambda told: bool(told["away"]))
    assert told["cluster"] == before["cluster"] and told["at"] == before["at"] and told["project"] == before["project"]
    bench.heal()
    stale(desk)
    assert until(desk, lambda told: not told["away"])["at"] >= before["at"]


def test_a_workbench_without_its_older_api_tells_the_rest(bench: StandIn, desk: Desk) -> None:
    bench.fail(404, times=99, where="/api/v1/")
    bench.cloud.labels = [LABEL]
    told = until(desk, lambda told: bool(told["accelerators"]) and len(told["away"]) == 2)
    assert told["cluster"] is None and told["gpu_enabled"] is None
    assert told["away"] == [f"the workbench's API v1 answers 404 when asked for {each}" for each in ("resources-usage", "config")]  # fmt: skip


def test_the_key_goes_as_http_basic_nowhere_else_and_into_no_message(
    bench: StandIn, desk: Desk, studio_settings: Settings
) -> None:
    key = bench.cloud.v1_key
    until(desk, lambda told: bool(told["cluster"]))
    wanted = f"Basic {base64.b64encode(f'{key}:'.encode()).decode()}"
    headers = [{name.lower(): value for name, value in each.headers.items()} for each in bench.received]
    assert {each["authorization"] for each in headers if not each["authorization"].startswith("Bearer")} == {wanted}
    bench.fail(401, times=99, where="/api/v1/")
    stale(desk)
    told = until(desk, lambda told: bool(told["away"]))
    assert "CDSW_API_KEY may have run out" in str(told["away"]) and key not in str(told)


class Door(BaseHTTPRequestHandler):
    """Sends everybody on to where a page is that one logs in at."""

    came: ClassVar[list[str]] = []

    def do_GET(self) -> None:
        self.came.append(self.path)
        self.send_response(302)
        self.send_header("Location", f"http://127.0.0.1:{self.server.server_address[1]}/login")
        self.end_headers()

    def log_message(self, *given: Any) -> None:
        """Nothing."""


def test_an_answer_that_leads_elsewhere_is_no_answer_and_the_key_stays() -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), Door) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        root = f"http://127.0.0.1:{server.server_address[1]}/api/v1"
        using = Settings(CDSW_API_URL=root, CDSW_API_KEY=SecretStr("secret"), PROJECT_OWNER="ada")
        with pytest.raises(Unavailable, match="answers 302"):
            workbench.cluster(using)
        server.shutdown()
    assert Door.came == ["/api/v1/users/ada/resources-usage"]


class Odd(BaseHTTPRequestHandler):
    body: ClassVar[bytes] = b""

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(self.body)

    def log_message(self, *_: object) -> None:
        pass


def test_an_answer_that_is_too_deep_too_large_or_no_number_is_told_as_one_that_is_none(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), Odd) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        root = f"http://127.0.0.1:{server.server_address[1]}/api/v1"
        using = Settings(CDSW_API_URL=root, CDSW_API_KEY=SecretStr("secret"), PROJECT_OWNER="ada")
        monkeypatch.setattr(Odd, "body", b"[" * 100_000)
        with pytest.raises(Unavailable, match="no JSON"):
            workbench.cluster(using)
        monkeypatch.setattr(Odd, "body", b'{"cluster": {"cpu": 1%s, "memory": 2}}' % (b"0" * 400))
        told = workbench.cluster(using)
        monkeypatch.setattr(workbench, "LARGEST", 1_000)
        monkeypatch.setattr(Odd, "body", b" " * 1_000 + b"{}")
        with pytest.raises(Unavailable, match="more than"):
            workbench.cluster(using)
        server.shutdown()
    assert told.cpus is None and told.memory == 2


@pytest.mark.parametrize(
    ("project", "page"),
    [
        ("https://ml.example/api/v1/projects/ada/tuning", "https://ml.example/ada/tuning"),
        ("https://ml.example/api/v1/projects/ada/tuning/", "https://ml.example/ada/tuning"),
        ("file:///etc/passwd", None),
        ("https://ml.example/api/v1/projects/a\x1b]8;;/b", None),
        (None, None),
    ],
)
def test_a_page_is_an_address_that_a_terminal_may_be_given(project: str | None, page: str | None) -> None:
    using = Settings(CDSW_PROJECT_URL=project)
    assert workbench.project_page(using) == page
    assert workbench.experiment_page(using, "a/b?c") == (page and f"{page}/cmlflow/a%2Fb%3Fc")
