"""Any folder (or zip) of images, with labels from a table of one's own."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Unpack

import numpy as np

from olrsearch.core.errors import DatasetError, DatasetNotFoundError
from olrsearch.datasets.base import ArrayDataset, Dataset, issues_of
from olrsearch.datasets.folder_classes import labels_from_folders
from olrsearch.datasets.images import is_image_name, zip_names
from olrsearch.datasets.label_table import read_label_table
from olrsearch.datasets.table import with_rows

if TYPE_CHECKING:
    from olrsearch.datasets.table_options import TableOptions

log = logging.getLogger(__name__)


def open_folder(
    path: Path | str,
    *,
    labels: Path | str | None = None,
    labels_from: Literal["folders"] | None = None,
    **options: Unpack[TableOptions],
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
        labels_from: `folders` for one folder a class (`olrsearch.datasets.folder_classes`).
        options: What the table cannot say of itself.

    Returns:
        The images sorted by key. Rows without images, and images without rows, are issues.

    Raises:
        DatasetNotFoundError: No such folder, no images in it, or no such table.
        LabelFileError: The table cannot be read, or none of its rows names an image.
        DatasetError: Labels are asked for from a table and from folders.
    """
    path = Path(path)
    if labels is not None and labels_from is not None:
        raise DatasetError("labels come from a table or from folders: give one of the two")
    said = next((name for name, value in options.items() if value is not None and value is not True), None)
    if labels is None and said is not None:
        raise DatasetError(f"{said.replace('_', '-')} says how to read a table of labels: name the table")
    odd: list[str] = []
    if path.is_dir():
        root = path
        names, odd = _walk(path)
        uris = {name: name for name in sorted(names)}
    elif path.is_file():
        root = path.parent
        names = [name for name in zip_names(path) if is_image_name(name) and not _hidden(name)]
        uris = {name: f"{path.name}!{name}" for name in sorted(names)}
    else:
        raise DatasetNotFoundError(f"no folder at {path}")
    if not uris:
        raise DatasetNotFoundError(f"no images in {path}; expected files ending in .jpg, .png, .webp, …")
    log.info("%s: %d images", path, len(uris))
    if labels_from is not None:
        table = labels_from_folders(list(uris))
        dataset = with_rows("folder", root, uris, table, where=str(path), expected="folders")
    elif labels is not None:
        table = read_label_table(Path(labels), **options)
        expected = "paths relative to the folder"
        dataset = with_rows("folder", root, uris, table, where=Path(labels).name, expected=expected)
    else:
        nothing, nobody = np.zeros((len(uris), 0), np.int8), np.zeros(len(uris), np.bool_)
        dataset = ArrayDataset("folder", root, (), list(uris), list(uris.values()), nothing, nobody)
    dataset.issues[:0] = issues_of("unusable-names", odd, "images have names that no uri can hold")
    return dataset


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
