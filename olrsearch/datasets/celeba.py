"""CelebA, and whatever is written in its layout; read in place, nothing is unpacked."""

from __future__ import annotations

import logging
import zipfile
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from olrsearch.core.errors import DatasetNotFoundError, DuplicateKeyError
from olrsearch.datasets.base import PARTITIONS, Dataset, issues_of
from olrsearch.datasets.celeba_files import ATTRIBUTES, IDENTITY, PARTITION, parse_attributes, parse_numbers
from olrsearch.datasets.images import is_image_name, zip_names
from olrsearch.datasets.label_table import read_label_table
from olrsearch.datasets.table import with_rows

if TYPE_CHECKING:
    from collections.abc import Iterator

log = logging.getLogger(__name__)

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
    places = _text_places(path, root, None if own is not None else given)
    if own is not None:
        table = read_label_table(own)
    else:
        attributes = _text(places, ATTRIBUTES)
        if attributes is None:
            raise DatasetNotFoundError(
                f"no {ATTRIBUTES} beside {root / place}, nor in Anno/, Eval/ or anno.zip there; "
                "name its folder or zip as annotations"
            )
        table = parse_attributes(attributes, where=ATTRIBUTES)
    parts = {key: PARTITIONS[number] for key, number in _numbers(places, PARTITION, range(3)).items()}
    # What the table says lies over what stands in the text files.
    table = replace(
        table,
        partitions=parts | table.partitions,
        identities=_numbers(places, IDENTITY) | table.identities,
    )
    dataset = with_rows("celeba", root, uris, table)
    if own is not None:
        table.check_names_one(dataset, where=own.name, expected="file names")
    for what, known in (("partition", table.partitions), ("identity", table.identities)):
        lacking = [key for key in uris if known and key not in known]
        dataset.issues += issues_of(f"images-without-{what}", lacking, f"images have no {what}")
    log.info("%s: %d images, %d labels", root / place, len(uris), len(table.names))
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
    """The uri of every image, by its file name, sorted by that."""
    where = root / place
    uris: dict[str, str] = {}
    for uri in _walk(where, place):
        key = PurePosixPath(uri).name
        if key in uris:
            raise DuplicateKeyError(f"{where} holds two images named {key}: {uris[key]} and {uri}")
        uris[key] = uri
    if not uris:
        raise DatasetNotFoundError(f"no images in {where}")
    return dict(sorted(uris.items()))


def _walk(where: Path, place: Path) -> Iterator[str]:
    """Images of a zip, or of the folder and of one of the same name in it, as some archives unpack."""
    if not where.is_dir():
        yield from (f"{place.as_posix()}!{name}" for name in zip_names(where) if is_image_name(name))
        return
    for folder, inner in ((where, place), (where / _FOLDER, place / _FOLDER)):
        for entry in folder.iterdir() if folder.is_dir() else ():
            if is_image_name(entry.name):
                yield (inner / entry.name).as_posix()


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


def _text(places: list[Path], name: str) -> bytes | None:
    """The first text file of that name, or None."""
    for place in places:
        if (place / name).is_file():
            return (place / name).read_bytes()
        for member in zip_names(place) if place.is_file() else ():
            if PurePosixPath(member).name == name:
                try:
                    with zipfile.ZipFile(place) as archive:
                        return archive.read(member)
                except (OSError, zipfile.BadZipFile, RuntimeError) as cause:
                    raise DatasetNotFoundError(f"{member} in {place} cannot be unpacked: {cause}") from cause
    return None


def _numbers(places: list[Path], name: str, allowed: range | None = None) -> dict[str, int]:
    """The numbers of images in the first text file of that name; none without one."""
    text = _text(places, name)
    return {} if text is None else parse_numbers(text, where=name, allowed=allowed)
