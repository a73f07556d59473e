"""Inside a workbench of Cloudera ML: its load in the sidebar and on Home, its pages a click or a copy away; outside nothing is asked."""

from __future__ import annotations

import time
from typing import Any

import pytest
from textual.pilot import Pilot

from core.errors import Unavailable
from core.messages.runners import Gpu, RunnerMetadata
from core.messages.workbench import AcceleratorKind, ClusterUse, WorkbenchReply
from tests.tui.fake import FakeStudio, filled
from tests.tui.rows import HOSTILE, NOW, endpoint, job
from tests.tui.test_dashboard import shown, until
from tui import bench
from tui.app import Dashboard
from tui.screens.form import FormScreen
from tui.screens.job import JobScreen
from tui.screens.reading import ReadingScreen
from tui.view import links, workbench
from tui.view.calling import curl, reach
from tui.widgets.banner import Banner

PROJECT = "https://ml.example/ada/tuning"
JOB, PAGE = "aaaa-bbbb-cccc-dddd", f"{PROJECT}/jobs/aaaa-bbbb-cccc-dddd"


def told(**fields: Any) -> WorkbenchReply:
    """A workbench that tells everything."""
    use = {"cpus": 11.5, "cpus_allocatable": 64.0, "memory": 120.0, "memory_allocatable": 512.0, "gpus": 3.0, "gpus_allocatable": 8.0}  # fmt: skip
    known: dict[str, Any] = {
        "on": True,
        "owner": "ada",
        "domain": "studio.example",
        "project_id": "p-1",
        "project": PROJECT,
    }
    known |= {"pages": {name: f"{PROJECT}/{name}" for name in ("jobs", "experiments", "models")}, "gpu_enabled": True}
    known |= {"cluster": ClusterUse(**use), "at": time.time(), "accelerators": [AcceleratorKind(id="7", name="A100", gpus_now=2, gpus_most=8, per_workload=4)]}  # fmt: skip
    return WorkbenchReply(**{**known, **fields})


@pytest.fixture
def studio() -> FakeStudio:
    made = filled()
    made.workbench = told()
    return made


@pytest.fixture
def inside(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CDSW_PROJECT_ID", "p-1")
    monkeypatch.setattr(bench, "FIRST", 0.01)


def asked(studio: FakeStudio) -> list[Any]:
    return [each for each in studio.asked if type(each).__name__ == "GetWorkbench"]


def linked(pilot: Pilot[None]) -> dict[str, str]:
    """What on the screen leads to a page: text -> page."""
    found: dict[str, str] = {}
    for strip in pilot.app.screen._compositor.render_strips():
        for text, style, _ in strip:
            if style is not None and style.link and text.strip():
                found[text.strip()] = style.link
    return found


async def test_outside_of_one_nothing_is_asked_and_nothing_made(studio: FakeStudio) -> None:
    app = Dashboard(make=lambda: studio, page="home")
    async with app.run_test(size=(160, 50)) as pilot:
        await until(pilot, lambda: "adapter-run" in shown(app))
        app.show_job("run")
        await until(pilot, lambda: isinstance(app.screen, JobScreen) and "training" in shown(app))
        assert "bench" not in app.__dict__ and not asked(studio)
        assert "Cloudera" not in shown(app)


@pytest.mark.usefixtures("inside")
async def test_the_sidebar_tells_the_load_and_home_draws_it(studio: FakeStudio) -> None:
    app = Dashboard(make=lambda: studio, page="home")
    async with app.run_test(size=(160, 50)) as pilot:
        await until(pilot, lambda: "CPU 11.5/64  GPU 3/8" in shown(app))
        text = shown(app)
        assert "ada" in text and "studio.example" in text and "memory 120/512 GiB" in text
        await until(pilot, lambda: "Cloudera ML" in shown(app))
        assert "11.5/64 taken" in shown(app) and " 18%" in shown(app) and PROJECT in shown(app)
        assert linked(pilot)["studio.example"] == PROJECT
        await pilot.press("tab", "g", "enter")
        await until(pilot, lambda: isinstance(app.screen, ReadingScreen) and app.screen.query_one(Banner).is_mounted)
        await until(pilot, lambda: "gpu_label_id 7" in shown(app))
        assert "A100: 2 GPUs now, 8 at most, 4 for one run" in shown(app)
        assert linked(pilot)[f"{PROJECT}/models"] == f"{PROJECT}/models"


@pytest.mark.usefixtures("inside")
async def test_the_load_takes_no_page_its_place_on_a_low_screen(studio: FakeStudio) -> None:
    app = Dashboard(make=lambda: studio, page="home")
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: bool(asked(studio)) and app.bench_told is not None)
        await pilot.press("ctrl+b")
        await until(pilot, lambda: "Ticketing Agent App" in shown(app))
        assert "CPU 11.5/64" not in shown(app) and "studio.example" in shown(app)


