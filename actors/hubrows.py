"""The first rows of a dataset on the Hub: a preview, and its columns where its card does not tell them."""

from __future__ import annotations

from itertools import islice
from typing import Any

from actors.looking import PREVIEWED, Look
from core.splits import TRAIN

LARGEST_GROUP = 64 << 20  # bytes of a Parquet file's first rows, which come in one piece


def first_rows(builder: Any, token: str | None) -> Look | None:
    """What the first rows hold, of Parquet files or of a dataset whose columns are not known; None when they are not looked at.

    Raises ValueError when the columns can't be told without them.
    """
    known = builder.info.features is not None
    try:
        files = builder.config.data_files or {}
        url = next(iter(files.get(TRAIN) or [each for urls in files.values() for each in urls]), "")
        if url.endswith(".parquet"):
            return _seen(_of_parquet(url, token))
        return None if known else _seen(_streamed(builder))
    except Exception as error:  # whatever a dataset's files cause
        if known:
            return None
        raise ValueError(f"its card does not tell its columns, and its first rows can't be read: {error}") from error


def _seen(rows: list[dict[str, Any]]) -> Look:
    look = Look()
    for row in rows:
        look.see(row)
    return look


def _of_parquet(url: str, token: str | None) -> list[dict[str, Any]]:
    from huggingface_hub import HfFileSystem
    from pyarrow import parquet

    with HfFileSystem(token=token or False).open(url) as file:
        whole = parquet.ParquetFile(file)
        if whole.num_row_groups and whole.metadata.row_group(0).total_byte_size > LARGEST_GROUP:
            raise ValueError(f"they have more than {LARGEST_GROUP >> 20} MiB")
        rows: list[dict[str, Any]] = next(whole.iter_batches(PREVIEWED)).to_pylist()
        return rows


def _streamed(builder: Any) -> list[dict[str, Any]]:
    splits = builder.as_streaming_dataset()
    return list(islice(splits[TRAIN] if TRAIN in splits else next(iter(splits.values())), PREVIEWED))
