"""Segments: immutable folders of label embeddings.

```
segments/<uuid>/ids.npy           int64 [n], ascending image ids
segments/<uuid>/embeddings.npy    float32 [L, n, k], label-major
segments/<uuid>/manifest.json     format_version, fingerprint, shapes, sha256 by block of 1 MiB
```

A segment is written under a temporary name, fsynced and renamed; it belongs to the store
only once SQL says so, with the hash of its manifest. Opening checks everything but the
payload: manifest, sizes, headers, and the first bytes of each array, which tell files put
in another's place. `verify_segment` reads the payload.

Notation: L labels, n images, k numbers a label.
"""

from __future__ import annotations

import hashlib
import json
import os
import uuid
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from olrsearch._version import __version__
from olrsearch.errors import StoreCorruptError, StoreVersionError, VectorError
from olrsearch.store.files import (
    FORMAT_VERSION,
    TEMPORARY,
    parse_json,
    remove_tree,
    sha256_hex,
    sync_folder,
    write_durably,
)
from olrsearch.store.values import Segment, SegmentInfo

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from olrsearch.arrays import F32, I64

BLOCK: Final = 1 << 20
"""Bytes under one checksum."""
HEAD: Final = 1 << 12
"""Bytes compared at opening: the array's header and its first numbers."""

IDS: Final = "ids.npy"
EMBEDDINGS: Final = "embeddings.npy"
MANIFEST: Final = "manifest.json"


def checked(ids: I64, embeddings: F32, labels: int, k: int) -> tuple[I64, F32]:
    """What a segment may hold, in the order it holds it.

    Args:
        ids: Integers [n], in any order.
        embeddings: float32 [L, n, k] in the same order.
        labels: L of the space.
        k: k of the space.

    Returns:
        int64 ids ascending and the embeddings in that order; copies where the order changes.

    Raises:
        VectorError: NaN, infinities, duplicate ids, a wrong shape or dtype, nothing at all.
    """
    ids = np.asarray(ids)
    if ids.ndim != 1 or not np.issubdtype(ids.dtype, np.integer):
        raise VectorError(f"ids are {ids.dtype} of shape {ids.shape}; expected integers [n]")
    if not ids.size:
        raise VectorError("a segment needs at least one image; there was none to add")
    wanted = (labels, ids.size, k)
    if embeddings.shape != wanted or embeddings.dtype != np.float32:
        raise VectorError(
            f"embeddings are {embeddings.dtype} of shape {embeddings.shape}; expected float32 of shape"
            f" {wanted} (labels, images, numbers a label)"
        )
    ids = ids.astype(np.int64, copy=False)
    order = np.argsort(ids, kind="stable")
    if not np.array_equal(order, np.arange(ids.size)):
        ids, embeddings = ids[order], embeddings[:, order]
    twice = ids[1:][ids[1:] == ids[:-1]]
    if twice.size:
        raise VectorError(f"image {twice[0]} stands twice among the ids; expected each once")
    for label in range(labels):  # by label: no temporary as large as the embeddings
        finite = np.isfinite(embeddings[label]).all(axis=1)
        if not finite.all():
            bad = int(ids[np.flatnonzero(~finite)[0]])
            raise VectorError(
                f"the embedding of image {bad} holds NaN or infinity (label {label});"
                f" {np.count_nonzero(~finite)} images have such: look at the encoder"
            )
    return ids, embeddings


def write_segment(folder: Path, ids: I64, embeddings: F32, fingerprint: str) -> SegmentInfo:
    """Writes a segment below `folder`; nothing points to it yet.

    Args:
        folder: The store's `segments` folder.
        ids: int64 [n], ascending.
        embeddings: float32 [L, n, k].
        fingerprint: The encoder's.

    Returns:
        The segment, whole and on disk under its final name.
    """
    name = uuid.uuid4().hex
    temporary, final = folder / f"{TEMPORARY}{name}", folder / name
    temporary.mkdir()
    try:
        arrays: dict[str, NDArray[Any]] = {IDS: ids, EMBEDDINGS: np.ascontiguousarray(embeddings)}
        manifest = {
            "format_version": FORMAT_VERSION,
            "written_by": __version__,
            "uuid": name,
            "fingerprint": fingerprint,
            "labels": embeddings.shape[0],
            "count": embeddings.shape[1],
            "k": embeddings.shape[2],
            "block_bytes": BLOCK,
            "files": {file: _write_array(temporary / file, array) for file, array in arrays.items()},
        }
        text = (json.dumps(manifest, indent=1) + "\n").encode()
        write_durably(temporary / MANIFEST, text)
        sync_folder(temporary)
        temporary.rename(final)
        sync_folder(folder)
    except BaseException:
        remove_tree(temporary)
        remove_tree(final)
        raise
    labels, count, k = embeddings.shape
    return SegmentInfo(name, count, final, fingerprint, labels, k, sha256_hex(text))


