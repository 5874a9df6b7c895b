"""Segments: immutable folders of what an encoder made of some images.

```
segments/<uuid>/ids.npy           int64 [n], ascending image ids
segments/<uuid>/embeddings.npy    float32 [L, n, k], label-major       } layout `labels`
segments/<uuid>/mean.npy          float32 [n, d]                       } layout `posterior`
segments/<uuid>/factor.npy        float32 [n, T], packed row by row    }
segments/<uuid>/fit.npy           float32 [n], 0 to 1; lacks where the encoder measured none
segments/<uuid>/manifest.json     format_version, layout, fingerprint, shapes, checksums by block of 1 MiB
```

A segment is written under a temporary name, fsynced and renamed; it belongs to the store
only once SQL says so, with the hash of its manifest. Opening checks everything but the
payload: manifest, sizes, headers, and the first bytes of each array, which tell files put
in another's place. Each block of the payload is compared when it is first read; `verify_segment`
reads all of them.

Notation: L labels, n images, k numbers a label; d = k dimensions and T = d(d+1)/2 of posteriors.
"""

from __future__ import annotations

import json
import uuid
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from olrsearch._version import __version__
from olrsearch.core.arrays import read_npy
from olrsearch.core.checked_arrays import checked as checked_array
from olrsearch.core.checksums import BLOCK, KEY, FileBlocks, block_sums, checking, file_blocks, sums_of
from olrsearch.core.errors import GaussianError, StoreCorruptError, StoreVersionError, VectorError
from olrsearch.core.files import parse_json, remove_tree, sha256_hex, whole_folder
from olrsearch.maths.gaussian import SIGMA0, Gaussians
from olrsearch.maths.triangles import triangle
from olrsearch.store.files import FORMAT_VERSION, check_format
from olrsearch.store.vectors.layout import (
    EMBEDDINGS,
    FACTOR,
    FIT,
    HELD,
    LABELS,
    MEAN,
    array_forms,
    fit_form,
)
from olrsearch.store.vectors.values import Segment, SegmentInfo

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from olrsearch.core.arrays import F32, I64
    from olrsearch.store.values import SpaceInfo
    from olrsearch.store.vectors.layout import ArrayForm

HEAD: Final = 1 << 12
"""Bytes compared at opening: the array's header and its first numbers."""

IDS: Final = "ids.npy"
MANIFEST: Final = "manifest.json"

_SAID: Final = ("layout", "fingerprint", "labels", "count", "k")
"""What a manifest says of its segment, as `SegmentInfo` does."""

_CHECKED_AT_ONCE: Final = 1024
"""Images whose covariances are in memory together, 20 MB of 50 dimensions."""


def checked(ids: I64, arrays: F32 | Mapping[str, F32], space: SpaceInfo) -> tuple[I64, dict[str, F32]]:
    """What a segment may hold, in the order it holds it.

    Args:
        ids: Integers [n], in any order.
        arrays: float32 arrays of the layout by name, images in the same order; label embeddings [L, n, k]
            may come without a name. `fit` may stand beside those of the layout, float32 [n] of 0 to 1.
        space: Where they belong.

    Returns:
        int64 ids ascending and the arrays in that order; copies where the order changes.

    Raises:
        VectorError: NaN, infinities, duplicate ids, a wrong shape or dtype, arrays of another layout,
            singular posteriors, a fit beyond 0 to 1, nothing at all.
    """
    ids = np.asarray(ids)
    if ids.ndim != 1 or not np.issubdtype(ids.dtype, np.integer):
        raise VectorError(f"ids are {ids.dtype} of shape {ids.shape}; expected integers [n]")
    if not ids.size:
        raise VectorError("a segment needs at least one image; there was none to add")
    forms = array_forms(space.layout, len(space.labels), ids.size, space.k)
    given = {EMBEDDINGS: arrays} if isinstance(arrays, np.ndarray) else arrays
    if FIT in given:
        forms = (*forms, fit_form(ids.size))
    if set(given) != {form.name for form in forms}:
        raise VectorError(
            f"arrays {', '.join(sorted(given)) or 'none'}; a space of {HELD[space.layout]} takes"
            f" {', '.join(form.name for form in forms)}"
        )
    for form in forms:
        array = given[form.name]
        if array.shape != form.shape or array.dtype != np.float32:
            raise VectorError(
                f"{form.name} {'are' if form.name == EMBEDDINGS else 'is'} {array.dtype} of shape"
                f" {array.shape}; expected float32 of shape {form.shape} ({form.axes})"
            )
    ids = ids.astype(np.int64, copy=False)
    order = np.argsort(ids, kind="stable")
    ordered = dict(given)
    if not np.array_equal(order, np.arange(ids.size)):
        ids = ids[order]
        ordered = {form.name: np.take(given[form.name], order, axis=form.axis) for form in forms}
    twice = ids[1:][ids[1:] == ids[:-1]]
    if twice.size:
        raise VectorError(f"image {twice[0]} stands twice among the ids; expected each once")
    _check_values(ids, ordered)
    return ids, ordered


