"""KL features of segments: computed in blocks, kept as files, mapped when asked for.

```
<folder>/frame.npy                         float64 [d + 1, d]: the shift and the matrix of the frame
<folder>/<segment>.<direction>/features.npy    float32 [n, F]
<folder>/<segment>.<direction>/bounds.npy      float32 [n, b + 2], see `olrsearch.search.kl.rounding`
<folder>/<segment>.<direction>/kl.json         what they are of: equal descriptions mean equal features
```

All of it is derived: files that are of something else are passed over and made again, damaged ones are
an error. A folder is written under a temporary name, fsynced and renamed, so it is there whole or not at
all. Opening checks everything but the payload: description, sizes, headers and the first bytes of each
array, which tell files put in another's place; `KlFeatures.verify` reads the payload.

Notation: n images of a segment, d dimensions, T = d(d+1)/2, F = T + d + 1, b blocks of a feature.
"""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, get_args

import numpy as np

from olrsearch.core.arrays import digest
from olrsearch.core.errors import IndexBuildError
from olrsearch.core.files import file_sha256, sha256_hex, whole_file, whole_folder
from olrsearch.maths.gaussian import Direction, check_direction
from olrsearch.maths.kl_features import Frame, feature_size, image_features
from olrsearch.search.kl.projection import row_blocks
from olrsearch.search.kl.rounding import bound_count, row_bounds
from olrsearch.search.kl.view import stored_gaussians

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence
    from pathlib import Path

    from olrsearch.core.arrays import F32, I64
    from olrsearch.search.kl.view import KlView, PosteriorPart

_log = logging.getLogger(__name__)

FORMAT_VERSION: Final = 1

FRAME_IMAGES: Final = 2048
"""Images a frame is chosen from, at most: means of so many move little with more."""

FRAME: Final = "frame.npy"
FEATURES: Final = "features.npy"
BOUNDS: Final = "bounds.npy"
DESCRIPTION: Final = "kl.json"

_HEAD: Final = 1 << 12
"""Bytes compared at opening: the array's header and its first numbers."""

_BLOCK_NUMBERS: Final = 1 << 18
"""Numbers of one float64 temporary while features are computed: 2 MB, which stay in a cache."""


def estimate_memory(count: int, size: int, directions: Collection[Direction] = get_args(Direction)) -> int:
    """Bytes that KL features take, on disk and, once scanned, as mapped memory.

    Args:
        count: Images.
        size: d.
        directions: Those to be searched; Jeffreys' divergence needs both.
    """
    return 4 * count * (feature_size(size) + bound_count(size)) * len(set(directions))


