"""Labels from folders: one folder a class, perhaps below folders of partitions.

```
cats/1.jpg              the class cats
train/cats/1.jpg        the same, of the partition train
pets/cats/siam/1.jpg    the same, where all images are below pets: the first folder that tells images apart
```
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from olrsearch.core.errors import LabelFileError
from olrsearch.datasets.table import LabelTable
from olrsearch.datasets.table_cells import class_labels, partition_named

if TYPE_CHECKING:
    from collections.abc import Sequence

_COLUMN: Final = "Folder"


def labels_from_folders(keys: Sequence[str]) -> LabelTable:
    """The classes that images' folders name, and the partitions above them.

    Args:
        keys: Of N images, with `/` between folders. Those beside the folders of classes have no label.

    Raises:
        LabelFileError: There are no folders, or their names will not do.
    """
    folders = [key.split("/")[:-1] for key in keys]
    while all(len(path) > 1 for path in folders) and len({path[0] for path in folders}) == 1:
        folders = [path[1:] for path in folders]
    parts = [partition_named(path[0]) if len(path) > 1 else None for path in folders]
    if all(part is not None for part, path in zip(parts, folders, strict=True) if path):
        folders = [path[1:] for path in folders]
    else:
        parts = [None] * len(keys)
    named = [(key, path[0], part) for key, path, part in zip(keys, folders, parts, strict=True) if path]
    if not named:
        raise LabelFileError(
            f"no image lies in a folder that could name its class; the first is {keys[0]!r}: expected a "
            "folder a class, as in cats/1.jpg"
        )
    names, labels = class_labels(
        [name for _, name, _ in named], _COLUMN, "the folders", range(1, len(named) + 1), nothing=()
    )
    return LabelTable(
        tuple(names),
        [key for key, _, _ in named],
        labels,
        partitions={key: part for key, _, part in named if part is not None},
    )
