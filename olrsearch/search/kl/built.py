"""Searching an index for KL that a recipe built and that lies in a store.

Such an index keeps every promise of the exact search but its recall, which is measured when it is built and
must not be below what the recipe promises:

* it only proposes; proposals are scored again from the stored posteriors by the direct formula, in float64;
* an answer is exact where everything was scored;
* images added since it was built (the *tail*) are searched exactly, by their features;
* deleted and filtered images are passed over and more proposals fetched;
* another direction, the farthest images, and a filter that leaves few are answered by the exact search.

A folder holds `index.json`, `ids.npy` (int64 [n], the images indexed, a row of the index each),
`index.faiss`, and arrays of the projection, float64, mapped. It is there whole or not at all. Of the kind
`torch` nothing but ids and description is kept, for it is the exact search, whose scan is done on a device:
opening loads the features of all images to it.

Notation: N images of the view, n images indexed, d dimensions, F numbers of a KL feature, W numbers stored
an image.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from olrsearch.core.checksums import checking
from olrsearch.core.errors import IndexBuildError
from olrsearch.maths.kl_features import feature_size
from olrsearch.search.artefacts import IDS, check_ids, check_size
from olrsearch.search.device import DeviceScan, check_device
from olrsearch.search.index.faiss_index import FaissIndex
from olrsearch.search.index.topk import top_k
from olrsearch.search.index.view import without
from olrsearch.search.kl.description import BOUNDS, read_description
from olrsearch.search.kl.exact_search import KlAnswer, KlIndex
from olrsearch.search.kl.kept_features import frame_digest
from olrsearch.search.kl.projected import ProjectedKl
from olrsearch.search.kl.projection import row_blocks
from olrsearch.search.kl.query import ask
from olrsearch.search.kl.view import KlView

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from pathlib import Path

    from olrsearch.core.arrays import F64, I64, Bool
    from olrsearch.maths.divergences import Direction
    from olrsearch.maths.gaussian import Gaussians
    from olrsearch.search.kl.description import KlDescription, Query
    from olrsearch.search.kl.projected import KlProposer
    from olrsearch.search.kl.query import Asked, Divergence

FAISS: Final = "index.faiss"

LARGE_TAIL: Final = 0.1
"""Share of the images past which the tail is worth another build."""

FEW: Final = 0.25
"""Share of the images below which a filter is answered by the exact search."""


def open_built(folder: Path, index: KlIndex, registered: Mapping[str, Any] | None = None) -> BuiltKl:
    """The index of a folder that `build_kl` wrote.

    Every file is read once, to compare it with its checksum.

    Args:
        folder: Of the index.
        index: The exact index of the space.
        registered: What the store's metadata say of it; not compared when None.

    Raises:
        IndexBuildError: missing, damaged, of a newer format, of a kind that is no longer searched, or of
            another frame or other dimensions.
        FaissInstallError: no usable faiss.
        DeviceError: its device is not there, or has too little memory.
    """
    described = read_description(folder, registered)
    if (described.frame, described.size) != (frame_digest(index.frame), index.view.size):
        raise IndexBuildError(
            f"{folder} was built of features of another frame than the space has now: run olrsearch "
            f"index build --recipe {folder.name}"
        )
    if described.recipe.kind == "torch":
        device = described.recipe.parameters.device
        return BuiltKl(described, on_device(index, described.direction, device), index.view.ids)
    for file in described.files:
        if file.name == FAISS and checking():
            file.verify(folder)
        check_size(folder / file.name, file.bytes)
    arrays = {
        file.name.removesuffix(".npy"): file.open(folder) for file in described.files if file.name != FAISS
    }
    try:
        ids = arrays[IDS.removesuffix(".npy")]
        check_ids(folder, ids, described.ids)
        width = len(arrays["scale"])
        found = FaissIndex.load(folder / FAISS, size=width, count=described.count)
        kept = width - BOUNDS if described.format_version == 1 else width
        proposer = ProjectedKl.restore(found, arrays, kept)
    except (KeyError, IndexError, TypeError, ValueError) as error:
        raise IndexBuildError(
            f"{folder} is no index of the kind {described.recipe.kind} ({error!r}): run index build again"
        ) from error
    return BuiltKl(described, index, ids, proposer)


def on_device(index: KlIndex, direction: Direction, device: str) -> KlIndex:
    """The exact search in one direction, whose scan is done on a torch device: recipes of the kind `torch`.

    Args:
        index: The exact index.
        direction: Of the features that are loaded to the device.
        device: As `DeviceScan` takes it.

    Raises:
        DeviceError: the device is not there, or has too little memory.
    """
    count = sum(len(part.ids) for part in index.view.parts)
    check_device(device, count, feature_size(index.view.size))  # before features are computed
    scans = {
        kept: DeviceScan(
            (kept.features[rows] for rows in row_blocks(len(kept.features))), kept.features.shape, device
        )
        for kept in index.features(direction)
    }
    return KlIndex(
        index.view, index.frame, index.features, lambda kept, queries: scans[kept].products(queries)
    )


class BuiltKl:
    """A built index, searched over a view that may have moved on since.

    Args:
        described: What was built.
        index: The exact index of the view, in the frame the index was built in.
        ids: int64 [n], the images that were indexed.
        proposer: What proposes rows of them; None where `index` itself is what was built.

    Attributes:
        described: As given.
        index: As given.
        tail: int64, rows of the view that came after the build.
    """

    def __init__(
        self, described: KlDescription, index: KlIndex, ids: I64, proposer: KlProposer | None = None
    ) -> None:
        self.described = described
        self.index = index
        self._proposer = proposer
        self._rows = index.view.find(ids)
        indexed = np.zeros(len(index.view), np.bool_)
        indexed[self._rows[self._rows >= 0]] = True
        self.tail: I64 = np.flatnonzero(~indexed)

    def notes(self, answer: KlAnswer, kind: Query) -> tuple[str, ...]:
        """What a reader must know of an answer.

        Args:
            answer: From `search`, answered by the index.
            kind: Of the query.
        """
        name, found = self.described.recipe.name, []
        if not answer.exact:
            recall = self.described.recall.get(kind)
            measured = (
                f"measured recall@10 {recall.at_10:.3f}, recall@100 {recall.at_100:.3f} ({kind})"
                if recall is not None
                else f"its recall was not measured for {kind}"
            )
            found.append(f"proposed by {name} and not proven exact: {measured}")
        if len(self.tail) / max(1, len(self.index.view)) > LARGE_TAIL:
            found.append(
                f"{len(self.tail):,} images came after {name} was built and are searched beside it: run "
                f"olrsearch index build --recipe {name}"
            )
        return tuple(found)

    def search(
        self,
        query: Gaussians,
        count: int,
        *,
        allowed: Bool | None = None,
        exclude: Collection[int] | I64 = (),
    ) -> KlAnswer:
        """The nearest images found, in the direction the index was built for.

        Args:
            query: One Gaussian.
            count: How many; fewer only when there are fewer.
            allowed: bool [N], the rows to search; all when None.
            exclude: Ids left out of the answer.

        Returns:
            As `KlIndex.search`; `exact` where the answer is proven.

        Raises:
            GaussianError, VectorError, IndexBuildError: as `KlIndex.search`.
            DeviceError: the index's device has too little memory, or torch multiplies in less than float32.
        """
        view, direction = self.index.view, self.described.direction
        if self._proposer is None:
            return self.index.search(query, count, direction=direction, allowed=allowed, exclude=exclude)
        eligible = without(view, exclude, allowed)
        if eligible is None:
            eligible = np.ones(len(view), np.bool_)
        asked = ask(query, direction, self.index.frame, view.size)[0]
        rows, distances, proven, scored = self._indexed(self._proposer, query, asked, count, eligible)
        if eligible[self.tail].any():
            late = self._late.search(query, count, direction=direction, allowed=eligible[self.tail])
            rows = np.concatenate([rows, view.rows(late.ids)])
            distances = np.concatenate([distances, late.distances])
            scored += late.proposals
        best = top_k(distances, view.ids[rows], count).rows
        return KlAnswer(view.ids[rows[best]], distances[best], proven, scored)

    def _indexed(
        self, proposer: KlProposer, query: Gaussians, asked: Asked, count: int, eligible: Bool
    ) -> tuple[I64, F64, bool, int]:
        """Rows of the view and distances of what was scored, whether it was all there is, how many."""
        usable = self._rows >= 0
        usable[usable] = eligible[self._rows[usable]]
        there = int(usable.sum())
        wanted = min(count, there)
        if not wanted:
            return np.empty(0, np.int64), np.empty(0), True, 0
        parameters = self.described.recipe.parameters
        enough = min(parameters.asked(wanted), there)
        proposals = max(-(-parameters.asked(wanted) * len(usable) // there), 2 * wanted)
        while True:
            proposed = proposer.propose(asked.features, min(proposals, len(usable)))
            rows = self._rows[proposed[usable[proposed]]]
            if len(rows) >= enough or proposals >= len(usable):
                break
            proposals = 2 * proposals
        distances = self.index.distances_of(query, rows, self.described.direction)
        return rows, distances, len(proposed) == len(usable), len(rows)

    @cached_property
    def _late(self) -> KlIndex:
        """The exact index of the tail alone: its rows are those of `tail`."""
        view = self.index.view
        held = [part for part, *_ in view.split(self.tail)]
        ids = view.ids[self.tail]
        others = [np.setdiff1d(view.parts[part].ids, ids) for part in held]
        tail = KlView([view.parts[part] for part in held], np.concatenate(others))
        return KlIndex(
            tail, self.index.frame, lambda direction: [self.index.features(direction)[part] for part in held]
        )


def why_exact(
    built: BuiltKl, direction: Divergence, *, allowed: Bool | None = None, farthest: bool = False
) -> str | None:
    """Why the exact search answers instead of an index, for people; None where the index does.

    Args:
        built: The index.
        direction: Asked for.
        allowed: bool [N], a filter.
        farthest: Whether the farthest are.
    """
    if farthest:
        return "it finds the nearest, not the farthest"
    if direction != built.described.direction:
        return f"it is built for {built.described.direction}, not for {direction}"
    if allowed is not None and int(allowed.sum()) < FEW * len(built.index.view):
        return f"the filter leaves fewer than {FEW:.0%} of the images"
    return None


def verify(folder: Path, registered: Mapping[str, Any]) -> None:
    """Read everything.

    Args:
        folder: Of the index.
        registered: What the store's metadata say of it.

    Raises:
        IndexBuildError: `index.json` is missing, damaged, or of a newer format, or a file is not what was
            written.
    """
    for file in read_description(folder, registered).files:
        file.verify(folder)
