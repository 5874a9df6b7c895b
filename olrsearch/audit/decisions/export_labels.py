"""The labels a store has by now, as a file that imports read: annotations with decisions applied.

Imported into a fresh store, or into the one it came from, an export gives the labels it was written
from. In the latter the decisions stay where they are, over annotations that now agree with them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from olrsearch.core.errors import AuditError, LabelFileError, UnknownDatasetError
from olrsearch.core.names import nearest_names
from olrsearch.datasets.label_writing import LABEL_FORMS, LabelForm, LabelRows, format_labels
from olrsearch.search.spaces.about import matching
from olrsearch.store.files import replace_durably
from olrsearch.store.read.snapshot import FILTER_COLUMNS

if TYPE_CHECKING:
    from pathlib import Path

    from olrsearch.core.arrays import I64
    from olrsearch.store.read.snapshot import Snapshot


@dataclass(frozen=True, slots=True)
class LabelExport:
    """What an export wrote.

    Attributes:
        path: The file.
        form: `txt`, `csv` or `json`.
        images: Rows, one an image.
        labels: How many labels.
        changed: Values that decisions have changed.
        unlabelled: Images that were left out because nothing is stored of their labels.
    """

    path: str
    form: str
    images: int
    labels: int
    changed: int
    unlabelled: int


def export_labels(
    snapshot: Snapshot,
    path: Path,
    *,
    form: LabelForm | None = None,
    dataset: str | None = None,
    where: str | None = None,
    replace: bool = False,
) -> LabelExport:
    """Write the effective labels of images, whole or not at all.

    Images without any stored labels are left out, as are labels of which nothing is known of any of the
    images. In the form `csv` or `json` partition and identity are written where there are any.

    Args:
        snapshot: What to read.
        path: The file to write.
        form: `txt` (CelebA's list_attr_celeba.txt), `csv` or `json` (JSON lines); by the name of the file
            when None.
        dataset: Name of the data set; all of them when None.
        where: A condition on images; all of them when None.
        replace: Whether a file that is there may be written over.

    Raises:
        LabelFileError: the form cannot hold these labels (unknown values in `txt`), a key is in several data
            sets, no image is chosen or has labels, or the file's name says no form.
        AuditError: the file is there and is not to be replaced.
        UnknownDatasetError: no such data set.
        QuerySyntaxError: the condition does not parse.
    """
    chosen = form or form_of(path)
    check_free(path, replace=replace)
    ids = _chosen(snapshot, dataset, where)
    if not ids.size:
        raise LabelFileError(f"no image of {snapshot.folder} is chosen: nothing to export")
    labelled = ids[snapshot.annotated(ids)]
    if not labelled.size:
        raise LabelFileError(
            f"none of {ids.size} images has stored labels: choose others, or import labels first"
        )
    columns = snapshot.columns(labelled, ("key", "dataset", "partition", "identity"))
    keys: list[str] = columns["key"].tolist()
    _check_keys(keys, columns["dataset"].tolist())
    effective, annotated = (snapshot.labels(labelled, overrides=overrides) for overrides in (True, False))
    # A label annotated anywhere stays, though its values be unknown by now: a fresh import says otherwise.
    said = ((effective != 0) | (annotated != 0)).any(axis=0)
    rows = LabelRows(
        names=tuple(name for name, kept in zip(snapshot.label_names, said, strict=True) if kept),
        keys=keys,
        labels=np.ascontiguousarray(effective[:, said]),
        partitions=columns["partition"].tolist(),
        identities=columns["identity"].tolist(),
    )
    if not rows.names:
        raise LabelFileError(f"no label of {labelled.size} images has a known value: nothing to export")
    write_new(path, format_labels(rows, chosen))
    return LabelExport(
        path=str(path),
        form=chosen,
        images=len(keys),
        labels=len(rows.names),
        changed=int((effective != annotated).sum()),
        unlabelled=int(ids.size - labelled.size),
    )


def form_of(path: Path) -> LabelForm:
    """The form that a file's name asks for.

    Raises:
        LabelFileError: another suffix.
    """
    suffix = path.suffix.lower().removeprefix(".").replace("jsonl", "json")
    if suffix not in LABEL_FORMS:
        raise LabelFileError(
            f"{path.name} says no form: name the file .txt, .csv, .json or .jsonl, or say the form (--form)"
        )
    return suffix


def check_free(path: Path, *, replace: bool) -> None:
    """Refuse to write over a file.

    Raises:
        AuditError: it is there and is not to be replaced, or is a folder.
    """
    if path.is_dir():
        raise AuditError(f"{path} is a folder: name a file in it")
    if path.exists() and not replace:
        raise AuditError(f"{path} is there already: name another file, or say --replace")


def write_new(path: Path, data: bytes) -> None:
    """Write a file, whole or not at all; folders that lack are made.

    Raises:
        AuditError: the file cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        replace_durably(path.absolute(), data)
    except OSError as error:
        raise AuditError(f"{path} cannot be written: {error.strerror or error}") from error


def _chosen(snapshot: Snapshot, dataset: str | None, where: str | None) -> I64:
    """Ids of the images to export."""
    known = [info.name for info in snapshot.datasets()]
    if dataset is not None and dataset not in known:
        near = nearest_names(dataset, known)
        hint = f"did you mean {', '.join(near)}?" if near else f"it has: {', '.join(known) or 'none yet'}"
        raise UnknownDatasetError(f"no data set {dataset!r} in {snapshot.folder}; {hint}")
    ids = snapshot.image_ids(None if dataset is None else FILTER_COLUMNS["dataset"] == dataset)
    return ids if where is None else ids[matching(snapshot, ids, where)]


def _check_keys(keys: list[str], datasets: list[str]) -> None:
    """Refuse keys that stand for several images."""
    held: dict[str, str] = {}
    shared: dict[str, list[str]] = {}
    for key, dataset in zip(keys, datasets, strict=True):
        if key in held:
            shared.setdefault(key, [held[key]]).append(dataset)
        held.setdefault(key, dataset)
    if shared:
        key, names = next(iter(shared.items()))
        raise LabelFileError(
            f"{len(shared)} keys are in several data sets ({key!r} in {' and '.join(names)}): export one "
            "data set at a time (--dataset)"
        )
