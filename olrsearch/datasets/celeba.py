"""CelebA, and whatever is written in its layout; read in place, nothing is unpacked."""

from __future__ import annotations

import logging
import zipfile
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, TypeVar

from olrsearch.core.errors import DatasetNotFoundError, DuplicateKeyError
from olrsearch.datasets.base import PARTITIONS, ArrayDataset, Dataset, DatasetIssue, issue
from olrsearch.datasets.celeba_files import (
    ATTRIBUTES,
    IDENTITY,
    PARTITION,
    parse_attributes,
    parse_numbers,
)
from olrsearch.datasets.files import is_image_name, zip_names
from olrsearch.datasets.label_table import read_label_table
from olrsearch.datasets.table import mismatches

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence


log = logging.getLogger(__name__)

T = TypeVar("T")

_FOLDER = "img_align_celeba"
_IMAGES = tuple(Path(place, name) for place in ("", "Img") for name in (_FOLDER, f"{_FOLDER}.zip"))
_ANNOTATIONS = tuple(Path(place) for place in ("", "Anno", "Eval", "anno.zip", "Anno.zip"))


def open_celeba(
    path: Path | str,
    *,
    images: Path | str | None = None,
    annotations: Path | str | None = None,
) -> Dataset:
    """Open CelebA, or a data set in its layout with other labels.

    Args:
        path: A folder with the images, extracted (`img_align_celeba/`) or not
            (`img_align_celeba.zip`), directly or in `Img/`, and the text files beside
            them, in `Anno/` and `Eval/`, or in `anno.zip`. Or the zip of the images, or
            the extracted folder, itself: the text files are then looked for beside it.
        images: The folder or zip of the images, where it is elsewhere.
        annotations: The folder or zip of the text files, where it is elsewhere; or one table of labels in
            their stead, in any form that `read_label_table` knows, such as an export of corrected labels.
            What such a table does not say of partitions and identities is looked for beside the images.

    Returns:
        The images sorted by key (their file name). Rows without images are left out and
        counted as an issue, as any partial copy of CelebA has them; images without a
        row have `labels` None, and are an issue too. The partition and identity files
        may be missing.

    Raises:
        DatasetNotFoundError: No images or no attribute file at any of these places.
        LabelFileError: A text file is not as CelebA's; the message names the line.
        DuplicateKeyError: Two images have the same file name.
    """
    path = Path(path)
    if not path.exists():
        raise DatasetNotFoundError(f"nothing at {path}; give the folder or the zip that holds CelebA")
    root, place = _find_images(path, None if images is None else Path(images))
    uris = _images(root, place)
    given = None if annotations is None else Path(annotations)
    own = given if given is not None and _is_table(given) else None
    texts = _Texts(_text_places(path, root, None if own is not None else given))
    if own is not None:
        table = read_label_table(own)
    else:
        attributes = texts.read(ATTRIBUTES)
        if attributes is None:
            raise DatasetNotFoundError(
                f"no {ATTRIBUTES} beside {root / place}, nor in Anno/, Eval/ or anno.zip there; "
                "name its folder or zip as annotations"
            )
        table = parse_attributes(attributes, where=ATTRIBUTES)
    numbers, persons = texts.numbers(PARTITION, range(3)), texts.numbers(IDENTITY)
    parts = None if numbers is None else {key: PARTITIONS[number] for key, number in numbers.items()}
    parts = _overlaid(parts, table.keys, table.partitions)
    persons = _overlaid(persons, table.keys, table.identities)

    keys = sorted(uris)
    rows = table.rows_of(keys)
    if own is not None:
        table.check_names_one(keys, rows, where=own.name, expected="file names")
    dataset = ArrayDataset(
        kind="celeba",
        root=root,
        label_names=table.names,
        keys=keys,
        uris=[uris[key] for key in keys],
        labels=table.labels_of(rows),
        labelled=rows >= 0,
        partitions=[(parts or {}).get(key) for key in keys],
        identities=[(persons or {}).get(key) for key in keys],
        issues=[*table.issues, *mismatches(keys, table.keys), *_lacking(keys, parts, persons)],
    )
    log.info("%s: %d images, %d labels", root / place, len(keys), len(table.names))
    return dataset


