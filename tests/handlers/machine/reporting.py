"""What runners report: what their jobs did, and what they are told to do."""

from __future__ import annotations

from math import inf, isfinite, nan
from pathlib import Path
from typing import Any

from actors.seams import NOTE
from tests.handlers.machine.comparing import said
from tests.handlers.machine.model import HELD, Model, Row, Tables
from tests.handlers.machine.planning import FOUND, give_plans, given
from tests.handlers.machine.plays import Expected, Payload, Picker, Play, expected, plays
from tests.handlers.machine.running import ended, given_back, lost, moved

SIZE = 10  # bytes of a record
SLACK = 0.5  # GiB that a runner is lent: hosts report a little less than what people call theirs
HOSTILE: tuple[dict[str, Any], ...] = (
    {},
    {"type": "nonsense", "at": 1.0},
    {"type": ["started"]},
    {"type": "started", "at": "now", "pid": {}},
    {"type": "finished", "at": 1.0, "outcome": "exploded"},
    {"type": "metrics", "at": 1.0, "step": 2**70, "values": {"loss": 1.0}},
    {"type": "metrics", "at": 1.0, "step": 3, "values": {"loss": nan, "a\0b": 1.0}},
    {"type": "log", "at": 1.0, "text": "\x1b]0;title\x07\0"},
    {"type": "scored", "at": 1.0, "job_id": "gone", "status": "succeeded"},
    {"type": "progress", "at": 1.0, "step": 2**40, "total_steps": 2**40},
    {"type": "phase", "at": 1.0, "name": "\ud800"},
    {"type": "metrics", "at": 1.0, "step": 2**31, "values": {"loss": 1.0}},
)


