"""Searching an index for KL that a recipe built and that lies in a store.

Such an index keeps every promise of the exact search but its recall, which is measured when it is built and
must not be below what the recipe promises:

* it only proposes; proposals are scored again from the stored posteriors by the direct formula, in float64;
* an answer is exact where everything was scored, or where the bounds of the recipe prove it: room is
  left for what any image's float64 features are off by (`olrsearch.search.kl.rounding`);
* images added since it was built (the *tail*) are searched exactly, by their features;
* deleted and filtered images are passed over and more proposals fetched;
* another direction, the farthest images, and a filter that leaves few are answered by the exact search.

A folder holds `index.json`, `ids.npy` (int64 [n], the images indexed, a row of the index each),
`index.faiss`, and arrays of the kind that propose, float64 or float32, mapped. It is there
whole or not at all. Of the kind `torch` nothing but its
parameters is kept: opening loads the features of the images that still live to the device.

Notation: N images of the view, n images indexed, d dimensions, F numbers of a KL feature, W numbers stored
an image.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from olrsearch.core.arrays import digest
from olrsearch.core.errors import IndexBuildError
from olrsearch.core.files import file_sha256
from olrsearch.maths.kl_features import feature_size
from olrsearch.search.index.built import DESCRIPTION, IDS, Recall
from olrsearch.search.index.faiss_index import FaissIndex
from olrsearch.search.index.topk import top_k
from olrsearch.search.kl.exact import KlAnswer, KlIndex
from olrsearch.search.kl.files import feature_blocks, frame_digest
from olrsearch.search.kl.projection import BOUNDS, Bounded, Projection
from olrsearch.search.kl.proposers import FlatKl, GraphKl, ProjectedKl, padded, search_kl
from olrsearch.search.kl.query import ask
from olrsearch.search.kl.recipes import KlParameters, KlRecipe
from olrsearch.search.kl.rounding import add_up
from olrsearch.search.kl.scaling import Scaling
from olrsearch.search.kl.torch_flat import TorchFlatKl
from olrsearch.search.kl.view import KlView

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from olrsearch.core.arrays import F32, F64, I64, Bool
    from olrsearch.maths.gaussian import Direction, Gaussians
    from olrsearch.search.kl.exact import Divergence
    from olrsearch.search.kl.proposers import KlProposer
    from olrsearch.search.kl.query import Asked

FORMAT_VERSION: Final = 1

FAISS: Final = "index.faiss"

LARGE_TAIL: Final = 0.1
"""Share of the images past which the tail is worth another build."""

FEW: Final = 0.25
"""Share of the images below which a filter is answered by the exact search."""

Query = str
"""A kind of query whose recall was measured: `words-1` to `words-5`, `images`."""


@dataclass(frozen=True, slots=True)
class KlFile:
    """One file of a built index.

    Attributes:
        name: Of the file.
        bytes: Its size.
        sha256: Of the array's numbers, or of an index of faiss as a file.
    """

    name: str
    bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class KlDescription:
    """What `index.json` says.

    Attributes:
        recipe: How the index was built.
        direction: Of the divergence.
        frame: Digest of the frame of the features.
        ids: Digest of the ids of its images.
        count: How many images, n.
        size: Dimensions, d.
        queries: Kind of query → how many the recall was measured on.
        recall: Kind of query → measured.
        files: What was written beside `index.json`.
    """

    recipe: KlRecipe
    direction: Direction
    frame: str
    ids: str
    count: int
    size: int
    queries: Mapping[Query, int]
    recall: Mapping[Query, Recall]
    files: tuple[KlFile, ...]

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready dict."""
        return {"format_version": FORMAT_VERSION, **asdict(self)}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> KlDescription:
        """The description `to_dict` gave.

        Raises:
            IndexBuildError: it is of a newer format, or damaged.
        """
        try:
            version = int(data["format_version"])
            if version > FORMAT_VERSION:
                raise IndexBuildError(
                    f"an index for KL has format {version}, this program reads up to {FORMAT_VERSION}: "
                    "run index build again, or use a newer program"
                )
            recipe = dict(data["recipe"])
            recipe["parameters"] = KlParameters(**recipe["parameters"])
            recipe["queries"] = tuple(recipe["queries"])
            return cls(
                KlRecipe(**recipe),
                data["direction"],
                str(data["frame"]),
                str(data["ids"]),
                int(data["count"]),
                int(data["size"]),
                {kind: int(count) for kind, count in data["queries"].items()},
                {kind: Recall(**found) for kind, found in data["recall"].items()},
                tuple(KlFile(**file) for file in data["files"]),
            )
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise IndexBuildError(
                f"the description of an index for KL is damaged ({error!r}): run index build again"
            ) from error


