"""What an audience promises to whoever reads it: its own contract, judged by the same gate as what is collected."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from expectations.contract import Contract, arrow_type
from pipelines.core.errors import BatchRejected, ConfigError, nearest

if TYPE_CHECKING:
    from pipelines.quality.judge import Judge

_NAMED = 3


class Promise:
    """Brings rows into the shape of the audience's contract, and judges them; without one it passes them on."""

    def __init__(self, contract: Contract | None, entity: str) -> None:
        """Prepare.

        Args:
            contract: of the audience, `audience.yaml`; None promises nothing.
            entity: name of what is scored.
        """
        self.contract, self._entity = contract, entity
        self._judge: Judge | None = None
        self._rows = self._bad = 0
        if contract is not None:
            from expectations.suites import checks
            from pipelines.quality.judge import Judge

            self._judge = Judge(checks(contract))

    def schema(self, given: pa.Schema) -> pa.Schema:
        """The columns that are written, of rows with the columns `given`.

        Raises:
            ConfigError: the contract requires a column that there is not.
        """
        if self.contract is None:
            return given
        for column in self.contract.columns:
            if column.required and column.name not in given.names:
                raise ConfigError(
                    f"{self.contract.path} requires the column '{column.name}', which this audience does not have:"
                    f" {nearest(column.name, given.names)}"
                )
        return pa.schema([pa.field(column.name, arrow_type(column.type)) for column in self.contract.columns])

    def kept(self, rows: pa.Table) -> pa.Table:
        """The rows in the contract's columns and types; what there is not yet, such as a target's, is empty."""
        if self.contract is None:
            return rows
        schema = self.schema(rows.schema)
        columns = [
            rows[field.name].cast(field.type)
            if field.name in rows.column_names
            else pa.nulls(rows.num_rows, field.type)
            for field in schema
        ]
        shaped = pa.Table.from_arrays(columns, schema=schema)
        if self._judge is not None and shaped.num_rows:
            bad = np.zeros(shaped.num_rows, dtype=bool)
            for _, mask in self._judge.bad(shaped, {}):
                bad |= mask
            self._bad += int(bad.sum())
        self._rows += shaped.num_rows
        return shaped

    def check(self, date: str) -> None:
        """Raise BatchRejected where rows broke a rule: nothing of them is published."""
        if self.contract is None or self._judge is None or not self._bad:
            return
        broken = [
            one for one in self._judge.tallies if one.unexpected or (one.missing and one.check.rule == "required")
        ]
        named = [f"{one.check.rule} of {' and '.join(one.check.columns)}" for one in broken[:_NAMED]]
        raise BatchRejected(
            f"the audience of {date} is not as {self.contract.path} promises: {self._bad} of {self._rows} rows break"
            f" {', '.join(named)}; nothing of it was published: correct the contract, or what it speaks of"
        )