@dataclass(frozen=True, slots=True, eq=False)
class KlFeatures:
    """KL features of one segment, in one frame and direction.

    Attributes:
        features: float32 [n, F], as `gaussian.image_features` in the frame.
        bounds: float32 [n, b + 2], as `kl_rounding.row_bounds`.
        direction: Of the divergence.
        frame: Digest of the frame.
        path: Where they are kept; None when only in memory.
    """

    features: F32
    bounds: F32
    direction: Direction
    frame: str
    path: Path | None = None

    @classmethod
    def compute(cls, part: PosteriorPart, frame: Frame, direction: Direction) -> KlFeatures:
        """In memory, for posteriors that lie in no store or in one that cannot be written to.

        Raises:
            IndexBuildError: a posterior lies too far from the frame for float32.
            VectorError: a posterior holds NaN or infinity, or is singular.
            GaussianError: other dimensions than the frame's, or no such direction.
        """
        features = np.empty((len(part.ids), feature_size(part.mean.shape[1])), np.float32)
        bounds = np.empty((len(part.ids), bound_count(part.mean.shape[1])), np.float32)
        _fill(part, frame, direction, features, bounds)
        return cls(features, bounds, direction, frame_digest(frame))

    @classmethod
    def write(
        cls, folder: Path, part: PosteriorPart, frame: Frame, direction: Direction, *, segment: str
    ) -> KlFeatures:
        """Compute and keep: in `folder`, replacing what there is of this segment and direction.

        Memory stays within some ten megabytes whatever n: blocks are written as they are computed.

        Args:
            folder: Of all KL features of a space.
            part: The segment.
            frame: Of the space.
            direction: Of the divergence.
            segment: The segment's uuid, recorded.

        Raises:
            IndexBuildError, VectorError, GaussianError: as `compute`.
            OSError: the folder cannot be written to.
        """
        count, size = part.mean.shape
        final = folder / f"{segment}.{direction}"
        with whole_folder(final, replace=True) as fresh:
            features = _new_array(fresh / FEATURES, (count, feature_size(size)))
            bounds = _new_array(fresh / BOUNDS, (count, bound_count(size)))
            _fill(part, frame, direction, features, bounds)
            features.flush()
            bounds.flush()
            described = _description(part, frame, direction, segment)
            described["files"] = {name: _checksums(fresh / name) for name in (FEATURES, BOUNDS)}
            (fresh / DESCRIPTION).write_text(json.dumps(described, indent=1) + "\n", encoding="utf-8")
        found = cls.open(folder, part, frame, direction, segment=segment)
        if found is None:
            raise IndexBuildError(f"{final} was changed while it was written: run index build again")
        return found

    @classmethod
    def open(
        cls, folder: Path, part: PosteriorPart, frame: Frame, direction: Direction, *, segment: str
    ) -> KlFeatures | None:
        """Map what `write` kept.

        Returns:
            None where there is nothing, or it is of another segment, frame, direction or format:
            features are derived, and computing them again is always right.

        Raises:
            IndexBuildError: the description fits, and an array is missing, cut, swapped or damaged.
        """
        path = folder / f"{segment}.{direction}"
        try:
            described = json.loads((path / DESCRIPTION).read_text(encoding="utf-8"))
        except (FileNotFoundError, NotADirectoryError):
            return None
        except ValueError:
            described = None
        files = described.pop("files", None) if isinstance(described, dict) else None
        if described != _description(part, frame, direction, segment) or not isinstance(files, dict):
            _log.warning("%s is not of this segment and frame and is not used: run index build", path)
            return None
        count, size = part.mean.shape
        features = _open_array(path / FEATURES, files, (count, feature_size(size)))
        bounds = _open_array(path / BOUNDS, files, (count, bound_count(size)))
        return cls(features, bounds, direction, frame_digest(frame), path)

    def verify(self) -> list[str]:
        """Read everything; one line for each file whose bytes are not those that were written."""
        if self.path is None:
            return []
        files = json.loads((self.path / DESCRIPTION).read_text(encoding="utf-8"))["files"]
        return [
            f"{self.path / name} does not match its checksum: delete it and run index build"
            for name in (FEATURES, BOUNDS)
            if _checksums(self.path / name) != files[name]
        ]


def kept_features(
    folder: Path | None, part: PosteriorPart, frame: Frame, direction: Direction, *, segment: str
) -> KlFeatures:
    """The features of a segment: mapped if they are kept, else computed, and kept if that is possible.

    Args:
        folder: Of all KL features of a space; None keeps nothing.
        part: The segment.
        frame: Of the space.
        direction: Of the divergence.
        segment: The segment's uuid.

    Raises:
        IndexBuildError: kept features are damaged, or a posterior lies too far from the frame.
        VectorError: a posterior holds NaN or infinity, or is singular.
    """
    if folder is None:
        return KlFeatures.compute(part, frame, direction)
    found = KlFeatures.open(folder, part, frame, direction, segment=segment)
    if found is not None:
        return found
    needed = estimate_memory(len(part.ids), part.mean.shape[1], (direction,))
    _log.info("computing KL features of %d images (%s), %.0f MB", len(part.ids), direction, needed / 1e6)
    try:
        return KlFeatures.write(folder, part, frame, direction, segment=segment)
    except OSError as error:
        _log.warning("KL features cannot be kept in %s (%s): they live in memory", folder, error.strerror)
        return KlFeatures.compute(part, frame, direction)


def feature_blocks(view: KlView, kept: Sequence[KlFeatures], rows: I64) -> Iterator[F32]:
    """Features of some rows of a view, block by block: float32 [≤ BLOCK, F], in their order, copied.

    Args:
        view: The images.
        kept: The features of each of its parts.
        rows: int64.
    """
    for some in row_blocks(len(rows)):
        block = np.empty((some.stop - some.start, kept[0].features.shape[1]), np.float32)
        for part, mine, places in view.split(rows[some]):
            block[mine] = kept[part].features[places]
        yield block


