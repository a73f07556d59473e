"""Names and beginnings of ids on the command line mean one resource, or are told to mean none or several."""

from __future__ import annotations

from typing import Any

import pytest

from core.client import StudioClient
from core.messages.comparing import ComparisonsReply, ListComparisons
from core.messages.configs import ConfigMetadata, ConfigsReply, ListConfigs
from core.messages.datasets import DatasetMetadata, DatasetsReply, ListDatasets
from core.messages.endpoints import EndpointsReply, ListEndpoints
from core.messages.evaluation import EvaluationJobMetadata, EvaluationJobsReply, ListEvaluationJobs
from core.messages.export import ExportJobsReply, ListExportJobs
from core.messages.fine_tuning import FineTuningJobsReply, ListFineTuningJobs
from core.messages.models import ListModels, ModelsReply
from tui.cli.references import ANY_JOB, BATCH, CONFIG, DATASET, Ambiguous, by_name, hint, hints, resolve

TICKETS = "6288abf2-d83d-45b9-8d0f-8944710f24b3"
OTHER = "6288abf2-0000-45b9-8d0f-8944710f24b3"
CHILD = "47ccb938-75ef-4e2e-b44e-b16ee960ddcc"
PARENT = "140b8d08-11cf-4e61-8aad-77cf50d0df57"


class Studio(StudioClient):
    """Answers lists as the studio does, a row a page."""

    def __init__(self) -> None:
        self.asked: list[Any] = []

    def call(self, message: Any, **options: Any) -> Any:
        self.asked.append(message)
        if isinstance(message, ListDatasets):
            named = {TICKETS: "tickets", OTHER: "twin", "default-dataset-sql": "sql", "a": "twin", "b": "deadbeef"}
            rows = [DatasetMetadata(id=id, name=name, type="project_csv") for id, name in named.items()]
            rows = [row for row in rows if (message.name_contains or "") in row.name]
            begin = next((at for at, row in enumerate(rows, 1) if row.id == message.after), 0)
            page = rows[begin : begin + 1]
            return DatasetsReply(datasets=page, has_more=begin + 1 < len(rows), ends=page[0].id if page else None)
        if isinstance(message, ListConfigs):
            mine = ConfigMetadata(id="c-1", type="lora_config", config="{}", description="mine")
            return ConfigsReply(configs=[mine, ConfigMetadata(id="c-2", type="custom", config="{}")])
        if isinstance(message, ListEvaluationJobs):
            return EvaluationJobsReply(
                evaluation_jobs=[
                    EvaluationJobMetadata(id=id, parent_job_id=PARENT, name="nightly") for id in (CHILD, "e-2")
                ]
            )
        empty: dict[type, Any] = {
            ListFineTuningJobs: FineTuningJobsReply(fine_tuning_jobs=[]),
            ListExportJobs: ExportJobsReply(export_jobs=[]),
            ListEndpoints: EndpointsReply(endpoints=[]),
            ListComparisons: ComparisonsReply(comparisons=[]),
            ListModels: ModelsReply(models=[]),
        }
        return empty[type(message)]


def meant(value: str, listings: Any = (DATASET,)) -> str:
    return by_name(Studio(), listings, value)


def test_a_name_an_id_and_the_beginning_of_an_id_mean_the_same() -> None:
    assert meant("tickets") == meant(TICKETS) == meant(TICKETS[:13]) == TICKETS
    assert meant("default-dataset-sql") == "default-dataset-sql"
    assert meant("deadbeef") == "b"  # it looks like an id, and is a name


def test_what_is_unknown_is_left_for_the_studio_to_judge() -> None:
    assert meant("ticket") == "ticket"
    assert meant("99999999") == "99999999"


@pytest.mark.parametrize("value", ["twin", "6288abf2"])
def test_what_means_several_is_told_with_their_ids(value: str) -> None:
    with pytest.raises(Ambiguous, match="give the id") as told:
        meant(value)
    assert OTHER in str(told.value)


def test_a_config_goes_by_its_description_and_a_batch_by_its_name_or_a_beginning() -> None:
    assert meant("mine", (CONFIG,)) == "c-1"
    assert meant("nightly", (BATCH,)) == meant("140b8d08", (BATCH,)) == PARENT
    assert meant(CHILD[:8], ANY_JOB) == CHILD
    assert meant("nightly", ANY_JOB) == PARENT


def test_a_whole_id_asks_nothing_and_a_name_is_looked_for_by_the_studio() -> None:
    studio = Studio()
    by_name(studio, (DATASET,), TICKETS)
    assert studio.asked == []
    by_name(studio, (DATASET,), "tickets")
    assert [each.name_contains for each in studio.asked] == ["tickets"]


def test_the_payload_is_searched_for_ids_by_their_fields() -> None:
    fields = {
        "dataset_id": "tickets",
        "name": "tickets",
        "lora_config_id": "mine",
        "parts": [{"dataset_id": "tickets"}],
    }
    found = resolve(Studio(), fields, "StartFineTuningJob")
    assert found == {
        "dataset_id": TICKETS,
        "name": "tickets",
        "lora_config_id": "c-1",
        "parts": [{"dataset_id": TICKETS}],
    }
    assert resolve(Studio(), {"id": "tickets"}, "GetDataset") == {"id": TICKETS}


def test_for_a_name_that_there_is_not_the_nearest_is_told_and_who_lists_them() -> None:
    told = hint(Studio(), DATASET, "ticket")
    assert told == "there is no dataset ticket; did you mean tickets? `fts dataset list` shows what there is"
    fields = {"dataset_id": "ticket", "base_model_id": "m", "pairs": [{"base_model_id": "n"}]}
    error = "there is no dataset with id 'ticket'; there is no model with id 'n'"
    allowed = "1 prompt would be left without it; remove_prompts removes them too"
    told = list(hints(Studio(), {"id": TICKETS}, "RemoveDataset", allowed))
    assert told == ["remove_prompts is --remove-prompts here"]
    nouns = [each.split()[3] for each in hints(Studio(), fields, "X", error)]
    assert nouns == ["dataset", "model"]


def test_a_name_among_others_gets_a_hint_and_one_that_there_is_gets_none() -> None:
    many = {"dataset_id": ["tickets", "tickts"]}
    error = "there is no dataset with id 'tickts'; prompt 'p' belongs to dataset 'tickets'"
    told = list(hints(Studio(), many, "X", error))
    assert told == ["there is no dataset tickts; did you mean tickets? `fts dataset list` shows what there is"]
