"""Any folder (or zip) of images, with labels from a table of one's own."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from olrsearch.core.errors import DatasetNotFoundError, LabelFileError
from olrsearch.datasets.base import ArrayDataset, Dataset, DatasetIssue, issue, no_labels
from olrsearch.datasets.files import is_image_name, zip_names
from olrsearch.datasets.label_table import LabelTable, read_label_table

if TYPE_CHECKING:
    from collections.abc import Iterator

log = logging.getLogger(__name__)


def open_folder(
    path: Path | str, *, labels: Path | str | None = None, key_column: str | None = None
) -> Dataset:
    """Open all images below a folder, or in a zip.

    Keys are the images' paths relative to the folder (or their names in the zip), with
    `/` between folders; images are told by their suffix; hidden files and folders are
    passed over, and links to folders are not followed.

    Args:
        path: The folder or zip.
        labels: A table as CSV, TSV, Parquet or JSON lines, or in CelebA's text format;
            `olrsearch.datasets.label_table` says what it may hold. Without one the data set has no
            labels.
        key_column: The table's column that holds the keys; found by itself where it is
            the first, or called `image`, `key`, `file`, `filename` or `path`.

    Returns:
        The images sorted by key. Rows without images, and images without rows, are issues.

    Raises:
        DatasetNotFoundError: No such folder, no images in it, or no such table.
        LabelFileError: The table cannot be read, or none of its rows names an image.
    """
    path = Path(path)
    issues: list[DatasetIssue] = []
    if path.is_dir():
        root = path
        names, odd = _walk(path)
        uris = dict(zip(names, names, strict=True))
        if odd:
            issues.append(issue("unusable-names", f"{len(odd)} images have names that no uri can hold", odd))
    elif path.is_file():
        root = path.parent
        uris = {
            name: f"{path.name}!{name}"
            for name in zip_names(path)
            if is_image_name(name) and not name.startswith("__MACOSX/") and not _hidden(name)
        }
    else:
        raise DatasetNotFoundError(f"no folder at {path}")
    if not uris:
        raise DatasetNotFoundError(f"no images in {path}; expected files ending in .jpg, .png, .webp, …")
    keys = sorted(uris)
    ordered = [uris[key] for key in keys]
    log.info("%s: %d images", path, len(keys))
    if labels is None:
        unknown: list[None] = [None] * len(keys)
        return ArrayDataset(
            kind="folder",
            root=root,
            label_names=(),
            keys=keys,
            uris=ordered,
            labels=no_labels(len(keys)),
            labelled=np.zeros(len(keys), dtype=np.bool_),
            partitions=unknown,
            identities=unknown,
            issues=issues,
        )
    table = read_label_table(Path(labels), key_column=key_column)
    rows = {key: row for row, key in enumerate(table.keys)}
    found = np.array([rows.get(key, -1) for key in keys], dtype=np.int64)
    labelled = found >= 0
    if not labelled.any():
        raise LabelFileError(
            f"none of the {len(rows)} rows of {Path(labels).name} names an image: the first row names "
            f"{table.keys[0]!r}, the first image is {keys[0]!r}; expected paths relative to the folder"
        )
    issues += [*table.issues, *_mismatches(keys, table)]
    return ArrayDataset(
        kind="folder",
        root=root,
        label_names=table.names,
        keys=keys,
        uris=ordered,
        labels=np.where(labelled[:, None], table.labels[found], np.int8(0)),
        labelled=labelled,
        partitions=[table.partitions[row] if row >= 0 else None for row in found.tolist()],
        identities=[table.identities[row] if row >= 0 else None for row in found.tolist()],
        issues=issues,
    )


def _hidden(name: str) -> bool:
    """Whether a zip's member lies in a hidden folder."""
    return any(part.startswith(".") for part in name.split("/"))


def _walk(folder: Path) -> tuple[list[str], list[str]]:
    """Keys of all images below a folder, and names that cannot be keys."""
    names: list[str] = []
    odd: list[str] = []
    for here, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in files:
            if not is_image_name(name):
                continue
            key = (Path(here) / name).relative_to(folder).as_posix()
            # `.zip!` marks a zip member in a uri; bytes that are no UTF-8 cannot be stored as text.
            if ".zip!" in key.lower() or not key.isprintable():
                odd.append(key.encode("utf-8", "replace").decode())
            else:
                names.append(key)
    return names, sorted(odd)


def _mismatches(keys: list[str], table: LabelTable) -> Iterator[DatasetIssue]:
    images, rows = set(keys), set(table.keys)
    orphans = [key for key in table.keys if key not in images]
    if orphans:
        yield issue("rows-without-image", f"{len(orphans)} label rows have no image here", orphans)
    bare = [key for key in keys if key not in rows]
    if bare:
        yield issue("images-without-row", f"{len(bare)} images have no label row", bare)