def open_segment(info: SegmentInfo) -> Segment:
    """Maps a segment's arrays into memory after checking everything but their payload.

    Raises:
        StoreCorruptError: a missing, swapped or truncated file, or a manifest of another segment.
        StoreVersionError: a newer program wrote it.
    """
    manifest = _read_manifest(info)
    ids = _open_array(info, manifest, IDS, np.dtype(np.int64), (info.count,))
    shape = (info.labels, info.count, info.k)
    embeddings = _open_array(info, manifest, EMBEDDINGS, np.dtype(np.float32), shape)
    return Segment(info, ids, embeddings)


def verify_segment(info: SegmentInfo) -> Iterator[str]:
    """Reads a whole segment and yields one line for each fault found."""
    try:
        segment = open_segment(info)
        manifest = _read_manifest(info)
    except (StoreCorruptError, StoreVersionError) as error:
        yield str(error)
        return
    whole = True
    for name, entry in manifest["files"].items():
        path = info.path / name
        with path.open("rb") as file:
            for number, expected in enumerate(entry["sha256"]):
                if sha256_hex(file.read(BLOCK)) != expected:
                    whole = False
                    yield f"{path}: block {number} (bytes from {number * BLOCK}) does not match its checksum"
    if whole and np.any(np.diff(segment.ids) <= 0):
        yield f"{info.path / IDS}: ids are not ascending"


def _write_array(path: Path, array: NDArray[Any]) -> dict[str, Any]:
    with path.open("wb") as file:
        np.lib.format.write_array(file, array, allow_pickle=False)
        file.flush()
        os.fsync(file.fileno())
    blocks: list[str] = []
    with path.open("rb") as file:
        head = sha256_hex(file.read(HEAD))
        file.seek(0)
        while block := file.read(BLOCK):
            blocks.append(hashlib.sha256(block).hexdigest())
    return {
        "bytes": path.stat().st_size,
        "dtype": array.dtype.str,
        "shape": list(array.shape),
        "head_sha256": head,
        "sha256": blocks,
    }


def _read_manifest(info: SegmentInfo) -> dict[str, Any]:
    path = info.path / MANIFEST
    try:
        text = path.read_bytes()
    except OSError as error:
        raise StoreCorruptError(
            f"{path} cannot be read ({error.strerror}); restore it from a backup or encode again"
        ) from error
    manifest = parse_json(text, path)
    version = manifest.get("format_version")
    if isinstance(version, int) and version > FORMAT_VERSION:
        maker = manifest.get("written_by", "?")
        raise StoreVersionError(
            f"{info.path} has format {version}, written by olrsearch {maker}; olrsearch {__version__} reads"
            f" up to {FORMAT_VERSION}: install olrsearch {maker} or newer"
        )
    if sha256_hex(text) != info.manifest_sha256:
        raise StoreCorruptError(
            f"{path} is not the manifest this segment was registered with: files were swapped or edited;"
            " restore it from a backup or encode again"
        )
    expected = {"fingerprint": info.fingerprint, "labels": info.labels, "count": info.count, "k": info.k}
    for key, value in expected.items():
        if manifest.get(key) != value:
            raise StoreCorruptError(f"{path} says {key} {manifest.get(key)!r}; its space says {value!r}")
    return manifest


def _open_array(
    info: SegmentInfo, manifest: dict[str, Any], name: str, dtype: np.dtype[Any], shape: tuple[int, ...]
) -> NDArray[Any]:
    path = info.path / name
    entry = manifest["files"][name]
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            head = sha256_hex(file.read(HEAD))
    except OSError as error:
        raise StoreCorruptError(
            f"{path} cannot be read ({error.strerror}); restore it from a backup or encode again"
        ) from error
    if size != entry["bytes"]:
        raise StoreCorruptError(
            f"{path} has {size} bytes; expected {entry['bytes']}: it was cut or swapped; restore it from a"
            " backup"
        )
    if head != entry["head_sha256"]:
        raise StoreCorruptError(
            f"{path} does not begin as its manifest says: it was swapped or damaged; restore it from a backup"
        )
    array: NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
    if array.dtype != dtype or array.shape != shape:
        raise StoreCorruptError(
            f"{path} is {array.dtype} of shape {array.shape}; expected {dtype} of shape {shape}"
        )
    return array