@pytest.mark.usefixtures("inside")
async def test_what_was_known_stays_when_the_studio_is_away(
    studio: FakeStudio, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bench, "EVERY", 0.05)
    app = Dashboard(make=lambda: studio)
    async with app.run_test(size=(160, 50)) as pilot:
        await until(pilot, lambda: "GPU 3/8" in shown(app))
        before = len(asked(studio))
        studio.broken = Unavailable("no studio answers", part="queue")
        await until(pilot, lambda: len(asked(studio)) > before + 2)
        assert "GPU 3/8" in shown(app)


async def test_a_job_at_clouderas_leads_to_its_page_from_anywhere(studio: FakeStudio) -> None:
    studio.rows["fine_tuning_jobs"].append(job("far", cml_job_id=JOB))
    studio.workbench = told(jobs={JOB: PAGE}, experiments={"far": f"{PROJECT}/cmlflow/9"})
    app = Dashboard(make=lambda: studio)
    async with app.run_test(size=(160, 50)) as pilot:
        app.show_job("far")
        await until(pilot, lambda: PAGE in linked(pilot).values())
        assert linked(pilot)["aaaa-bbbb-cccc…"] == PAGE
        assert [(each.jobs, each.experiments) for each in asked(studio)] == [([JOB], ["far"])]
        await pilot.press("o")
        await until(pilot, lambda: "job in Cloudera ML" in shown(app) and PAGE in shown(app))
        assert isinstance(app.screen, JobScreen)
        assert ("the address of its experiment in Cloudera ML", f"{PROJECT}/cmlflow/9") in app.screen.copies()


async def test_a_model_of_clouderas_leads_to_its_page(studio: FakeStudio) -> None:
    studio.rows["endpoints"].append(endpoint("far", engine="cml_model", cml_model_id="m0de-l000"))
    app = Dashboard(make=lambda: studio)
    async with app.run_test(size=(80, 24)) as pilot:
        app.show_endpoint("far")
        await until(pilot, lambda: linked(pilot).get(f"{PROJECT}/models") == f"{PROJECT}/models")
        assert linked(pilot)["m0de-l000"] == f"{PROJECT}/models" and len(asked(studio)) == 1


HOSTILE_PAGES = (
    f"(https://a.example/b) file:///etc/passwd {HOSTILE} https://ml.example.evil https://x\x1b]8;;https://evil\x07y"
)


async def test_what_others_wrote_leads_nowhere_outside_of_a_workbench(studio: FakeStudio) -> None:
    app = Dashboard(make=lambda: studio)
    async with app.run_test(size=(80, 24)) as pilot:
        app.show_text("a text", f"see {PROJECT} {HOSTILE_PAGES}")
        await until(pilot, lambda: "see https" in shown(app))
        assert linked(pilot) == {}


@pytest.mark.usefixtures("inside")
async def test_in_a_workbench_it_leads_to_the_workbenchs_own_pages_alone(studio: FakeStudio) -> None:
    app = Dashboard(make=lambda: studio)
    async with app.run_test(size=(160, 50)) as pilot:
        await until(pilot, lambda: app.bench_told is not None)
        app.show_text("a text", f"see ({PAGE}). {HOSTILE_PAGES}")
        await until(pilot, lambda: "see (https" in shown(app))
        found = linked(pilot)
        assert found.pop("studio.example") == PROJECT and found == {PAGE: PAGE}


