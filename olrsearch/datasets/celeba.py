"""CelebA, and whatever is written in its layout; read in place, nothing is unpacked."""

from __future__ import annotations

import logging
import zipfile
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Unpack

from olrsearch.core.errors import DatasetNotFoundError, DuplicateKeyError
from olrsearch.datasets.base import Dataset, issues_of
from olrsearch.datasets.celeba_files import ATTRIBUTES
from olrsearch.datasets.celeba_lists import attributes_of, find_list, identities_in, partitions_in
from olrsearch.datasets.images import is_image_name, zip_names
from olrsearch.datasets.label_table import read_label_table
from olrsearch.datasets.table import with_rows

if TYPE_CHECKING:
    from collections.abc import Iterator

    from olrsearch.datasets.table_options import TableOptions

log = logging.getLogger(__name__)

_FOLDERS = ("img_align_celeba", "img_align_celeba_png")
_IMAGES = tuple(
    Path(place, name) for folder in _FOLDERS for place in ("", "Img") for name in (folder, f"{folder}.zip")
)
_ANNOTATIONS = tuple(Path(place) for place in ("", "Anno", "Eval", "anno.zip", "Anno.zip"))


def open_celeba(
    path: Path | str,
    *,
    images: Path | str | None = None,
    annotations: Path | str | None = None,
    **options: Unpack[TableOptions],
) -> Dataset:
    """Open CelebA, or a data set in its layout with other labels.

    Args:
        path: A folder with the images, extracted (`img_align_celeba/`) or not
            (`img_align_celeba.zip`), directly or in `Img/`, and the text files beside
            them, in `Anno/` and `Eval/`, or in `anno.zip`. Or the zip of the images, or
            the extracted folder, itself: the text files are then looked for in that zip, and beside it.
            The edition in PNG (`img_align_celeba_png`) and lists as CSV, as Kaggle has them, are read, too.
        images: The folder or zip of the images, where it is elsewhere.
        annotations: The folder or zip of the text files, where it is elsewhere; or one table of labels in
            their stead, in any form that `read_label_table` knows, such as an export of corrected labels.
            What such a table does not say of partitions and identities is looked for beside the images.
        options: What the table of labels cannot say of itself.

    Returns:
        The images sorted by key (their file name). Rows without images are left out and
        counted as an issue, as any partial copy of CelebA has them; images without a
        row have `labels` None, and are an issue too. The partition and identity files
        may be missing.

    Raises:
        DatasetNotFoundError: No images or no attribute file at any of these places.
        LabelFileError: A text file is not as CelebA's; the message names the line. Or it names no image.
        DuplicateKeyError: Two images have the same file name.
    """
    path = Path(path)
    if not path.exists():
        raise DatasetNotFoundError(f"nothing at {path}; give the folder or the zip that holds CelebA")
    root, place = _find_images(path, None if images is None else Path(images))
    uris = _images(root, place)
    given = None if annotations is None else Path(annotations)
    own = given if given is not None and _is_table(given) else None
    places = _text_places(path, root / place, None if own is not None else given)
    if own is not None:
        where, table = own.name, read_label_table(own, **options)
    else:
        found = find_list(places, ATTRIBUTES)
        if found is None:
            raise DatasetNotFoundError(
                f"no {ATTRIBUTES} beside {root / place}, nor in Anno/, Eval/ or anno.zip there; name its "
                f"folder or zip as annotations, or run `olrsearch import folder {path}` for plain photos"
            )
        where, table = found.name, attributes_of(found, options)
    parts, numbers = partitions_in(places), identities_in(places)
    # What the table says lies over what stands in the text files.
    table = replace(table, partitions=parts | table.partitions, identities=numbers | table.identities)
    dataset = with_rows("celeba", root, uris, table, where=where, expected="file names")
    for what, known, has in (
        ("partition", table.partitions, dataset.partitions),
        ("identity", table.identities, dataset.identities),
    ):
        lacking = [key for key, said in zip(uris, has, strict=True) if known and said is None]
        dataset.issues += issues_of(
            f"images-without-{what}", lacking, "image has", "images have", f"no {what}"
        )
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
        f"no {_FOLDERS[0]}/ and no {_FOLDERS[0]}.zip in {path} or its folder Img; name the images' folder or "
        f"zip, or run `olrsearch import folder {path}` for plain photos"
    )


def _images(root: Path, place: Path) -> dict[str, str]:
    """The uri of every image, by its file name, sorted by that."""
    where = root / place
    uris: dict[str, str] = {}
    for name, uri in _walk(where, place):
        if name in uris:
            raise DuplicateKeyError(f"{where} holds two images named {name}: {uris[name]} and {uri}")
        uris[name] = uri
    if not uris:
        raise DatasetNotFoundError(f"no images in {where}")
    return dict(sorted(uris.items()))


def _walk(where: Path, place: Path) -> Iterator[tuple[str, str]]:
    """File names and uris in a zip, or in the folder and one of the same name in it, as archives unpack."""
    if not where.is_dir():
        for name in zip_names(where):
            if is_image_name(name):
                yield PurePosixPath(name).name, f"{place.as_posix()}!{name}"
        return
    for below in ("", *_FOLDERS):
        folder = where / below
        for entry in folder.iterdir() if folder.is_dir() else ():
            if is_image_name(entry.name):
                yield entry.name, (place / below / entry.name).as_posix()


def _is_table(path: Path) -> bool:
    """Whether a path names one table of labels rather than a folder or zip of text files."""
    return path.is_file() and path.suffix.lower() != ".zip" and not zipfile.is_zipfile(path)


def _text_places(path: Path, images: Path, given: Path | None) -> list[Path]:
    """The folders and zips to look for text files in, best first."""
    if given is not None:
        if not given.exists():
            raise DatasetNotFoundError(
                f"no annotations at {given}; give the folder or the zip that holds them"
            )
        bases = [given]
    else:
        here = path if path.is_dir() else path.parent
        bases = [here, images.parent]
        if here.name in {*_FOLDERS, "Img"}:
            bases.append(here.parent)
        if images.is_file():
            bases.append(images)
    return [base / place for base in bases for place in (_ANNOTATIONS if base.is_dir() else (Path(),))]