@plays("ReportProgress")
class ReportProgress(Play):
    """A report of a runner. It has no key: a second one finds that all is taken in."""

    def ask(self, pick: Picker) -> Payload:
        model = pick.model
        id = pick.id("runners")
        row = model.get("runners", id)
        incarnation = (
            1 if row is None else pick.of([row["incarnation"]], [row["incarnation"] - 1, row["incarnation"] + 1])
        )
        jobs = [self._report(pick, job) for job in (model.held(id) if row else []) if not pick.chance(4)]
        if pick.careless and model.tables["jobs"]:
            jobs.append(self._report(pick, pick.of([*model.tables["jobs"].values()])))
        payload: Payload = {"runner_id": id, "incarnation": incarnation, "jobs": jobs}
        options: dict[str, Any] = {
            "free": lambda: pick.of(
                [{"cpus": 0}, {"cpus": 1, "memory": 1.0}, {"gpus": 0}, {"cpus": 1e9}], [{"gpus": inf}, {"a": nan}]
            ),
            "telemetry": lambda: pick.of([{"a\0b": [nan, {"c": "\0"}]}, {"gpu": 2**80}]),
        }
        return payload | pick.some(options, 4)

    def _report(self, pick: Picker, job: Row) -> Payload:
        attempt = pick.of([job["attempt"]], [job["attempt"] - 1, job["attempt"] + 1])
        begin = pick.of([job["accepted"]], [0, job["accepted"] + SIZE])
        records = [self._record(pick, job) for _ in range(pick.count(4))]
        if pick.chance(3):
            records.append(self._last(pick, job))
        placed = [{**each, "offset": begin + SIZE * number} for number, each in enumerate(records, 1)]
        report: Payload = {"job_id": job["id"], "attempt": attempt, "offset": begin}
        end = pick.of([begin + SIZE * len(placed)], [2**63])
        report |= {"next_offset": end, "records": placed, "has_spec": not pick.chance(6)}
        return report | pick.some({"alive": lambda: False, "exit_code": lambda: pick.of([1, -9, 0, -999])}, 8)

    def _record(self, pick: Picker, job: Row) -> Payload:
        step = pick.of([1, 2, 5])
        made = pick.model.directory_of(job)
        kinds: list[Payload] = [
            {"type": "started", "at": 1.0, "pid": 1, "total_steps": 10},
            {"type": "metrics", "at": 1.0, "step": step, "values": {"loss": step / 2}},
            {"type": "checkpoint", "at": 1.0, "step": step, "path": f"c-{step}"},
            {"type": "resumed", "at": 1.0, "from_step": step, "path": f"c-{step}"},
            {"type": "warning", "at": 1.0, "text": "fell back\0 to fp32"},
            {"type": "progress", "at": 1.0, "step": step, "total_steps": 10},
            {"type": "phase", "at": 1.0, "name": "training"},
            {
                "type": "oom",
                "at": 1.0,
                "step": step,
                "batch": 1,
                "accumulation": 2,
                "text": "less",
                "starved": step == 1,
            },
        ]
        if job["kind"] == "comparison":
            row = pick.model.tables["comparisons"][job["id"]]
            voices = ["", *row["_voices"], "gone"]
            kinds += [
                {"type": "said", "at": 1.0, "question": number, "voice": voice, "start": 0, "text": "a\0", "done": done}
                for number in [*row["_open"], 99] for voice in voices for done in (True, False)
            ]  # fmt: skip
            kinds.append({"type": "drawn", "at": 1.0, "question": 1, "prompt": "a", "row": 3})
        if job["kind"] == "endpoint":
            kinds += [
                {"type": "serving", "at": 1.0, "address": f"http://127.0.0.1:{step}", "port": step, "models": ["tiny"]},
                {"type": "served", "at": 2.0, "requests": step, "failures": 1, "tokens": 9, "active": 1},
                {"type": "served", "at": 100.0, "requests": step},
            ] * 2
        if made is not None:
            kind = "model" if pick.model.tables["fine_tuning_jobs"][job["id"]]["method"] == "full" else "adapter"
            kinds += [{"type": "artifact", "at": 1.0, "kind": kind, "path": made}] * 3
        for row in pick.model.batch(job["id"]):
            kinds += [
                {"type": "scored", "at": 1.0, "job_id": row["id"], "status": status}
                for status in ("running", "succeeded", "failed")
            ]
            kinds.append({**kinds[-1], "values": {"exact_match": 0.5, "other": nan}})
        return pick.of(kinds, HOSTILE)

    @staticmethod
    def _last(pick: Picker, job: Row) -> Payload:
        outcome = pick.of(["succeeded", "succeeded", "failed", "cancelled", "paused"])
        found = {"summary": FOUND} if job["kind"] == "plan" else {}
        return {"type": "finished", "at": 2.0, "outcome": outcome, **found}

    def expect(self, model: Model, payload: Payload) -> Expected:
        row = model.get("runners", payload["runner_id"])
        beyond = any(each["next_offset"] >= 2**63 for each in payload["jobs"])
        if beyond or not all(map(isfinite, payload.get("free", {}).values())):
            return expected(["MS-101"])
        stale = row is not None and payload["incarnation"] < row["incarnation"]
        return expected(code="conflict" if stale else "")

    def do(self, model: Model, payload: Payload, value: Payload, seen: Tables) -> None:
        row = model.get("runners", payload["runner_id"])
        known = row is not None and payload["incarnation"] == row["incarnation"]
        assert value["known"] is known, value
        if row is None or not known:
            assert value["jobs"] == []
            return
        model.touched.add(("runners", row["id"]))
        if row["lost"]:
            model.change("runners", row["id"], lost=False)
            model.say("RunnerBack", "runners", row["id"])
        if row["_unheard"] and not row["trusted"]:
            model.say("RunnerRegistered", "runners", row["id"])
        model.change("runners", row["id"], _unheard=False)
        for report in sorted(payload["jobs"], key=lambda each: each["job_id"]):
            self._take(model, row, report, seen)
        if row["trusted"] and not row["draining"]:
            give_plans(model, row)
            assign(model, row, payload.get("free", {}))
        told = {(each["job_id"], each["attempt"]): each for each in value["jobs"]}
        assert {key: self._short(each) for key, each in told.items()} == self._orders(model, row, payload), value[
            "jobs"
        ]

    @staticmethod
    def _short(order: Payload) -> tuple[Any, ...]:
        more = (order["checkpoint"], order["fresh"])
        return (order["order"], order["accepted"], order["spec"] is None, order["cancelled"], *more)

    @staticmethod
    def _orders(model: Model, runner: Row, payload: Payload) -> dict[tuple[str, int], tuple[Any, ...]]:
        """The whole truth: every job that is the runner's, and stop for what it has and is not."""
        orders: dict[tuple[str, int], tuple[Any, ...]] = {}
        named = {(each["job_id"], each["attempt"]): each for each in payload["jobs"]}
        for job in model.held(runner["id"]):
            key = (job["id"], job["attempt"])
            order = "pause" if runner["draining"] or job["status"] == "pausing" else "run"
            order = "cancel" if job["status"] == "cancel_requested" else order
            has_spec = key in named and named[key]["has_spec"]
            more = (job["checkpoints_asked"], job["fresh"])
            orders[key] = (order, job["accepted"], has_spec, job["cancelled"] or [], *more)
        for id, attempt in named.keys() - orders.keys():
            job = model.tables["jobs"][id]
            orders[id, attempt] = ("stop", job["accepted"] if job["attempt"] == attempt else 0, True, [], 0, False)
        return orders

    def _take(self, model: Model, runner: Row, report: Payload, seen: Tables) -> None:
        job = model.get("jobs", report["job_id"])
        own = job is not None and job["runner_id"] == runner["id"] and job["attempt"] == report["attempt"]
        if job is None or not own or job["status"] not in HELD:
            return
        model.touched.add(("jobs", job["id"]))  # its lease
        before = job["accepted"]
        if report["offset"] > before:
            return  # what lies between is missing
        model.change("jobs", job["id"], accepted=max(before, report["next_offset"]))
        for record in report["records"]:
            if record["offset"] > before and job["status"] in HELD:
                take(model, job, record, seen)
        if not report.get("alive", True) and report["next_offset"] >= before and job["status"] in HELD:
            lost(model, job)