def kept_frame(folder: Path | None, view: KlView) -> Frame:
    """The frame of a space: the one kept, else chosen from its images now, and kept if that is possible.

    A frame is not chosen again when images are added: any frame gives the same divergences, and another
    one would make every feature file useless.

    Args:
        folder: Of all KL features of a space; None keeps nothing.
        view: The images.

    Raises:
        EmptyStoreError: there are no images to choose it from.
        VectorError: a posterior holds NaN or infinity, or is singular.
    """
    if folder is not None:
        found = read_frame(folder / FRAME, view.size)
        if found is not None:
            return found
    frame = Frame.of(view.sample(FRAME_IMAGES))
    if folder is not None:
        try:
            _write_frame(folder / FRAME, frame)
        except OSError as error:
            _log.warning("the frame of KL features cannot be kept in %s (%s)", folder, error.strerror)
    return frame


def frame_digest(frame: Frame) -> str:
    """sha256 of a frame; features of two frames never mix."""
    return digest(frame.shift, frame.matrix)


def read_frame(path: Path, size: int) -> Frame | None:
    """The frame that `kept_frame` kept in a file; None where there is none, or a damaged or unfitting one.

    Args:
        path: The file.
        size: d.
    """
    try:
        both = np.load(path, allow_pickle=False)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError, EOFError):
        both = np.zeros(0)
    if both.shape == (size + 1, size) and both.dtype == np.float64 and np.isfinite(both).all():
        shift, matrix = both[0], both[1:]
        if not np.triu(matrix, 1).any() and (np.diagonal(matrix) > 0).all():
            return Frame(shift, matrix)
    _log.warning("%s is damaged or of another space: a new frame is chosen", path)
    return None


def _write_frame(path: Path, frame: Frame) -> None:
    with whole_file(path) as temporary:
        np.save(temporary, np.concatenate([frame.shift[None], frame.matrix]))


def _fill(part: PosteriorPart, frame: Frame, direction: Direction, features: F32, bounds: F32) -> None:
    """Compute features and bounds of a segment, block by block, into two arrays."""
    check_direction(direction)
    size = part.mean.shape[1]
    step = max(1, _BLOCK_NUMBERS // feature_size(size) // 2)
    for start in range(0, len(part.ids), step):
        rows = slice(start, start + step)
        stored = stored_gaussians(part.ids[rows], part.mean[rows], part.factor[rows])
        framed = frame.apply(stored)
        with np.errstate(over="ignore", invalid="ignore"):
            exact = image_features(framed, direction)
            rounded = exact.astype(np.float32)
        fits = np.isfinite(rounded).all(axis=1)
        if not fits.all():
            raise IndexBuildError(
                f"the posterior of image {part.ids[start + int(np.argmin(fits))]} lies too far from the "
                "others for float32, or is too narrow: look at the encoder"
            )
        features[rows] = rounded
        bounds[rows] = row_bounds(stored, framed, frame, exact, direction)


def _description(part: PosteriorPart, frame: Frame, direction: Direction, segment: str) -> dict[str, Any]:
    """What features are of; equal descriptions mean equal features."""
    count, size = part.mean.shape
    return {
        "format_version": FORMAT_VERSION,
        "segment": segment,
        "direction": direction,
        "frame": frame_digest(frame),
        "count": count,
        "size": size,
        "ids": digest(part.ids),
    }


def _new_array(path: Path, shape: tuple[int, int]) -> np.memmap[Any, np.dtype[np.float32]]:
    return np.lib.format.open_memmap(path, mode="w+", dtype=np.float32, shape=shape)


def _open_array(path: Path, files: dict[str, Any], shape: tuple[int, int]) -> F32:
    described = files.get(path.name)
    try:
        length = path.stat().st_size
        with path.open("rb") as file:
            head = sha256_hex(file.read(_HEAD))
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise IndexBuildError(
            f"{path} is missing or damaged ({error}): delete its folder and run index build"
        ) from error
    if not isinstance(described, dict) or (length, head) != (described.get("bytes"), described.get("head")):
        raise IndexBuildError(
            f"{path} was cut, swapped or damaged ({length} bytes): delete its folder and run index build"
        )
    if array.dtype != np.float32 or array.shape != shape:
        raise IndexBuildError(
            f"{path} holds {array.dtype} {array.shape}, expected float32 {shape}: delete its folder and run "
            "index build"
        )
    return np.asarray(array)


def _checksums(path: Path) -> dict[str, Any]:
    with path.open("rb") as file:
        head = sha256_hex(file.read(_HEAD))
    return {"bytes": path.stat().st_size, "head": head, "sha256": file_sha256(path)}
