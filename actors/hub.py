"""The actors' door to the Hugging Face Hub, and to dataset directories: everything here is imported late and runs in the slow queue."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import SecretStr

from actors.looking import CHAT_COLUMNS, PREVIEWED, Look, name_of
from core.errors import Unavailable
from core.messages.common import repository as repository_of
from core.splits import TRAIN, is_saved


def split_revision(name: str) -> tuple[str, str | None]:
    """`org/name@revision` as (org/name, revision)."""
    return repository_of(name), name.partition("@")[2].strip() or None


def model_facts(name: str, token: SecretStr | None) -> dict[str, Any]:
    """The commit and architecture of a model on the Hub; raises ValueError when it is not there, Unavailable when the Hub is not."""
    repository, revision = split_revision(name)
    info = _ask("model_info", repository, revision, token)
    architectures = (getattr(info, "config", None) or {}).get("architectures") or [None]
    return {"revision": info.sha, "family": name_of(architectures[0])}


def adapter_facts(name: str, token: SecretStr | None) -> dict[str, Any]:
    """The commit of an adapter on the Hub, and the base model that its card names, if it names one."""
    repository, revision = split_revision(name)
    info = _ask("model_info", repository, revision, token)
    files = {sibling.rfilename for sibling in info.siblings or []}
    if "adapter_config.json" not in files:
        raise ValueError(f"{repository} has no adapter_config.json: it is no PEFT adapter")
    if not any(name.endswith(".safetensors") for name in files):
        raise ValueError(f"{repository} has no safetensors weights; pickled weights can run code and are not loaded")
    base = getattr(info.card_data, "base_model", None)
    return {"revision": info.sha, "base_model": name_of(base)}


def dataset_facts(name: str, token: SecretStr | None, config: str | None = None) -> dict[str, Any]:
    """The commit, columns with their types, and size of a dataset on the Hub, of one of its configs when it has several."""
    repository, revision = split_revision(name)
    info = _ask("dataset_info", repository, revision, token)
    import datasets

    from actors.hubrows import first_rows

    secret = token.get_secret_value() if token else None
    try:
        builder = datasets.load_dataset_builder(repository, config, revision=info.sha, token=secret or False)
        look = first_rows(builder, secret)
    except ConnectionError as error:
        raise Unavailable(f"the Hugging Face Hub can't be reached: {error}") from error
    except Exception as error:  # whatever a dataset's files cause
        raise ValueError(f"{repository} can't be read: {error}") from error
    splits = {name: each.num_examples for name, each in (builder.info.splits or {}).items()}
    seen = {} if look is None else look.facts()
    types = _types(builder.info.features) or seen.get("column_types", {})
    chat = any(kind.startswith("list<struct<") for name, kind in types.items() if name in CHAT_COLUMNS)
    return {
        "column_types": types,
        "is_chat": seen.get("is_chat", chat),
        "preview": seen.get("preview"),
        "features": list(types),
        "rows": splits.get(TRAIN),
        "splits": splits or None,
        "revision": info.sha,
        "description": builder.info.description or None,
    }


def _cause(error: BaseException) -> BaseException:
    """What an error came of: `datasets` says of most that something occurred, and of what in its cause."""
    return _cause(error.__cause__) if error.__cause__ is not None else error


def loaded(path: Path) -> dict[str, Any]:
    """Split -> rows of a directory that `datasets` saved or can read."""
    import datasets

    try:
        found: Any = datasets.load_from_disk(str(path)) if is_saved(path) else datasets.load_dataset(str(path))
    except Exception as error:  # whatever the directory's files cause
        raise ValueError(f"{path} can't be read as a dataset: {_cause(error)}") from error
    return {TRAIN: found} if isinstance(found, datasets.Dataset) else dict(found)


def loaded_facts(path: Path) -> dict[str, Any]:
    """The columns and splits of a directory that `datasets` saved or can read."""
    splits = loaded(path)
    first = splits.get(TRAIN) or next(iter(splits.values()))
    look = Look()
    for row in first.select(range(min(PREVIEWED, len(first)))):
        look.see(row)
    facts = {"features": list(first.column_names), "rows": len(first)}
    facts["splits"] = {name: len(rows) for name, rows in splits.items()}
    return {**facts, **look.facts(), "column_types": _types(first.features)}


def _types(features: Any) -> dict[str, str]:
    """column -> type by Arrow's names; empty when a dataset on the Hub does not tell them."""
    return {each.name: str(each.type) for each in features.arrow_schema} if features else {}


def _ask(method: str, repository: str, revision: str | None, token: SecretStr | None) -> Any:
    from huggingface_hub import HfApi, errors

    api = HfApi(token=token.get_secret_value() if token else False)
    try:
        return getattr(api, method)(repository, revision=revision, timeout=30)
    except errors.GatedRepoError:
        raise ValueError(
            f"{repository} is gated: ask for access on its page and set HUGGINGFACE_ACCESS_TOKEN"
        ) from None
    except errors.RevisionNotFoundError:
        raise ValueError(f"{repository} has no revision {revision!r}") from None
    except errors.RepositoryNotFoundError:
        hint = "" if token else "; if it is private, set HUGGINGFACE_ACCESS_TOKEN"
        raise ValueError(f"{repository} was not found on the Hub{hint}") from None
    except errors.OfflineModeIsEnabled:
        raise Unavailable(
            "the Hugging Face Hub is switched off here (HF_HUB_OFFLINE); use a directory of the project"
        ) from None
    except (errors.HTTPError, OSError) as error:  # type: ignore[attr-defined]  # its HTTP library's, whichever that is
        raise Unavailable(
            f"the Hugging Face Hub can't be reached ({type(error).__name__}); try again when the network is back"
        ) from error
    except ValueError as error:
        raise ValueError(f"{repository!r} is no name on the Hub: {error}") from None