def assign(model: Model, runner: Row, told: dict[str, float]) -> None:
    """The waiting jobs that the runner's free room holds: by priority, then age (nobody waits long enough to reserve room)."""
    held = model.held(runner["id"])
    room = {"cpus": runner["cpus"], "gpus": runner["_gpus"], "memory": runner["memory"] + SLACK}
    free = {name: room[name] - sum(job[name] * job["workers"] for job in held) for name in room}
    free = {name: min(free[name], told.get(name, free[name]) + (SLACK if name == "memory" else 0)) for name in free}
    waiting = (job for job in model.tables["jobs"].values() if job["status"] == "queued")
    for job in sorted(waiting, key=lambda job: (-job["priority"], job["queued_at"], job["id"])):
        need = {name: job[name] * job["workers"] for name in free}
        able = job["engine"] in runner["engines"] and job["_label"] in (None, runner["_label"])
        if able and free["cpus"] >= 1 and all(need[name] <= free[name] for name in free):
            free = {name: free[name] - need[name] for name in free}
            given(model, job, runner)


def take(model: Model, job: Row, record: dict[str, Any], seen: Tables) -> None:
    """What one record does; one that can't be read does nothing."""
    if any(record == {**hostile, "offset": record["offset"]} for hostile in HOSTILE):
        return
    match record:
        case {"type": "started"}:
            model.change("jobs", job["id"], fresh=False)
            if job["kind"] == "comparison":
                model.touched.add(("comparisons", job["id"]))  # since when it can be asked
            if job["status"] == "assigned":
                moved(model, job, "running")
        case {"type": "metrics", "step": step, "values": values}:
            model.metrics |= {(job["id"], name, step): (each, job["attempt"]) for name, each in values.items()}
        case {"type": "resumed", "from_step": step}:
            again = [
                key for key, (_, attempt) in model.metrics.items()
                if key[0] == job["id"] and attempt < job["attempt"] and key[2] > step
            ]  # fmt: skip
            for key in again:
                del model.metrics[key]
            model.touched.add(("meta", f"{NOTE}{job['id']}"))  # where steps before it have no numbers
            model.say("JobResumed", "jobs", job["id"])
        case {"type": "checkpoint", "step": step}:
            if step > job["_furthest"]:
                model.change("jobs", job["id"], _furthest=step, losses=0)
            model.say("CheckpointSaved", "jobs", job["id"])
        case {"type": "warning"}:
            model.say("JobWarning", "jobs", job["id"])
        case {"type": "oom", "starved": starved}:
            model.change("jobs", job["id"], losses=0 if starved else job["losses"])
            model.say("JobMemoryReduced", "jobs", job["id"])
        case {"type": "artifact", "kind": kind, "path": path}:
            model.change("jobs", job["id"], **{f"_{kind}": path})
            model.say("ArtifactSaved", "jobs", job["id"])
        case {"type": "said"}:
            said(model, job, record)
        case {"type": "serving", "at": at, "address": address}:
            told = {"address": address, "served_by": job["attempt"], "serving_since": at}
            model.change("endpoints", job["id"], **told)
            model.say("EndpointServing", "jobs", job["id"])
        case {"type": "served", "at": at, "requests": requests}:
            row = model.tables["endpoints"][job["id"]]
            failures = row["failures"] + record.get("failures", 0)
            model.change("endpoints", job["id"], requests=row["requests"] + requests, failures=failures)
            if row.get("serving_since") is not None and at - row["serving_since"] > 60:
                model.change("jobs", job["id"], losses=0)
        case {"type": "scored", "job_id": id, "status": status}:
            scored(model, job, model.get("evaluation_jobs", id), status, odd="values" in record)
        case {"type": "finished", "outcome": outcome}:
            finished(model, job, outcome, seen)


