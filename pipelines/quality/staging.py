"""Rows waiting on disk for the verdict on their batch, so that memory stays flat and nothing is published early."""

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa


class Stage:
    """A stream of tables in one Arrow file, written first and read then."""

    def __init__(self, path: Path, schema: pa.Schema) -> None:
        self._path = path
        self.schema = schema
        self.rows = 0
        path.parent.mkdir(parents=True, exist_ok=True)
        self._writer = pa.ipc.new_stream(str(path), schema, options=pa.ipc.IpcWriteOptions(compression="lz4"))

    def add(self, table: pa.Table) -> None:
        """Append rows; columns are taken by name."""
        if table.num_rows:
            self._writer.write_table(table.select(self.schema.names).cast(self.schema))
            self.rows += table.num_rows

    def read(self) -> Iterator[pa.Table]:
        """End writing and stream the rows."""
        self._writer.close()
        with pa.OSFile(str(self._path)) as file, pa.ipc.open_stream(file) as reader:
            for batch in reader:
                yield pa.Table.from_batches([batch])

    def reader(self) -> pa.RecordBatchReader:
        """`read`, as one stream of batches. A later `read` or `reader` begins anew."""
        batches = (batch for table in self.read() for batch in table.to_batches())
        return pa.RecordBatchReader.from_batches(self.schema, batches)

    def close(self) -> None:
        """End writing, where `read` was not called."""
        self._writer.close()
