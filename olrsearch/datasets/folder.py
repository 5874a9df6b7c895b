"""Any folder (or zip) of images, with labels from a table of one's own."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Unpack

import numpy as np

from olrsearch.core.errors import DatasetError, DatasetNotFoundError
from olrsearch.core.names import unfit_character
from olrsearch.core.shown import escaped
from olrsearch.datasets.base import UNREADABLE_FOLDERS, ArrayDataset, Dataset, issues_of
from olrsearch.datasets.containers import zip_members
from olrsearch.datasets.folder_classes import labels_from_folders
from olrsearch.datasets.kinds import LeftOut, is_image_name, issues_of_kinds
from olrsearch.datasets.label_table import read_label_table
from olrsearch.datasets.table import with_rows

if TYPE_CHECKING:
    from collections.abc import Sequence

    from olrsearch.datasets.base import DatasetIssue
    from olrsearch.datasets.table_options import TableOptions

log = logging.getLogger(__name__)


def open_folder(
    path: Path | str,
    *,
    labels: Path | str | None = None,
    labels_from: Literal["folders"] | None = None,
    exclude: Sequence[str] = (),
    **options: Unpack[TableOptions],
) -> Dataset:
    """Open all images below a folder, or in a zip.

    Keys are the images' paths relative to the folder (or their names in the zip), with
    `/` between folders; images are told by their suffix; hidden files and folders are
    passed over, and so is what systems put beside images (`olrsearch.datasets.kinds`); links to folders are
    not followed.

    Args:
        path: The folder or zip.
        labels: A table as CSV, TSV, Parquet or JSON lines, or in CelebA's text format;
            `olrsearch.datasets.label_table` says what it may hold. Without one the data set has no
            labels.
        labels_from: `folders` for one folder a class (`olrsearch.datasets.folder_classes`).
        exclude: Patterns of names and paths to leave out; see `LeftOut`.
        options: What the table cannot say of itself.

    Returns:
        The images sorted by key. Rows without images, and images without rows, are issues, and so are
        folders that are not looked into and files that people may miss: HEIC without its library, RAW, video.

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
    left_out = LeftOut(exclude)
    if path.is_dir():
        root = path
        uris, issues = _of_folder(path, left_out)
    elif path.is_file():
        root = path.parent
        uris, issues = _of_zip(path, left_out)
    else:
        raise DatasetNotFoundError(f"no folder at {path}")
    if not uris:
        told = "; ".join(issue.message for issue in issues) or "expected files ending in .jpg, .png, .webp, …"
        raise DatasetNotFoundError(f"no images in {path}; {told}")
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
    dataset.issues[:0] = issues
    return dataset


def _of_zip(path: Path, left_out: LeftOut) -> tuple[dict[str, str], list[DatasetIssue]]:
    """The uri of every image of a zip by its key, sorted by that, and what is odd."""
    found, odd = zip_members(path)
    names = {
        member.key: f"{path.name}!{member.name}"
        for member in found
        if not any(part.startswith(".") for part in member.key.split("/"))
        and not left_out.matches(member.key)
    }
    uris = {key: names[key] for key in sorted(names) if is_image_name(key)}
    return uris, [*odd, *issues_of_kinds(names), *left_out.issues()]


def _of_folder(folder: Path, left_out: LeftOut) -> tuple[dict[str, str], list[DatasetIssue]]:
    """The uri of every image below a folder by its key, sorted by that, and what is odd."""
    names: list[str] = []
    odd: list[str] = []
    linked: list[str] = []
    closed: list[OSError] = []
    for here, folders, files in os.walk(folder, onerror=closed.append):
        inner = Path(here).relative_to(folder)
        kept = [name for name in folders if _is_wanted(inner / name, left_out)]
        linked.extend((inner / name).as_posix() for name in kept if Path(here, name).is_symlink())
        folders[:] = kept
        for name in files:
            if not _is_wanted(inner / name, left_out):
                continue
            key = (inner / name).as_posix()
            # `.zip!` marks a zip member in a uri.
            if unfit_character(key) or ".zip!" in key.lower():
                odd.extend([key] if is_image_name(name) else [])
            else:
                names.append(key)
    unread = [os.path.relpath(error.filename, folder) for error in closed]
    keys = sorted(key for key in names if is_image_name(key))
    return {key: key for key in keys}, [
        *issues_of(
            "unusable-names",
            _shown(odd),
            "image has",
            "images have",
            f"names that no store can keep; rename them: {', '.join(_shown(odd)[:3])}",
        ),
        *issues_of(
            UNREADABLE_FOLDERS, _shown(unread), "folder", "folders", f"cannot be read ({_reason(closed)})"
        ),
        *issues_of(
            "linked-folders",
            _shown(linked),
            "link to a folder is",
            "links to folders are",
            "not followed; import those folders",
        ),
        *issues_of_kinds(names),
        *left_out.issues(),
    ]


def _is_wanted(path: Path, left_out: LeftOut) -> bool:
    return not path.name.startswith(".") and not left_out.matches(path.as_posix())


def _shown(names: Sequence[str]) -> list[str]:
    return sorted(escaped(name) for name in names)


def _reason(errors: Sequence[OSError]) -> str:
    return ", ".join(sorted({error.strerror or type(error).__name__ for error in errors}))