def scored(model: Model, job: Row, row: Row | None, status: str, *, odd: bool) -> None:
    """An evaluation began or ended; what was cancelled or has succeeded stays so."""
    if row is None or row["parent_job_id"] != job["id"] or row["status"] in ("cancelled", "succeeded"):
        return
    if status == "running":
        model.change("evaluation_jobs", row["id"], status=status)
    else:
        if odd:  # one of its values is no number
            model.say("JobWarning", "jobs", job["id"])
        if status == "succeeded":
            model.change("jobs", job["id"], losses=0)
        ended(model, row, status)


def finished(model: Model, job: Row, outcome: str, seen: Tables) -> None:
    """The attempt is over."""
    if outcome == "paused":
        given_back(model, job)
        return
    row = model.get("fine_tuning_jobs", job["id"])
    if outcome == "succeeded" and row is not None and row["auto_add_adapter"]:
        for table, made in (("adapters", job["_adapter"]), ("models", job["_model"])):
            if made:
                registered(model, job, row, table, made, seen)
    moved(model, job, outcome)


def registered(model: Model, job: Row, row: Row, table: str, made: str, seen: Tables) -> None:
    """What a job trained; when its name was taken meanwhile it gets another one, and that is told."""
    mine = (id for id, each in seen[table].items() if each["fine_tuning_job_id"] == job["id"])
    (id,) = (id for id in mine if model.get(table, id) is None)
    name = seen[table][id]["name"]
    if model.taken(table, row["adapter_name"]):
        model.say("JobWarning", "jobs", job["id"])
        assert name.startswith(row["adapter_name"]) and not model.taken(table, name), name
    else:
        assert name == row["adapter_name"], name
    own: Row = {"type": "project", "fine_tuning_job_id": job["id"], "cml_registered_model_id": None}
    own |= {"_outside": False, "_place": made}
    if table == "adapters":
        own |= {"model_id": row["base_model_id"], "prompt_id": row["prompt_id"], "description": None, "_made": made}
        own["huggingface_name"] = None
    else:
        base = model.get("models", row["base_model_id"])
        own |= {"family": base["family"] if base else None, "huggingface_model_name": None}
        own["description"] = seen[table][id]["description"]
    model.put(table, id, name=name, **own)
    model.change("fine_tuning_jobs", job["id"], **{"adapter_id" if table == "adapters" else "trained_model_id": id})
    model.say("ResourceAdded", table, id)
    Path(made).mkdir(parents=True, exist_ok=True)
    model.made.add(made)