@pytest.mark.parametrize(
    "hostile", ["javascript:alert(1)", "https://a b", "https://a\x1b\\", "http://", 7, None, "https://" + "x" * 3000]
)
def test_only_an_address_becomes_a_link(hostile: object) -> None:
    assert links.link(hostile) == ""
    assert links.turned("", str(hostile)).removeprefix("\x1b]8;;\x1b\\") == ""


def test_links_are_kept_from_terminals_that_have_none() -> None:
    assert links.known({"TERM": "xterm-256color"}) and links.known({"TERM": "screen-256color", "TMUX": "/tmp/t,1,0"})
    assert not any(map(links.known, ({"TERM": "linux"}, {}, {"TERM": "dumb"}, {"TERM": "screen", "STY": "1.x"})))


def test_a_load_that_is_old_says_of_when_and_what_is_not_told_is_left_out() -> None:
    value = told(at=NOW - 600).model_dump(mode="json")
    assert workbench.load(value, NOW)[-1].startswith("at ") and workbench.section(value, NOW).note.startswith(
        "as it was at "
    )
    bare = told(cluster=ClusterUse(cpus=1.0, cpus_allocatable=4.0), at=NOW).model_dump(mode="json")
    assert workbench.load(bare, NOW) == ["CPU 1/4"]
    assert workbench.load(told(cluster=None).model_dump(mode="json")) == [] and workbench.load(None) == []
    off = workbench.described(WorkbenchReply(on=False).model_dump(mode="json"))
    assert off == ["The studio runs in no workbench of Cloudera ML: CDSW_PROJECT_ID is not set where its actors run."]


async def test_a_runner_of_kind_cml_shows_its_quota(studio: FakeStudio) -> None:
    far = RunnerMetadata(
        id="r9", incarnation=1, host="cml-p-1", kind="cml", cpus=16, memory=64.0, jobs=["a"], last_seen_at=NOW,
        gpus=[Gpu(index=index, name="") for index in range(4)], free={"cpus": 12.0, "memory": 40.0, "gpus": 1.0},
    )  # fmt: skip
    studio.rows["runners"] = [far]
    app = Dashboard(make=lambda: studio, page="runners")
    async with app.run_test(size=(160, 50)) as pilot:
        await until(pilot, lambda: "cml-p-1" in shown(app))
        line = next(line for line in shown(app).split("\n") if "cml-p-1" in line)
        assert "4/16" in line and "quota" in line and "24.0/64.0" in line and "3/4" in line
        await pilot.press("enter")
        await until(pilot, lambda: "Runners: cml-p-1" in shown(app) and "4 of Cloudera ML" in shown(app))
        app.go("home")
        await until(pilot, lambda: "3/4 GPUs" in shown(app) and "24/64 GiB" in shown(app))


@pytest.mark.usefixtures("inside")
async def test_the_form_of_a_training_names_the_accelerators_labels(studio: FakeStudio) -> None:
    app = Dashboard(make=lambda: studio)
    async with app.run_test(size=(160, 50)) as pilot:
        await until(pilot, lambda: app.bench_told is not None)
        app.show_form("StartFineTuningJob")
        await until(pilot, lambda: isinstance(app.screen, FormScreen) and app.screen.filled)
        assert isinstance(app.screen, FormScreen)
        app.screen.fields.boxes["gpu_label_id"].input.focus()
        await until(pilot, lambda: "(gpu_label_id)  ·  7 A100" in shown(app))


def test_a_model_of_clouderas_is_called_with_clouderas_keys_which_nobody_here_knows() -> None:
    address = "https://modelservice.ml.example/model"
    row = endpoint("x", engine="cml_model", address=address, host="").model_dump(mode="json")
    line = curl(row)
    assert line == (
        f'curl -sS "{address}?accessKey=$KEY" -H \'Content-Type: application/json\' -H "Authorization: Bearer $API_KEY" '
        '-d \'{"request": {"prompt": "Hello"}}\''
    )
    assert (
        reach(row)
        == "with $KEY the access key (K, or on the model's page), $API_KEY an API key of yours in Cloudera ML"
    )
    bare = {**row, "auth": False, "address": "https://a.example/$(reboot)"}
    assert "'https://a.example/$(reboot)'\"?accessKey=$KEY\"" in curl(bare) and "API_KEY" not in curl(bare) + reach(
        bare
    )
