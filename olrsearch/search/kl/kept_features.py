"""KL features of segments: computed in blocks, kept as files, mapped when asked for.

```
<folder>/frame.npy                         float64 [d + 1, d]: the shift and the matrix of the frame
<folder>/<segment>.<direction>/features.npy    float32 [n, F]
<folder>/<segment>.<direction>/bounds.npy      float32 [n, b + 2], see `olrsearch.search.kl.rounding`
<folder>/<segment>.<direction>/kl.json         what they are of: equal descriptions mean equal features
```

All of it is derived, and kept as `olrsearch.search.artefacts` says; `KlFeatures.verify` reads the payload.

Notation: n images of a segment, d dimensions, T = d(d+1)/2, F = T + d + 1, b blocks of a feature.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, get_args

import numpy as np

from olrsearch.core.arrays import digest, read_npy
from olrsearch.core.errors import IndexBuildError
from olrsearch.core.files import whole_file, whole_folder
from olrsearch.maths.divergences import Direction, check_direction
from olrsearch.maths.kl_features import Frame, feature_size, image_features
from olrsearch.search.artefacts import describe_files, kept_arrays, verify_payload
from olrsearch.search.kl.rounding import bound_count, row_bounds
from olrsearch.search.kl.view import stored_gaussians

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path

    from olrsearch.core.arrays import F32
    from olrsearch.search.kl.view import KlView, PosteriorPart

_log = logging.getLogger(__name__)

FORMAT_VERSION: Final = 1

FRAME_IMAGES: Final = 2048
"""Images a frame is chosen from, at most: means of so many move little with more."""

FRAME: Final = "frame.npy"
FEATURES: Final = "features.npy"
BOUNDS: Final = "bounds.npy"
DESCRIPTION: Final = "kl.json"

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
        features: float32 [n, F], as `kl_features.image_features` in the frame.
        bounds: float32 [n, b + 2], as `rounding.row_bounds`.
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
        features, bounds = (np.empty(shape, dtype) for dtype, shape in _forms(part).values())
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
        needed = estimate_memory(len(part.ids), part.mean.shape[1], (direction,)) / 1e6
        _log.info("computing KL features of %d images (%s), %.0f MB", len(part.ids), direction, needed)
        final, forms = folder / f"{segment}.{direction}", _forms(part)
        with whole_folder(final, replace=True) as fresh:
            arrays = [
                np.lib.format.open_memmap(fresh / name, mode="w+", dtype=dtype, shape=shape)
                for name, (dtype, shape) in forms.items()
            ]
            _fill(part, frame, direction, *arrays)
            for array in arrays:
                array.flush()
            describe_files(fresh / DESCRIPTION, forms, _description(part, frame, direction, segment))
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
        description = _description(part, frame, direction, segment)
        found = kept_arrays(path / DESCRIPTION, _forms(part), description, complete=True)
        return None if found is None else cls(found[0], found[1], direction, frame_digest(frame), path)

    def verify(self) -> None:
        """Read everything that is kept.

        Raises:
            IndexBuildError: a file's bytes are not those that were written.
        """
        if self.path is not None:
            verify_payload(self.path / DESCRIPTION)


def kept_frame(folder: Path, view: KlView) -> Frame:
    """The frame of a space: the one kept, else chosen from its images now, and kept.

    A frame is not chosen again when images are added: any frame gives the same divergences, and another
    one would make every feature file useless.

    Args:
        folder: Of all KL features of a space.
        view: The images.

    Raises:
        EmptyStoreError: there are no images to choose it from.
        OSError: the folder cannot be written to.
        VectorError: a posterior holds NaN or infinity, or is singular.
    """
    frame = read_frame(folder / FRAME, view.size)
    if frame is None:
        frame = choose_frame(view)
        with whole_file(folder / FRAME) as temporary:
            np.save(temporary, np.concatenate([frame.shift[None], frame.matrix]))
    return frame


def choose_frame(view: KlView) -> Frame:
    """A frame for some images; raises as `KlView.sample` does."""
    return Frame.of(view.sample(FRAME_IMAGES))


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
        both = read_npy(path)
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


def _forms(part: PosteriorPart) -> dict[str, tuple[type[np.float32], tuple[int, int]]]:
    """What the arrays of a segment must be, by the names of their files."""
    count, size = part.mean.shape
    return {
        FEATURES: (np.float32, (count, feature_size(size))),
        BOUNDS: (np.float32, (count, bound_count(size))),
    }