def _check_values(ids: I64, arrays: Mapping[str, F32]) -> None:
    if EMBEDDINGS in arrays:
        _check_embeddings(ids, arrays[EMBEDDINGS])
    else:
        _check_posteriors(ids, arrays[MEAN], arrays[FACTOR])
    if FIT in arrays:
        _check_fit(ids, arrays[FIT])


def _check_fit(ids: I64, fit: F32) -> None:
    beyond = np.flatnonzero(~((fit >= 0) & (fit <= 1)))
    if beyond.size:
        raise VectorError(
            f"the fit of image {ids[beyond[0]]} is {fit[beyond[0]]:g}; expected 0 to 1, {beyond.size} images "
            "have such: look at the encoder"
        )


def _check_embeddings(ids: I64, embeddings: F32) -> None:
    for label, block in enumerate(embeddings):  # by label: no temporary as large as the embeddings
        _check_finite(ids, block, "embedding", f" (label {label})")


def _check_posteriors(ids: I64, mean: F32, factor: F32) -> None:
    """Finite, positive diagonals, no eigenvalue below σ₀²: what every divergence relies on."""
    _check_finite(ids, mean, "mean")
    _check_finite(ids, factor, "factor")
    diagonal = factor[:, [triangle(row) - 1 for row in range(1, mean.shape[1] + 1)]]
    singular = np.flatnonzero((diagonal <= 0).any(axis=1))
    if singular.size:
        raise VectorError(
            f"the factor of image {ids[singular[0]]} has the diagonal entry {diagonal[singular[0]].min():g};"
            f" expected all above 0, {singular.size} images have such: look at the encoder"
        )
    for start in range(0, ids.size, _CHECKED_AT_ONCE):
        rows = slice(start, start + _CHECKED_AT_ONCE)
        block = Gaussians.of_packed(mean[rows], factor[rows])
        try:
            block.check_floor()
        except GaussianError as error:
            smallest = np.linalg.eigvalsh(block.covariance)[:, 0]
            bad = int(np.argmin(smallest))
            raise VectorError(
                f"the posterior of image {ids[start + bad]} has the eigenvalue {smallest[bad]:.3g}; expected"
                f" σ₀² = {SIGMA0**2:g} or more: add σ₀² to its covariance's diagonal, as encoders do"
            ) from error


def _check_finite(ids: I64, rows: F32, what: str, where: str = "") -> None:
    finite = np.asarray(np.isfinite(rows).all(axis=1))
    if not finite.all():
        bad = int(ids[np.flatnonzero(~finite)[0]])
        raise VectorError(
            f"the {what} of image {bad} holds NaN or infinity{where};"
            f" {np.count_nonzero(~finite)} images have such: look at the encoder"
        )


def write_segment(folder: Path, ids: I64, arrays: Mapping[str, F32], space: SpaceInfo) -> SegmentInfo:
    """Writes a segment below `folder`; nothing points to it yet.

    Args:
        folder: The store's `segments` folder.
        ids: int64 [n], ascending.
        arrays: The arrays of the layout, as `checked` returns them.
        space: Where it belongs.

    Returns:
        The segment, whole and on disk under its final name.
    """
    name = uuid.uuid4().hex
    final = folder / name
    of_space = space.fingerprint, space.layout, len(space.labels), space.k
    info = SegmentInfo(name, ids.size, final, *of_space, manifest_sha256="")
    files: dict[str, NDArray[Any]] = {IDS: ids}
    optional = [fit_form(info.count)] if FIT in arrays else []
    for form in (*_forms(info), *optional):
        files[form.file] = np.ascontiguousarray(arrays[form.name])
    try:
        with whole_folder(final) as temporary:
            manifest = {
                "format_version": FORMAT_VERSION,
                "written_by": __version__,
                "uuid": name,
                **{key: getattr(info, key) for key in _SAID},
                "block_bytes": BLOCK,
                "files": {file: _write_array(temporary / file, array) for file, array in files.items()},
            }
            text = (json.dumps(manifest, indent=1) + "\n").encode()
            (temporary / MANIFEST).write_bytes(text)
    except BaseException:
        remove_tree(final)  # whole, but nobody will ever know of it
        raise
    return replace(info, manifest_sha256=sha256_hex(text))


