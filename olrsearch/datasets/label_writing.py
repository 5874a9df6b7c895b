"""Label tables to write, in forms that `label_table` and `celeba` read back as they are.

```
csv    image,partition,identity,Smiling,…        cells present, absent, unknown
json   {"image": …, "partition": …, "identity": …, "labels": {"Smiling": "present", …}}, one a line
txt    list_attr_celeba.txt: count, names, rows of 1 and -1
```

Partition and identity are left out where no image has one. Notation: R rows, L labels.
"""

from __future__ import annotations

import csv
import io
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

import numpy as np

from olrsearch.core.errors import LabelFileError
from olrsearch.datasets.celeba_files import format_attributes
from olrsearch.datasets.label_table import IDENTITY_COLUMN, KEY_COLUMNS, PARTITION_COLUMN, clean_key

if TYPE_CHECKING:
    from collections.abc import Sequence

    from olrsearch.core.arrays import I8

LabelForm: TypeAlias = Literal["txt", "csv", "json"]
LABEL_FORMS: Final[tuple[LabelForm, ...]] = ("txt", "csv", "json")

_WORDS: Final = np.array(["unknown", "present", "absent"])  # by value: 0, 1, −1 from the end
_IMAGE: Final = KEY_COLUMNS[0]


@dataclass(frozen=True, slots=True, eq=False)
class LabelRows:
    """What is written.

    Attributes:
        names: The L label names.
        keys: The R image keys.
        labels: int8 [R, L], −1/0/+1.
        partitions: R partitions, '' for none.
        identities: R identities, −1 for none.
    """

    names: tuple[str, ...]
    keys: Sequence[str]
    labels: I8
    partitions: Sequence[str]
    identities: Sequence[int]

    def special(self) -> list[str]:
        """Which of partition and identity any image has."""
        found = [PARTITION_COLUMN] if any(self.partitions) else []
        return found + ([IDENTITY_COLUMN] if any(number >= 0 for number in self.identities) else [])


def format_labels(rows: LabelRows, form: LabelForm) -> bytes:
    """A label file of these rows.

    Raises:
        LabelFileError: this form cannot hold them: values that are unknown, names or keys with blanks
            (`txt`); names of other columns, keys that would be read as others (`csv`).
    """
    return {"txt": _format_txt, "csv": _format_csv, "json": _format_json}[form](rows)


def _format_txt(rows: LabelRows) -> bytes:
    unknown = int((rows.labels == 0).sum())
    if unknown:
        images = int((rows.labels == 0).any(axis=1).sum())
        raise LabelFileError(
            f"{unknown} values of {images} images are unknown, and CelebA's format knows only 1 and -1: "
            "write .csv or .json, which hold them"
        )
    for what, texts in (("label", rows.names), ("image", rows.keys)):
        blank = next((text for text in texts if text.split() != [text] or min(text) <= " "), None)
        if blank is not None:
            raise LabelFileError(
                f"the {what} {blank!r} has a blank in its name, which separates columns in CelebA's format: "
                "write .csv or .json"
            )
    return format_attributes(rows.names, rows.keys, rows.labels)


def _format_csv(rows: LabelRows) -> bytes:
    special = rows.special()
    header = [_IMAGE, *special, *rows.names]
    taken = {PARTITION_COLUMN, IDENTITY_COLUMN}
    odd = next(
        (
            name
            for name in rows.names
            if name in {"", _IMAGE} or name.strip() != name or name.lower() in taken
        ),
        None,
    )
    if odd is not None:
        raise LabelFileError(
            f"the label {odd!r} would be read back as another column of a CSV file: write .json, which keeps "
            "labels apart"
        )
    changed = next((key for key in rows.keys if clean_key(key) != key), None)
    if changed is not None:
        raise LabelFileError(
            f"the key {changed!r} would be read back as {clean_key(changed)!r} from a CSV file: write .json"
        )
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    words: list[list[str]] = _WORDS[rows.labels].tolist()
    for row, key in enumerate(rows.keys):
        mine = _special(rows, row, special)
        writer.writerow([key, *("" if mine[name] is None else mine[name] for name in special), *words[row]])
    return text.getvalue().encode()


def _format_json(rows: LabelRows) -> bytes:
    special = rows.special()
    words: list[list[str]] = _WORDS[rows.labels].tolist()
    lines = [
        json.dumps(
            {
                _IMAGE: key,
                **_special(rows, row, special),
                "labels": dict(zip(rows.names, words[row], strict=True)),
            },
            ensure_ascii=False,
        )
        for row, key in enumerate(rows.keys)
    ]
    return ("\n".join(lines) + "\n").encode()


def _special(rows: LabelRows, row: int, names: Sequence[str]) -> dict[str, Any]:
    identity = rows.identities[row]
    found = {
        PARTITION_COLUMN: rows.partitions[row] or None,
        IDENTITY_COLUMN: None if identity < 0 else identity,
    }
    return {name: found[name] for name in names}