class BuiltKl:
    """A built index, searched over a view that may have moved on since.

    Args:
        described: What was built.
        ids: int64 [n], the images that were indexed.
        proposer: What proposes rows of them.
        index: The exact index of the view, in the frame the index was built in.

    Attributes:
        described: As given.
        index: As given.
        tail: int64, rows of the view that came after the build.
    """

    def __init__(self, described: KlDescription, ids: I64, proposer: KlProposer, index: KlIndex) -> None:
        self.described = described
        self.index = index
        self._ids = ids
        self._proposer = proposer
        self._rows = index.view.find(ids)
        indexed = np.zeros(len(index.view), np.bool_)
        indexed[self._rows[self._rows >= 0]] = True
        self.tail: I64 = np.flatnonzero(~indexed)

    @classmethod
    def open(cls, folder: Path, index: KlIndex) -> BuiltKl:
        """The index of a folder that `kl_build.build_kl` wrote.

        Arrays are mapped and read once, to compare them with their checksums: a wrong one would prove wrong
        answers. The index of faiss is compared by size; `faults` reads it whole.

        Raises:
            IndexBuildError: missing, damaged, of a newer format, or of another frame or other dimensions.
            FaissInstallError: no usable faiss.
            DeviceError: its device is not there, or has too little memory.
        """
        described = read_description(folder)
        if (described.frame, described.size) != (frame_digest(index.frame), index.view.size):
            raise IndexBuildError(
                f"{folder} was built of features of another frame than the space has now: run olrsearch "
                f"index build --recipe {folder.name}"
            )
        files = {file.name: file for file in described.files}
        for file in described.files:
            _check_size(folder / file.name, file)
        arrays = {
            name.removesuffix(".npy"): _array(folder / name, file)
            for name, file in files.items()
            if name != FAISS
        }
        try:
            ids = arrays[IDS.removesuffix(".npy")]
            _check_ids(folder, described, ids)
            if described.recipe.kind == "torch":
                ids, proposer = _load(described, ids, arrays, index)
            else:
                proposer = _restore(described, folder / FAISS, arrays)
        except (KeyError, IndexError, TypeError, ValueError) as error:
            raise IndexBuildError(
                f"{folder} is no index of the kind {described.recipe.kind} ({error!r}): run index build again"
            ) from error
        return cls(described, ids, proposer, index)

    @property
    def tail_share(self) -> float:
        """Share of the view's images that are searched beside the index, 0 to 1."""
        return len(self.tail) / max(1, len(self.index.view))

    def why_exact(
        self, direction: Divergence, *, allowed: Bool | None = None, farthest: bool = False
    ) -> str | None:
        """Why the exact search answers instead, for people; None where the index does.

        Args:
            direction: Asked for.
            allowed: bool [N], a filter.
            farthest: Whether the farthest are.
        """
        if farthest:
            return "it finds the nearest, not the farthest"
        if direction != self.described.direction:
            return f"it is built for {self.described.direction}, not for {direction}"
        if allowed is not None and int(allowed.sum()) < FEW * len(self.index.view):
            return f"the filter leaves fewer than {FEW:.0%} of the images"
        return None

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
        if self.tail_share > LARGE_TAIL:
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
            count: How many; fewer only when there are fewer, or a graph finds fewer.
            allowed: bool [N], the rows to search; all when None.
            exclude: Ids left out of the answer.

        Returns:
            As `KlIndex.search`; `exact` where the answer is proven.

        Raises:
            GaussianError, VectorError, IndexBuildError: as `KlIndex.search`.
        """
        view = self.index.view
        eligible = np.ones(len(view), np.bool_) if allowed is None else allowed.copy()
        excluded = view.find(np.fromiter(exclude, np.int64, len(exclude)))
        eligible[excluded[excluded >= 0]] = False
        asked = ask(query, self.described.direction, self.index.frame, view.size)[0]
        rows, distances, proven, scored = self._indexed(query, asked, count, eligible)
        if eligible[self.tail].any():
            late = self._late.search(
                query, count, direction=self.described.direction, allowed=eligible[self.tail]
            )
            rows = np.concatenate([rows, view.rows(late.ids)])
            distances = np.concatenate([distances, late.distances])
            scored += late.proposals
        best = top_k(distances, view.ids[rows], count).rows
        return KlAnswer(view.ids[rows[best]], distances[best], proven, scored)

    def _indexed(
        self, query: Gaussians, asked: Asked, count: int, eligible: Bool
    ) -> tuple[I64, F64, bool, int]:
        """Rows of the view and distances of what was scored, whether the nearest are among them, how many."""
        usable = self._rows >= 0
        usable[usable] = eligible[self._rows[usable]]
        there = int(usable.sum())
        wanted = min(count, there)
        if not wanted:
            return np.empty(0, np.int64), np.empty(0), True, 0
        parameters = self.described.recipe.parameters
        # bounds stop early on purpose, so only the length of an answer says whether they saw enough
        enough = wanted if self._proposer.bounds else min(parameters.asked(wanted), there)
        proposals = -(-parameters.asked(wanted) * len(usable) // there)
        margin = float(add_up(self._widest, asked.refined)[0]) + asked.extra
        while True:
            seen: list[tuple[I64, F64]] = []

            def score(_: F64, places: I64, seen: list[tuple[I64, F64]] = seen) -> F64:
                mine = usable[places]
                found = np.full(len(places), np.inf)
                rows = self._rows[places[mine]]
                distances = self.index.distances_of(query, rows, self.described.direction)
                seen.append((rows, distances))
                found[mine] = distances - asked.constant
                return found

            answer = search_kl(
                self._proposer,
                self._ids,
                asked.features,
                wanted,
                score,
                proposals=proposals,
                margin=margin,
            )
            rows = np.concatenate([part for part, _ in seen])
            if answer.proven or len(rows) >= enough or proposals >= len(usable):
                break
            proposals = min(2 * proposals, len(usable))
        return rows, np.concatenate([part for _, part in seen]), answer.proven, len(rows)

    @cached_property
    def _widest(self) -> F32:
        """Bounds of no image that is indexed are above these, float32 [1, b + 2]."""
        features = self.index.features(self.described.direction)
        found: F32 = np.max([kept.bounds.max(axis=0) for kept in features if len(kept.bounds)], axis=0)
        return found[None]

    @cached_property
    def _late(self) -> KlIndex:
        """The exact index of the tail alone: its rows are those of `tail`."""
        view = self.index.view
        held = [part for part, *_ in view.split(self.tail)]
        ids = view.ids[self.tail]
        others = [np.setdiff1d(view.parts[part].ids, ids) for part in held]
        tail = KlView([view.parts[part] for part in held], np.concatenate(others), size=view.size)
        return KlIndex(
            tail,
            self.index.frame,
            lambda direction: [self.index.features(direction)[part] for part in held],
        )


def read_description(folder: Path) -> KlDescription:
    """What a folder's `index.json` says.

    Raises:
        IndexBuildError: it is missing, damaged, or of a newer format.
    """
    try:
        data = json.loads((folder / DESCRIPTION).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise IndexBuildError(f"{folder} holds no usable index ({error}): run index build again") from error
    if not isinstance(data, dict):
        raise IndexBuildError(f"{folder / DESCRIPTION} is damaged: run index build again")
    return KlDescription.from_dict(data)


def faults(folder: Path) -> list[str]:
    """Read everything; one line for each file that is not what was written.

    Raises:
        IndexBuildError: `index.json` is missing, damaged, or of a newer format.
    """
    found = []
    for file in read_description(folder).files:
        path = folder / file.name
        try:
            _check_size(path, file)
            if file.name != FAISS:
                _array(path, file)
            elif file_sha256(path) != file.sha256:
                found.append(f"{path} does not match its checksum: run index build again")
        except IndexBuildError as error:
            found.append(str(error))
    return found


def _check_size(path: Path, file: KlFile) -> None:
    try:
        length = path.stat().st_size
    except OSError as error:
        raise IndexBuildError(f"{path} is missing ({error.strerror}): run index build again") from error
    if length != file.bytes:
        raise IndexBuildError(
            f"{path} has {length} bytes, expected the {file.bytes} that were written: run index build again"
        )


def _array(path: Path, file: KlFile) -> NDArray[Any]:
    try:
        found = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise IndexBuildError(f"{path} is damaged ({error}): run index build again") from error
    if digest(found) != file.sha256:
        raise IndexBuildError(f"{path} does not match its checksum: run index build again")
    return np.asarray(found)


def _check_ids(folder: Path, described: KlDescription, ids: I64) -> None:
    if digest(ids) != described.ids or len(ids) != described.count:
        raise IndexBuildError(f"{folder / IDS} is not of this index: run index build again")


def _load(
    described: KlDescription, ids: I64, arrays: Mapping[str, NDArray[Any]], index: KlIndex
) -> tuple[I64, KlProposer]:
    """The images of a `torch` index that still live, and their features on its device."""
    given, rows = described.recipe.parameters, index.view.find(ids)
    alive = rows >= 0
    scaling = Scaling(arrays["centre"], arrays["scale"], arrays["spread"])
    if any(
        len(some) != feature_size(described.size) for some in (scaling.centre, scaling.scale, scaling.spread)
    ):
        raise ValueError("a scaling of other numbers")
    blocks = feature_blocks(index.view, index.features(described.direction), rows[alive])
    return ids[alive], TorchFlatKl(
        scaling, blocks, int(alive.sum()), device=given.device, dtype=given.dtype, prove=given.prove
    )


def _restore(described: KlDescription, path: Path, arrays: Mapping[str, NDArray[Any]]) -> KlProposer:
    """The proposer of a kind from its files."""
    recipe, size = described.recipe, feature_size(described.size)
    kind, given = recipe.kind, recipe.parameters
    if kind in {"fp16", "sq8"}:
        index = FaissIndex.load(path, size=padded(size), count=described.count)
        factory, gpu = ("SQfp16", given.device == "cuda") if kind == "fp16" else ("SQ8", False)
        return FlatKl.restore(index, size, factory, arrays["centre"], gpu=gpu)
    projection = Projection(*(arrays[name] for name in ("centre", "images", "queries", "weights")))
    if kind == "projected":
        scale = arrays["scale"]
        index = FaissIndex.load(path, size=len(scale), count=described.count)
        bounded = Bounded(projection, len(scale) - BOUNDS, scale)
        return ProjectedKl.restore(index, bounded, arrays["far"], prove=given.prove)
    kept = size if kind == "hnsw" else min(given.width, size)
    index = FaissIndex.load(path, size=kept + 1, count=described.count)
    return GraphKl.restore(
        index, projection, float(arrays["longest"][0]), links=given.links, ef_search=given.ef_search
    )