def open_segment(info: SegmentInfo) -> Segment:
    """Maps a segment's arrays into memory after checking everything but their payload.

    Raises:
        StoreCorruptError: a missing, swapped or truncated file, or a manifest of another segment.
        StoreVersionError: a newer program wrote it.
    """
    manifest = _read_manifest(info)
    ids = _open_array(info, manifest, IDS, np.dtype(np.int64), (info.count,))
    arrays = {
        form.name: _open_array(info, manifest, form.file, np.dtype(np.float32), form.shape)
        for form in (*_forms(info), *_held_fit(info, manifest))
    }
    return Segment(info, ids, arrays)


def _held_fit(info: SegmentInfo, manifest: dict[str, Any]) -> list[ArrayForm]:
    """The form of a segment's fits; nothing where it was written without."""
    form = fit_form(info.count)
    return [form] if form.file in manifest["files"] else []


def _forms(info: SegmentInfo) -> tuple[ArrayForm, ...]:
    return array_forms(info.layout, info.labels, info.count, info.k)


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
        try:
            for number, (block, expected) in enumerate(zip(file_blocks(path), entry["sha256"], strict=True)):
                if sha256_hex(block) != expected:
                    whole = False
                    yield f"{path}: block {number} (bytes from {number * BLOCK}) does not match its checksum"
        except OSError as error:
            whole = False
            yield f"{path} cannot be read ({error.strerror or error})"
    if whole and np.any(np.diff(segment.ids) <= 0):
        yield f"{info.path / IDS}: ids are not ascending"


def _write_array(path: Path, array: NDArray[Any]) -> dict[str, Any]:
    np.save(path, array, allow_pickle=False)
    return {
        "bytes": path.stat().st_size,
        "dtype": array.dtype.str,
        "shape": list(array.shape),
        "head_sha256": sha256_hex(_read(path, HEAD)),
        "sha256": [sha256_hex(block) for block in file_blocks(path)],
        KEY: block_sums(path),
    }


def _read_manifest(info: SegmentInfo) -> dict[str, Any]:
    path = info.path / MANIFEST
    text = _read(path)
    manifest = parse_json(text, path)
    check_format(manifest, info.path)
    if sha256_hex(text) != info.manifest_sha256:
        raise StoreCorruptError(
            f"{path} is not the manifest this segment was registered with: files were swapped or edited;"
            " restore it from a backup or encode again"
        )
    manifest.setdefault("layout", LABELS)  # the only one there was before manifests named it
    for key in _SAID:
        if manifest.get(key) != getattr(info, key):
            raise StoreCorruptError(
                f"{path} says {key} {manifest.get(key)!r}; its space says {getattr(info, key)!r}"
            )
    return manifest


def _read(path: Path, size: int = -1) -> bytes:
    """The beginning of a file, or all of it."""
    try:
        with path.open("rb") as file:
            return file.read(size)
    except OSError as error:
        raise StoreCorruptError(
            f"{path} cannot be read ({error.strerror}); restore it from a backup or encode again"
        ) from error


def _open_array(
    info: SegmentInfo, manifest: dict[str, Any], name: str, dtype: np.dtype[Any], shape: tuple[int, ...]
) -> NDArray[Any]:
    path = info.path / name
    entry = manifest["files"].get(name)
    if entry is None:
        raise StoreCorruptError(f"{info.path / MANIFEST} names no {name}; restore it from a backup")
    head, size = sha256_hex(_read(path, HEAD)), path.stat().st_size
    if size != entry["bytes"]:
        raise StoreCorruptError(
            f"{path} has {size} bytes; expected {entry['bytes']}: it was cut or swapped; restore it from a"
            " backup"
        )
    if head != entry["head_sha256"]:
        raise StoreCorruptError(
            f"{path} does not begin as its manifest says: it was swapped or damaged; restore it from a backup"
        )
    array: NDArray[Any] = read_npy(path, mapped=True)
    if array.dtype != dtype or array.shape != shape:
        raise StoreCorruptError(
            f"{path} is {array.dtype} of shape {array.shape}; expected {dtype} of shape {shape}"
        )
    sums = sums_of(entry) if checking() else None
    if sums is None:
        return array
    blocks = FileBlocks(path, sums, _changed)
    if name == IDS:  # small, and read as a whole
        blocks.check_all()
        return array
    return checked_array(array, blocks)


def _changed(path: Path, fault: str) -> StoreCorruptError:
    return StoreCorruptError(
        f"{path}: {fault}: it was damaged; `olrsearch store verify` says what else is, restore it from a "
        "backup or encode again"
    )
