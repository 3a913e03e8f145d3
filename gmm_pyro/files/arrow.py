"""Apache Arrow's files as tables, and tables as these: Parquet, Feather, and Arrow's streams."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pandas as pd

from ..disk.placing import write_bytes
from ..disk.untrusted import refuse_expansion
from .table import DataTable

FILE = b"ARROW1"  # with which files begin, and streams do not


def read_parquet_table(path: Path, member: str | None) -> DataTable:
    """The table in a Parquet file."""
    import pyarrow.parquet as pq

    del member
    metadata = pq.read_metadata(path)
    refuse_expansion(8 * metadata.num_rows * metadata.num_columns, path.stat().st_size)
    frame = pd.read_parquet(path, page_checksum_verification=True)
    return DataTable(frame, str(path), path.stem)


def read_arrow_table(path: Path, member: str | None) -> DataTable:
    """The table in a Feather file of version 2, which is Arrow's own format, or in a stream."""
    import pyarrow as pa
    from pyarrow import ipc

    del member
    with path.open("rb") as stream:
        is_file = stream.read(len(FILE)) == FILE
    if is_file:
        with ipc.open_file(path) as reader:
            batches = (reader.get_batch(i) for i in range(reader.num_record_batches))
            table = pa.Table.from_batches(_checked(batches, path), reader.schema)
    else:
        with path.open("rb") as stream, ipc.open_stream(stream) as reader:
            table = pa.Table.from_batches(_checked(reader, path), reader.schema)
    table.validate(full=True)  # what is damaged is an error here, and no crash later
    return DataTable(table.to_pandas(), str(path), path.stem)


def _checked(batches: Any, path: Path) -> list[Any]:
    """Batches of rows, which may not take far more memory than the file."""
    found, taken = [], 0
    for batch in batches:
        taken += batch.nbytes
        refuse_expansion(taken, path.stat().st_size)
        found.append(batch)
    return found


def write_parquet_table(frame: pd.DataFrame, path: Path) -> None:
    """Write a frame as a Parquet file."""
    write_bytes(path, frame.to_parquet(index=False, write_page_checksum=True))


def write_arrow_table(frame: pd.DataFrame, path: Path) -> None:
    """Write a frame as a Feather file of version 2, which is Arrow's file format."""
    file = io.BytesIO()
    frame.to_feather(file)
    write_bytes(path, file.getvalue())
