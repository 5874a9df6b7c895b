"""Files written from a store: its effective labels, which imports read, and the history of decisions.

Imported into a fresh store, or into the one it came from, an export gives the labels it was written
from. In the latter the decisions stay where they are, over annotations that now agree with them.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from olrsearch.audit.decisions.files import HISTORY_SUFFIXES, format_history
from olrsearch.core.errors import AuditError, LabelFileError, UnknownDatasetError
from olrsearch.core.files import write_whole
from olrsearch.core.names import nearest_names
from olrsearch.datasets.label_writing import LABEL_FORMS, LabelForm, format_labels
from olrsearch.datasets.table import LabelTable
from olrsearch.search.spaces.about import matching
from olrsearch.store.read.columns import FILTER_COLUMNS
from olrsearch.store.read.decisions import read_history

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from olrsearch.core.arrays import I64
    from olrsearch.store.read.snapshot import Snapshot
    from olrsearch.store.values import ImageRow


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
    chosen = form or _form_of(path)
    _check_free(path, replace=replace)
    ids = _chosen(snapshot, dataset, where)
    if not ids.size:
        raise LabelFileError(f"no image of {snapshot.folder} is chosen: nothing to export")
    stored = snapshot.stored_labels(ids)
    labelled, effective, annotated = (
        part[stored.known] for part in (ids, stored.effective, stored.annotated)
    )
    if not labelled.size:
        raise LabelFileError(
            f"none of {ids.size} images has stored labels: choose others, or import labels first"
        )
    columns = snapshot.columns(labelled, ("key", "dataset", "partition", "identity", "person"))
    keys: list[str] = columns["key"].tolist()
    _check_keys(keys, columns["dataset"].tolist())
    # A label annotated anywhere stays, though its values be unknown by now: a fresh import says otherwise.
    said = ((effective != 0) | (annotated != 0)).any(axis=0)
    table = LabelTable(
        names=tuple(name for name, kept in zip(snapshot.label_names, said, strict=True) if kept),
        keys=keys,
        labels=np.ascontiguousarray(effective[:, said]),
        partitions={key: part for key, part in zip(keys, columns["partition"].tolist(), strict=True) if part},
        identities={
            key: name or number
            for key, name, number in zip(
                keys, columns["person"].tolist(), columns["identity"].tolist(), strict=True
            )
            if number >= 0
        },
    )
    if not table.names:
        raise LabelFileError(f"no label of {labelled.size} images has a known value: nothing to export")
    _write_new(path, format_labels(table, chosen))
    return LabelExport(
        path=str(path),
        form=chosen,
        images=len(keys),
        labels=len(table.names),
        changed=int((effective != annotated).sum()),
        unlabelled=int(ids.size - labelled.size),
    )


def export_decisions(snapshot: Snapshot, path: Path, *, replace: bool = False) -> int:
    """Write the history of decisions on living images as JSON lines, whole or not at all.

    Applied to a fresh import of the labels that were decided on, it gives the same labels, and the same
    entries are reviewed.

    Args:
        snapshot: What to read.
        path: `.json` or `.jsonl`.
        replace: Whether a file that is there may be written over.

    Returns:
        How many decisions.

    Raises:
        AuditError: nothing was decided yet, another suffix, or the file is there.
    """
    if path.suffix.lower() not in HISTORY_SUFFIXES:
        raise AuditError(
            f"a history is written as JSON lines: name the file .json or .jsonl, not {path.name}"
        )
    _check_free(path, replace=replace)
    found = read_history(snapshot)
    if not found:
        raise AuditError(f"nothing of this was decided yet in {snapshot.folder}: no history to write")
    _write_new(path, format_history(found, _references(snapshot, {item.image_id for item in found})))
    return len(found)


def _form_of(path: Path) -> LabelForm:
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


def _check_free(path: Path, *, replace: bool) -> None:
    """Refuse to write over a file.

    Raises:
        AuditError: it is there and is not to be replaced, or is a folder.
    """
    if path.is_dir():
        raise AuditError(f"{path} is a folder: name a file in it")
    if path.exists() and not replace:
        raise AuditError(f"{path} is there already: name another file, or say --replace")


def _write_new(path: Path, data: bytes) -> None:
    """Write a file, whole or not at all; folders that lack are made.

    Raises:
        AuditError: the file cannot be written.
    """
    try:
        write_whole(path.absolute(), data)
    except OSError as error:
        raise AuditError(f"{path} cannot be written: {error.strerror or error}") from error
    except ValueError as error:  # a path that no system has: half a character, or a NUL in it
        raise AuditError(f"{str(path)!r} cannot be written: expected a path") from error


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


def _references(snapshot: Snapshot, ids: Iterable[int]) -> dict[int, str]:
    """What to call images in a file: their keys, with the data set where a key alone is not enough.

    Raises:
        AuditError: an image can be named by its id only, which means nothing in another store.
    """
    rows = snapshot.images(sorted(ids))
    everywhere: list[str] = snapshot.columns(snapshot.image_ids(), ("key",))["key"].tolist()
    counts = Counter(everywhere)

    def named(row: ImageRow) -> str:
        if counts[row.key] <= 1 and not row.key.startswith("id:"):
            return row.key
        full = f"{row.dataset}/{row.key}"
        if full in counts:
            raise AuditError(
                f"{full!r} is the key of an image and the full name of another: delete one of them first"
            )
        return full

    return {row.id: named(row) for row in rows}
