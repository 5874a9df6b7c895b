"""CIFAR-100 in its binary version, from a folder or from the tar as distributed."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Final

import numpy as np

from olrsearch.core.errors import DatasetError, DatasetNotFoundError
from olrsearch.datasets.base import Dataset, DatasetIssue
from olrsearch.datasets.cifar_format import COARSE, FINE, check_classes, parse_names, parse_records
from olrsearch.datasets.containers import tar_members
from olrsearch.datasets.parts import Part, joined
from olrsearch.datasets.uris import is_tar_name

if TYPE_CHECKING:
    from collections.abc import Iterable

log = logging.getLogger(__name__)

_FOLDER: Final = "cifar-100-binary"
_ARCHIVE: Final = "cifar-100-binary.tar.gz"
_PARTS: Final = {"train": 50_000, "test": 10_000}
_NAMES: Final = {"fine": FINE, "coarse": COARSE}
_WANTED: Final = frozenset(
    {*(f"{part}.bin" for part in _PARTS), *(f"{what}_label_names.txt" for what in _NAMES)}
)


@dataclass(frozen=True, slots=True)
class _Found:
    """The files of the data set.

    Attributes:
        root: What uris are relative to.
        place: Where the files are, for messages.
        uris: Uri of each file, by its name.
        contents: Content of each file, by its name.
    """

    root: Path
    place: Path
    uris: dict[str, str]
    contents: dict[str, bytes]


def open_cifar100(path: Path | str, *, coarse: bool = False) -> Dataset:
    """Open CIFAR-100's binary version: `train.bin`, `test.bin` and the names of the classes.

    The class becomes binary labels: present for its own class, absent for all others.
    Keys are `train-00017` and `test-00017`.

    Args:
        path: The folder `cifar-100-binary`, the tar it is distributed in (read in place), or a
            folder that holds one of them.
        coarse: Take the 20 coarse classes for labels, not the 100 fine ones.

    Returns:
        The images in the order of their files, train first. A file that is missing, or holds
        another number of images than CIFAR-100's, is an issue.

    Raises:
        DatasetNotFoundError: No such folder or tar, neither `train.bin` nor `test.bin` in it, or
            no file of names.
        ImageDecodeError: A file is no whole number of records, or the tar is damaged.
        LabelFileError: A class number that CIFAR-100 does not have, or not as many names as it has.
        DatasetError: The tar has a name that no uri can be made of.
    """
    found = _find(Path(path))
    what = "coarse" if coarse else "fine"
    label_names = _label_names(found, what)
    parts: list[Part] = []
    issues: list[DatasetIssue] = []
    for part, expected in _PARTS.items():
        file = f"{part}.bin"
        if file not in found.contents:
            issues.append(DatasetIssue("missing-file", f"no {file} in {found.place}", 1, (file,)))
            continue
        records = parse_records(found.contents[file], where=file)
        check_classes(records, where=file)
        count = len(records.images)
        if count != expected:
            message = f"{file} holds {count:,} images, CIFAR-100's has {expected:,}"
            issues.append(DatasetIssue("image-count", message, abs(count - expected)))
        classes = (records.coarse if coarse else records.fine)[:, None].astype(np.int64)
        parts.append(Part(part, found.uris[file], part, classes))
    dataset = joined("cifar100", found.root, label_names, parts, issues)
    log.info("%s: %d images, %d %s classes", found.place, len(dataset), len(label_names), what)
    return dataset


def _find(path: Path) -> _Found:
    if path.is_dir():
        for folder in (path, path / _FOLDER):
            names = [name for name in sorted(_WANTED) if (folder / name).is_file()]
            if _has_images(names):
                below = folder.relative_to(path)
                uris = {name: (below / name).as_posix() for name in names}
                return _Found(path, folder, uris, {name: (folder / name).read_bytes() for name in names})
        if not (path / _ARCHIVE).is_file():
            raise DatasetNotFoundError(
                f"no train.bin or test.bin, no {_FOLDER} and no {_ARCHIVE} in {path}; "
                "expected CIFAR-100's binary version"
            )
        path /= _ARCHIVE
    if not path.is_file():
        raise DatasetNotFoundError(f"no folder or tar of CIFAR-100 at {path}")
    if not is_tar_name(path.name):
        raise DatasetError(f"{path} is no folder, and its name does not end in .tar.gz; expected {_ARCHIVE}")
    members = tar_members(path, lambda member: PurePosixPath(member).name in _WANTED)
    full = {PurePosixPath(member).name: member for member in members}
    if not _has_images(full):
        raise DatasetNotFoundError(
            f"neither train.bin nor test.bin in {path}; expected CIFAR-100's binary version"
        )
    return _Found(
        root=path.parent,
        place=path,
        uris={name: f"{path.name}!{member}" for name, member in full.items()},
        contents={name: members[member] for name, member in full.items()},
    )


def _has_images(names: Iterable[str]) -> bool:
    return any(name.endswith(".bin") for name in names)


def _label_names(found: _Found, what: str) -> tuple[str, ...]:
    file = f"{what}_label_names.txt"
    if file not in found.contents:
        raise DatasetNotFoundError(f"no {file} in {found.place}; it names the {_NAMES[what]} classes")
    return parse_names(found.contents[file], count=_NAMES[what], where=file)
