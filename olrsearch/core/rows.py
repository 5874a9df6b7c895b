"""Answers that are rows: sequences, tables of pandas, and tables in a notebook."""

from __future__ import annotations

import base64
import dataclasses
import html
from typing import TYPE_CHECKING, Any, ClassVar, Final, Generic, Self, TypeVar, cast, overload

import numpy as np

from olrsearch.core.errors import OlrsearchError, OptionalDependencyError
from olrsearch.core.label_values import as_json
from olrsearch.core.shown import escaped

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from typing import TypeAlias

    import pandas as pd

    # From the ids of images to their JPEGs, as far as there are any.
    Thumbnails: TypeAlias = Callable[[Sequence[int]], Mapping[int, bytes]]

T = TypeVar("T")

SHOWN_ROWS: Final = 50
"""Rows of an answer that a notebook shows, with pictures."""
_SHOWN_TEXT: Final = 200
"""Characters of a cell."""


class Rows(Generic[T]):
    """What a dataclass that holds rows can do: an index gives a row, a slice an answer of the same kind."""

    __slots__ = ()

    ROWS: ClassVar[str]
    """The field that holds the rows, a tuple."""

    def _rows(self) -> tuple[T, ...]:
        return cast("tuple[T, ...]", getattr(self, self.ROWS))

    def __iter__(self) -> Iterator[T]:
        return iter(self._rows())

    def __len__(self) -> int:
        return len(self._rows())

    @overload
    def __getitem__(self, place: int) -> T: ...
    @overload
    def __getitem__(self, place: slice) -> Self: ...
    def __getitem__(self, place: int | slice) -> T | Self:
        if not isinstance(place, slice):
            return self._rows()[place]
        some: Self = dataclasses.replace(cast("Any", self), **{self.ROWS: self._rows()[place]})
        return some

    def to_dicts(self) -> list[dict[str, Any]]:
        """One JSON-ready dict a row, keys as documented in the command reference."""
        return [as_json(row) for row in self._rows()]

    def to_pandas(self) -> pd.DataFrame:
        """A table of pandas, a row each.

        Raises:
            OptionalDependencyError: pandas is not installed.
        """
        try:
            import pandas as pd
        except ImportError as error:
            raise OptionalDependencyError(
                "to_pandas needs the package pandas, which is not installed; run pip install "
                "'olrsearch[pandas]'"
            ) from error
        table = [self._flat(row) for row in self._rows()]
        return pd.DataFrame(table, columns=None if table else self._columns())

    def _columns(self) -> list[str]:
        """The columns of a table without rows, as far as rows do not bring them."""
        return []

    def _flat(self, row: T) -> dict[str, Any]:
        """A row as columns of a table."""
        found: dict[str, Any] = as_json(row)
        return found

    def _in_notebook(self, rows: Sequence[T]) -> list[dict[str, Any]]:
        """The rows of the table in a notebook, as columns."""
        return [self._flat(row) for row in rows]

    def _heading(self) -> str:
        """What stands over the rows in a notebook."""
        return f"{len(self)} rows"

    def _notes(self) -> Sequence[str]:
        """What a reader must know, in a notebook."""
        return tuple(getattr(self, "notes", ()))

    def _repr_html_(self) -> str:
        """How notebooks show it: a table, with pictures where there are any."""
        rows = self._rows()[:SHOWN_ROWS]
        ids = [getattr(row, "image_id", None) for row in rows]
        pictures = self._thumbnails([number for number in ids if number is not None])
        flat = self._in_notebook(rows)
        columns = list(dict.fromkeys(name for row in flat for name in row))
        head = (["", *columns] if pictures else columns) if rows else []
        lines = [f"<p><b>{_text(self._heading())}</b></p>"]
        lines += [f"<p><small>{_text(note)}</small></p>" for note in self._notes()]
        lines.append("<table><thead><tr>" + "".join(f"<th>{_text(name)}</th>" for name in head))
        lines.append("</tr></thead><tbody>")
        for number, row in zip(ids, flat, strict=True):
            cells = [f"<td>{_text(_cell(row.get(name)))}</td>" for name in columns]
            if pictures:
                cells.insert(0, f"<td>{_picture(pictures.get(cast('int', number)))}</td>")
            lines.append(f"<tr>{''.join(cells)}</tr>")
        lines.append("</tbody></table>")
        if len(self) > len(rows):
            lines.append(f"<p>… and {len(self) - len(rows):,} more</p>")
        return "".join(lines)

    def _thumbnails(self, ids: Sequence[int]) -> Mapping[int, bytes]:
        """Pictures of images, none where the answer knows of none or the store is gone."""
        thumbnails: Thumbnails | None = getattr(self, "thumbnails", None)
        if thumbnails is None or not ids:
            return {}
        try:
            return thumbnails(list(dict.fromkeys(ids)))
        except (OlrsearchError, OSError):
            return {}


def columns_of(row: type, *but: str) -> list[str]:
    """Names of the fields of a row, some left out."""
    return [field.name for field in dataclasses.fields(row) if field.name not in but]


def _cell(value: Any) -> str:  # noqa: ANN401 - what a table holds
    if isinstance(value, float | np.floating):
        return f"{value:.4g}"
    return "" if value is None else str(value)


def _text(text: str) -> str:
    shown = text if len(text) <= _SHOWN_TEXT else f"{text[:_SHOWN_TEXT]}…"
    return html.escape(escaped(shown))


def _picture(jpeg: bytes | None) -> str:
    if jpeg is None:
        return ""
    data = base64.b64encode(jpeg).decode()
    return f'<img alt="" style="max-height:96px" src="data:image/jpeg;base64,{data}">'
