"""Parquet files as columns of cells; only the columns that are asked for are read."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from olrsearch.core.errors import DatasetNotFoundError, LabelFileError
from olrsearch.core.shown import shown

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class ParquetFile:
    """A Parquet file, open.

    Attributes:
        header: The names of its columns.
        count: Its number of rows.

    Raises:
        DatasetNotFoundError: There is no such file.
        LabelFileError: It is no Parquet file that can be read, or has no rows.
    """

    def __init__(self, path: Path) -> None:
        from pyarrow import parquet

        if not path.is_file():
            raise DatasetNotFoundError(f"no label file at {path}")
        self._where = path.name
        with _named(f"{path.name} is no Parquet file that can be read"):
            self._file = parquet.ParquetFile(path)
            self._schema = self._file.schema_arrow
            self.header: list[str] = list(self._schema.names)
            self.count: int = self._file.metadata.num_rows
        if not self.count:
            raise LabelFileError(f"{path.name} holds no rows, expected one an image")

    def column(self, at: int) -> list[str]:
        """A column's cells as text; empty where nothing is stored.

        Raises:
            LabelFileError: It holds no numbers, truth values or texts, or cannot be read.
        """
        import pyarrow as pa

        name, kind = self.header[at], self._schema.field(at).type
        plain = kind.value_type if pa.types.is_dictionary(kind) else kind
        of_numbers = pa.types.is_integer(plain) or pa.types.is_floating(plain) or pa.types.is_decimal(plain)
        of_text = (
            pa.types.is_string(plain) or pa.types.is_large_string(plain) or pa.types.is_string_view(plain)
        )
        if not (of_numbers or of_text or pa.types.is_boolean(plain) or pa.types.is_null(plain)):
            raise LabelFileError(
                f"{self._where}, column {shown(name)}: found values of the kind {str(kind)[:60]}, expected "
                "numbers, truth values or texts: leave it out with --exclude-columns"
            )
        with _named(f"{self._where}, column {shown(name)}: cannot be read"):
            found = self._file.read(columns=[name]).column(name)
            values = found.to_pylist()
        if len(values) != self.count:
            raise LabelFileError(
                f"{self._where}, column {shown(name)}: found {len(values)} values, expected {self.count}"
            )
        return ["" if value is None else str(value) for value in values]


@contextmanager
def _named(what: str) -> Iterator[None]:
    """Whatever a damaged file makes pyarrow raise becomes a `LabelFileError` of one line."""
    try:
        yield
    except Exception as cause:
        text = " ".join(str(cause).split())[:200] or type(cause).__name__
        raise LabelFileError(f"{what}: {text}") from cause
