"""What the parts of a store share: its backend, the spaces and encoders that are open, and progress.

Nothing here changes a store, and nothing imports torch unless an image file that is not in the store is
encoded. Notation: L labels, k numbers a label.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Protocol, TypeVar, cast

import numpy as np

from olrsearch.api.images_asked import Pixels, one_image
from olrsearch.core.errors import EmptyStoreError, UnknownImageError
from olrsearch.core.files import is_file
from olrsearch.core.progress import Track, silent
from olrsearch.search.spaces.about import matching
from olrsearch.search.spaces.fits import fits_in, plain_fits
from olrsearch.search.spaces.labels import OpenSpace
from olrsearch.store.vectors.layout import LABELS, POSTERIOR

if TYPE_CHECKING:
    from collections.abc import Callable

    from olrsearch.api.images_asked import Asked
    from olrsearch.core.arrays import F32, I64, U8, Bool, Layout
    from olrsearch.encoders.protocol import Encoder, Posteriors
    from olrsearch.maths.gaussian import Gaussians
    from olrsearch.search.spaces.posteriors import OpenPosteriors
    from olrsearch.store.backend import Backend
    from olrsearch.store.read.snapshot import Snapshot
    from olrsearch.store.values import SpaceInfo

Opened = TypeVar("Opened")


class Seen(NamedTuple):
    """An image as a space sees it.

    Attributes:
        source: Its id, or the embedding float32 [L, k] of one outside the store.
        fit: How well it fits the encoder's training, 0 to 1; None where unknown.
        size: Width and height in pixels.
    """

    source: int | F32
    fit: float | None
    size: tuple[int, int]


class SeenPosterior(NamedTuple):
    """An image as a space of posteriors sees it.

    Attributes:
        image_id: None of one outside the store.
        gaussian: Its posterior, a batch of one.
        fit: How well it fits the encoder's training, 0 to 1; None where unknown.
        size: Width and height in pixels.
    """

    image_id: int | None
    gaussian: Gaussians
    fit: float | None
    size: tuple[int, int]


class Session:
    """An open backend with what was opened of it. Every query answers from one generation.

    Args:
        backend: The open store.
        track: Shows the progress of long work.
    """

    def __init__(self, backend: Backend, track: Track = silent) -> None:
        self.backend = backend
        self.track = track
        self._opened: dict[tuple[int, str], OpenSpace | OpenPosteriors] = {}
        self._encoders: dict[str, Encoder] = {}

    @property
    def path(self) -> Path:
        """The store's folder."""
        return self.backend.path

    def snapshot(self) -> Snapshot:
        """The newest generation."""
        return self.backend.snapshot()

    def living(self) -> Snapshot:
        """The newest generation of a store that holds images.

        Raises:
            EmptyStoreError: it holds none.
        """
        snapshot = self.backend.snapshot()
        if not snapshot.image_count:
            raise EmptyStoreError("the store holds no images: run olrsearch import first")
        return snapshot

    def space(self, ref: str | None) -> OpenSpace:
        """A space of label embeddings.

        Args:
            ref: Name or fingerprint; the newest of label embeddings when None.

        Raises:
            EmptyStoreError: there are no images, or nothing is encoded.
            UnknownSpaceError: no space has this name or fingerprint, or several have.
            IncompatibleEncoderError: the space holds posteriors.
        """
        return self._open(ref, LABELS, OpenSpace)

    def posteriors(self, ref: str | None) -> OpenPosteriors:
        """A space of posteriors; the arguments and errors are those of `space`."""
        from olrsearch.search.spaces.posteriors import OpenPosteriors

        return self._open(ref, POSTERIOR, OpenPosteriors)

    def _open(
        self, ref: str | None, layout: Layout, opener: Callable[[Snapshot, SpaceInfo], Opened]
    ) -> Opened:
        """A space of a layout in the newest generation, from those kept open where it is among them."""
        snapshot = self.living()
        info = snapshot.space(ref, layout)
        key = (snapshot.generation, info.fingerprint)
        if key not in self._opened:
            # Only the newest generation is kept open.
            for old in [old for old in self._opened if old[0] != snapshot.generation]:
                self._opened.pop(old, None)
            self._opened[key] = opener(snapshot, info)  # type: ignore[assignment]  # the opener of its layout
        return cast("Opened", self._opened[key])

    def encoder(self, info: SpaceInfo) -> Encoder:
        """The encoder of a space, whichever layout it has; kept open."""
        if info.fingerprint not in self._encoders:
            from olrsearch.encoders.registry import load

            self._encoders[info.fingerprint] = load(info.model_path)
        return self._encoders[info.fingerprint]

    def find(self, snapshot: Snapshot, image: Asked | Pixels) -> int | Path | Pixels:
        """An image of the store by id, the path of a file outside it, or pixels as they are.

        Raises:
            UnknownImageError: it is none of these.
            QueryError: see `one_image`.
        """
        named = one_image(image)
        if isinstance(named, Pixels):
            return named
        try:
            return snapshot.resolve(named)
        except UnknownImageError as error:
            path = Path(str(named))
            number = isinstance(named, int | np.integer)
            if number or not is_file(path):
                if path.suffix and not number:
                    raise UnknownImageError(f"{error}; nor is there a file {named}") from error
                raise
        return path.resolve()

    def source(self, opened: OpenSpace, image: Asked | Pixels) -> int | F32:
        """An image of the store by id, or the embedding float32 [L, k] of one outside it."""
        return self.seen(opened, image).source

    def seen(self, opened: OpenSpace, image: Asked | Pixels) -> Seen:
        """An image of the store, or one outside it, with its fit and its size."""
        found = self.find(opened.snapshot, image)
        if isinstance(found, int):
            return Seen(found, *_stored(opened, found))
        made, fit, size = self._encoded(opened, found)
        return Seen(cast("F32", made)[:, 0], fit, size)

    def gaussian(self, opened: OpenPosteriors, image: Asked | Pixels) -> SeenPosterior:
        """An image of the store or one outside it, with its posterior, its fit and its size."""
        from olrsearch.maths.gaussian import Gaussians

        found = self.find(opened.snapshot, image)
        if isinstance(found, int):
            return SeenPosterior(
                found, opened.view.gaussians(opened.view.rows([found])), *_stored(opened, found)
            )
        made, fit, size = self._encoded(opened, found)
        posterior = cast("Posteriors", made)
        return SeenPosterior(None, Gaussians.of_packed(posterior.mean, posterior.factor), fit, size)

    def _encoded(
        self, opened: OpenSpace | OpenPosteriors, found: Path | Pixels
    ) -> tuple[F32 | Posteriors, float | None, tuple[int, int]]:
        """What the encoder makes of an image outside the store, a batch of one, with its fit and its size."""
        from olrsearch.datasets.images import load_image
        from olrsearch.pipeline.encoding import encode_with_fit

        encoder = self.encoder(opened.info)
        made, measured = encode_with_fit(encoder, _pixels(found, encoder))
        size = found.image.size if isinstance(found, Pixels) else load_image(found.parent, found.name).size
        return made, None if measured is None else float(measured[0]), size

    def select(self, where: str) -> I64:
        """Ids of the living images a condition selects, int64, ascending.

        Raises:
            QuerySyntaxError: it does not parse, or names another column.
        """
        snapshot = self.snapshot()
        ids = snapshot.image_ids()
        return ids[matching(snapshot, ids, where)]


class HasSession(Protocol):
    """What holds a session: `Store`, whose verbs stand in the modules of what they are about."""

    @property
    def session(self) -> Session:
        """What the parts share."""


def _stored(opened: OpenSpace | OpenPosteriors, image_id: int) -> tuple[float | None, tuple[int, int]]:
    """The fit and the size of an image of the store."""
    row = opened.snapshot.images([image_id])[0]
    fits = plain_fits(fits_in(opened.segments, np.asarray([image_id], np.int64)))
    return fits[0], (row.width, row.height)


def _pixels(found: Path | Pixels, encoder: Encoder) -> U8:
    """An image as a batch of one, as an encoder takes it."""
    from olrsearch.datasets.images import load_array, to_array

    if isinstance(found, Pixels):
        return to_array(found.image, encoder.input_size, encoder.crop)[None]
    path = found
    return load_array(path.parent, path.name, encoder.input_size, encoder.crop)[None]


def allowed(opened: OpenSpace | OpenPosteriors, where: str | None) -> Bool | None:
    """Which rows of a space's view a condition selects, bool [N]; None without a condition."""
    return None if where is None else matching(opened.snapshot, opened.view.ids, where, opened.info)