def _find_images(path: Path, given: Path | None) -> tuple[Path, Path]:
    """The root, and the folder or zip of the images relative to it."""
    if given is not None:
        if not given.exists():
            raise DatasetNotFoundError(f"no images at {given}; give the folder or the zip that holds them")
        return given.parent, Path(given.name)
    if path.is_file():
        return path.parent, Path(path.name)
    for candidate in _IMAGES:
        if (path / candidate).exists():
            return path, candidate
    if any(is_image_name(entry.name) for entry in path.iterdir()):  # the extracted folder itself
        return path, Path()
    raise DatasetNotFoundError(
        f"no {_FOLDER}/ and no {_FOLDER}.zip in {path} or its folder Img; name the images' folder or zip"
    )


def _images(root: Path, place: Path) -> dict[str, str]:
    """The uri of every image, by its file name."""
    where = root / place
    uris: dict[str, str] = {}
    for uri in _walk(where, place) if where.is_dir() else _members(where, place):
        key = PurePosixPath(uri).name
        if key in uris:
            raise DuplicateKeyError(f"{where} holds two images named {key}: {uris[key]} and {uri}")
        uris[key] = uri
    if not uris:
        raise DatasetNotFoundError(f"no images in {where}")
    return uris


def _walk(where: Path, place: Path) -> Iterator[str]:
    """Images of the folder and of a folder of the same name in it, as some archives unpack."""
    for folder, inner in ((where, place), (where / _FOLDER, place / _FOLDER)):
        if folder.is_dir():
            for entry in folder.iterdir():
                if is_image_name(entry.name):
                    yield (inner / entry.name).as_posix()


def _members(where: Path, place: Path) -> Iterator[str]:
    for name in zip_names(where):
        if is_image_name(name) and not name.startswith("__MACOSX/"):
            yield f"{place.as_posix()}!{name}"


def _is_table(path: Path) -> bool:
    """Whether a path names one table of labels rather than a folder or zip of text files."""
    return path.is_file() and path.suffix.lower() != ".zip" and not zipfile.is_zipfile(path)


def _text_places(path: Path, root: Path, given: Path | None) -> list[Path]:
    """The folders and zips to look for text files in, best first."""
    if given is not None:
        if not given.exists():
            raise DatasetNotFoundError(
                f"no annotations at {given}; give the folder or the zip that holds them"
            )
        bases = [given]
    else:
        here = path if path.is_dir() else path.parent
        bases = [here, root]
        if here.name in {_FOLDER, "Img"}:
            bases.append(here.parent)
    return [base / place for base in bases for place in (_ANNOTATIONS if base.is_dir() else (Path(),))]


class _Texts:
    """The text files in a list of folders and zips."""

    def __init__(self, places: list[Path]) -> None:
        self._places = [place for place in places if place.exists()]

    def read(self, name: str) -> bytes | None:
        """The first file of that name, or None."""
        for place in self._places:
            if place.is_dir():
                if (place / name).is_file():
                    return (place / name).read_bytes()
                continue
            for member in zip_names(place):
                if PurePosixPath(member).name == name and not member.startswith("__MACOSX/"):
                    return self._unpack(place, member)
        return None

    def numbers(self, name: str, allowed: range | None = None) -> dict[str, int] | None:
        """The numbers of images in the first file of that name, or None."""
        text = self.read(name)
        return None if text is None else parse_numbers(text, where=name, allowed=allowed)

    @staticmethod
    def _unpack(place: Path, member: str) -> bytes:
        try:
            with zipfile.ZipFile(place) as archive:
                return archive.read(member)
        except (OSError, zipfile.BadZipFile, RuntimeError) as cause:
            raise DatasetNotFoundError(f"{member} in {place} cannot be unpacked: {cause}") from cause


def _overlaid(below: dict[str, T] | None, keys: list[str], said: Sequence[T | None]) -> dict[str, T] | None:
    """What a table says of images, over what stands in a text file; None where neither is there."""
    above = {key: value for key, value in zip(keys, said, strict=True) if value is not None}
    return {**(below or {}), **above} if above else below


def _lacking(
    keys: list[str], parts: dict[str, str] | None, persons: dict[str, int] | None
) -> Iterator[DatasetIssue]:
    """Images that the partition and identity files do not name; None is a file that is not there."""
    held: tuple[tuple[str, Mapping[str, object] | None], ...] = (("partition", parts), ("identity", persons))
    for what, numbers in held:
        lacking = [] if numbers is None else [key for key in keys if key not in numbers]
        if lacking:
            yield issue(f"images-without-{what}", f"{len(lacking)} images have no {what}", lacking)
