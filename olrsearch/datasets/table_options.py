"""What people say of a table of labels, beside the table."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, TypedDict

if TYPE_CHECKING:
    from collections.abc import Sequence


class TableOptions(TypedDict, total=False):
    """What a table cannot say of itself.

    Attributes:
        key_column: The column that names the image; by default the first that is called one of
            `KEY_COLUMNS`, or else the first.
        header: Whether the first row of a CSV names the columns (the default); without, they are called
            `Column_1`, `Column_2` ….
        columns: The labels to take; all others are left out.
        exclude_columns: Columns that are no labels, or are not wanted.
        class_columns: Columns that name a class each; every class becomes a label.
        partition_column: The column of partitions; `partition` by default.
        identity_column: The column that says who is shown; `identity` by default.
        zero: What 0 means, where a file does not: by default unknown if any label cell is −1.
    """

    key_column: str | None
    header: bool | None
    columns: Sequence[str] | None
    exclude_columns: Sequence[str] | None
    class_columns: Sequence[str] | None
    partition_column: str | None
    identity_column: str | None
    zero: Literal["absent", "unknown"] | None
