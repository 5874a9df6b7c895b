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
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

import numpy as np

from olrsearch.core.errors import LabelFileError
from olrsearch.datasets.celeba_files import format_attributes
from olrsearch.datasets.label_table import clean_key
from olrsearch.datasets.table_columns import IDENTITY_COLUMN, KEY_COLUMNS, PARTITION_COLUMN

if TYPE_CHECKING:
    from collections.abc import Mapping

    from olrsearch.datasets.table import LabelTable

LabelForm: TypeAlias = Literal["txt", "csv", "json"]
LABEL_FORMS: Final[tuple[LabelForm, ...]] = ("txt", "csv", "json")

_WORDS: Final = np.array(["unknown", "present", "absent"])  # by value: 0, 1, −1 from the end
_IMAGE: Final = KEY_COLUMNS[0]


def format_labels(table: LabelTable, form: LabelForm) -> bytes:
    """A label file of these table.

    Raises:
        LabelFileError: this form cannot hold them: values that are unknown, names or keys with blanks
            (`txt`); names of other columns, keys that would be read as others (`csv`).
    """
    return {"txt": _format_txt, "csv": _format_csv, "json": _format_json}[form](table)


def _format_txt(table: LabelTable) -> bytes:
    unknown = int((table.labels == 0).sum())
    if unknown:
        images = int((table.labels == 0).any(axis=1).sum())
        raise LabelFileError(
            f"{unknown} values of {images} images are unknown, and CelebA's format knows only 1 and -1: "
            "write .csv or .json, which hold them"
        )
    for what, texts in (("label", table.names), ("image", table.keys)):
        for text in texts:
            if text.split() != [text] or min(text) <= " ":
                raise LabelFileError(
                    f"the {what} {text!r} has a blank in its name, which separates columns in CelebA's "
                    "format: write .csv or .json"
                )
    return format_attributes(table.names, table.keys, table.labels)


def _format_csv(table: LabelTable) -> bytes:
    taken = {PARTITION_COLUMN, IDENTITY_COLUMN}
    for name in table.names:
        if name in {"", _IMAGE} or name.strip() != name or name.lower() in taken:
            raise LabelFileError(
                f"the label {name!r} would be read back as another column of a CSV file: write .json, which "
                "keeps labels apart"
            )
    for key in table.keys:
        if clean_key(key) != key:
            raise LabelFileError(
                f"the key {key!r} would be read back as {clean_key(key)!r} from a CSV file: write .json"
            )
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    special = _special(table)
    writer.writerow([_IMAGE, *special, *table.names])
    for key, words in zip(table.keys, _WORDS[table.labels].tolist(), strict=True):
        writer.writerow([key, *(values.get(key) for values in special.values()), *words])
    return text.getvalue().encode()


def _format_json(table: LabelTable) -> bytes:
    special = _special(table)
    lines = []
    for key, words in zip(table.keys, _WORDS[table.labels].tolist(), strict=True):
        mine = {name: values.get(key) for name, values in special.items()}
        labels = dict(zip(table.names, words, strict=True))
        lines.append(json.dumps({_IMAGE: key, **mine, "labels": labels}, ensure_ascii=False))
    return ("\n".join(lines) + "\n").encode()


def _special(table: LabelTable) -> dict[str, Mapping[str, str | int]]:
    """Partitions and identities, as far as any image has one."""
    columns: tuple[tuple[str, Mapping[str, str | int]], ...] = (
        (PARTITION_COLUMN, table.partitions),
        (IDENTITY_COLUMN, table.identities),
    )
    return {name: values for name, values in columns if values}
