"""Searching the indexes that a recipe built.

Such an index keeps every promise of the exact scan but its recall, which is measured when
it is built and must not be below what the recipe promises:

* faiss only proposes; proposals are scored again by the exact distances of the segments;
* images added since it was built (the *tail*) are scanned exactly;
* deleted images are dropped and more proposals fetched, so no answer is shortened;
* filters are left to the exact scan.

Every metric becomes L2: with M the longest transformed vector, x → (x, √(M² − ‖x‖²)) and
q → (q, 0) have squared distance ‖q‖² + M² − 2⟨q, x⟩, so the largest inner product is nearest.

A folder holds `index.json`, `ids.npy` (int64, the images indexed), `label-0012.faiss` a
label and `whole.faiss`. Of a scan on a device no such file is kept: its vectors are loaded from the
segments. Notation: N images, L labels, k numbers a label.

Source: Bachrach et al. 2014, "Speeding up the Xbox recommender system", eq. 3, for the
augmentation.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from olrsearch.core.arrays import digest
from olrsearch.core.checksums import checking
from olrsearch.core.errors import IndexBuildError
from olrsearch.search.artefacts import IDS, KeptFile, check_ids, check_size, map_array, read_index_json
from olrsearch.search.device import DeviceScan
from olrsearch.search.index.faiss_index import FaissIndex
from olrsearch.search.index.label import WholeIndex, nearest
from olrsearch.search.index.recipe import PartRecipe, Recipe
from olrsearch.search.index.topk import top_k
from olrsearch.search.index.view import without

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping
    from pathlib import Path

    from olrsearch.core.arrays import F32, F64, I64
    from olrsearch.maths.metric import Metric
    from olrsearch.search.index.label import LabelIndex, LabelIndexes
    from olrsearch.search.index.view import EmbeddingView

FORMAT_VERSION = 1

MIN_PROPOSALS = 64
"""Proposals below which scoring them exactly costs nothing worth saving."""


@dataclass(frozen=True, slots=True)
class Recall:
    """Mean share of the truly nearest images that an index returned, 0 to 1.

    Attributes:
        at_10: Of the nearest 10.
        at_100: Of the nearest 100.
    """

    at_10: float
    at_100: float


@dataclass(frozen=True, slots=True)
class BuiltFile:
    """One `.faiss` file.

    Attributes:
        label: The label's position; None for the whole embedding.
        longest: M of the augmentation; None where the metric is L2 already.
        bytes: Size of the file.
        recall: Measured against the exact scan.
        sha256: Of the file; empty where an older program wrote it.
    """

    label: int | None
    longest: float | None
    bytes: int
    recall: Recall
    sha256: str = ""

    @property
    def name(self) -> str:
        """The file's name."""
        return "whole.faiss" if self.label is None else f"label-{self.label:04d}.faiss"

    def check(self, folder: Path) -> None:
        """Compare the file with its size and its checksum.

        Raises:
            IndexBuildError: it is missing, cut or damaged.
        """
        kept = KeptFile(self.name, self.bytes, self.sha256)
        if self.sha256:
            kept.verify(folder)
        else:
            check_size(folder / self.name, self.bytes)


@dataclass(frozen=True, slots=True)
class IndexDescription:
    """What `index.json` says.

    Attributes:
        recipe: How the index was built.
        metric: Hash of the metric it was built with.
        ids: Hash of the ids of its images.
        count: How many images.
        queries: How many the recall was measured on.
        files: What was built, labels first.
    """

    recipe: Recipe
    metric: str
    ids: str
    count: int
    queries: int
    files: tuple[BuiltFile, ...]

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready dict."""
        return {"format_version": FORMAT_VERSION, **asdict(self)}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> IndexDescription:
        """The description `to_dict` gave.

        Raises:
            IndexBuildError: it is damaged.
        """
        try:
            int(data["format_version"])
            recipe = dict(data["recipe"])
            for part in ("label", "whole"):
                recipe[part] = None if recipe[part] is None else PartRecipe(**recipe[part])
            files = tuple(BuiltFile(**{**file, "recall": Recall(**file["recall"])}) for file in data["files"])
            return cls(
                Recipe(**recipe), data["metric"], data["ids"], int(data["count"]), int(data["queries"]), files
            )
        except (KeyError, TypeError, ValueError) as error:
            raise IndexBuildError(
                f"an index description is damaged ({error!r}): run index build again"
            ) from error


def metric_digest(metric: Metric) -> str:
    """Hash of what decides a metric's distances."""
    head = json.dumps([metric.kind, metric.form]).encode()
    return digest(np.frombuffer(head, np.uint8), metric.mean, metric.deviation, metric.scale)


class DeviceVectors:
    """A label's vectors, or those of whole embeddings, on a torch device.

    Args:
        indexes: The exact label indexes of the view.
        label: A label's position, or None for the whole embedding.
        ids: int64, the images indexed; those that no longer live are left out.
        device: As `DeviceScan` takes it.

    Raises:
        DeviceError: there is no such device, or it has too little memory.
    """

    def __init__(self, indexes: LabelIndexes, label: int | None, ids: I64, device: str) -> None:
        view, self._l2 = indexes.view, indexes.metric.kind == "l2"
        rows = view.find(ids)
        rows = rows[rows >= 0]
        self._ids = view.ids[rows]
        vectors = plain_vectors(view, indexes.metric, label)[rows]
        self._scan = DeviceScan((vectors,), vectors.shape, device)

    @property
    def count(self) -> int:
        """How many images it holds."""
        return self._scan.count

    def search(self, query: F32, count: int, recipe: PartRecipe | None = None) -> I64:  # noqa: ARG002 - a full scan
        """Ids of the nearest images, int64 [≤ count], nearest first."""
        return self._ids[self._scan.nearest(query, count, squared_l2=self._l2)]


Searched: TypeAlias = FaissIndex | DeviceVectors
"""What proposes images."""


class BuiltIndex:
    """Built indexes, searched over a view that may have moved on since.

    Args:
        described: What was built.
        ids: int64, the images that were indexed.
        indexes: The exact label indexes of the view.
        load: Gives what is searched for a file.

    Attributes:
        described: As given.
        indexes: As given.
        tail: int64, rows of the view that came after the build.
    """

    def __init__(
        self,
        described: IndexDescription,
        ids: I64,
        indexes: LabelIndexes,
        load: Callable[[BuiltFile], Searched],
    ) -> None:
        self.described = described
        self.indexes = indexes
        self.tail: I64 = np.flatnonzero(~np.isin(indexes.view.ids, ids))
        self._files = {file.label: file for file in described.files}
        self._load = load
        self._open: dict[int | None, Searched] = {}

    @classmethod
    def open(
        cls, folder: Path, indexes: LabelIndexes, registered: Mapping[str, Any] | None = None
    ) -> BuiltIndex:
        """The indexes of a folder written by `build_recipe`; each is read when it is first searched.

        Args:
            folder: Of the indexes.
            indexes: The exact label indexes of the view.
            registered: What the store's metadata say of them; not compared when None.

        Raises:
            IndexBuildError: missing, damaged, of a newer format, or built with another metric.
        """
        described = IndexDescription.from_dict(read_index_json(folder, FORMAT_VERSION, registered))
        ids: I64 = map_array(folder / IDS)
        check_ids(folder, ids, described.ids)
        if metric_digest(indexes.metric) != described.metric:
            raise IndexBuildError(
                f"{folder} was built with another metric than the space has now: "
                f"run olrsearch index build --recipe {folder.name}"
            )

        def load(file: BuiltFile) -> Searched:
            part = described.recipe.part(file.label)
            if part is not None and part.device is not None:
                return DeviceVectors(indexes, file.label, ids, part.device)
            view, path = indexes.view, folder / file.name
            size = view.size * (view.labels if file.label is None else 1) + (file.longest is not None)
            if checking():
                file.check(folder)
            check_size(path, file.bytes)
            return FaissIndex.load(path, size=size, count=described.count)

        return cls(described, ids, indexes, load)

    def covers(self, label: int | None) -> bool:
        """Whether there is an index for a label, or (None) for the whole embedding."""
        return label in self._files

    def search(
        self, label: int | None, query: F32, count: int, *, exclude: Collection[int] = ()
    ) -> tuple[I64, F32 | F64]:
        """The nearest images found.

        Args:
            label: A label's position, or None for the whole embedding.
            query: float32 [k], or [L, k] for the whole embedding.
            count: How many; fewer only when there are fewer.
            exclude: Ids left out.

        Returns:
            Ids int64 and exact distances as of `LabelIndex` or `WholeIndex`, nearest first,
            ties by id.

        Raises:
            VectorError: a bad query.
            IndexBuildError: a damaged file.
        """
        view = self.indexes.view
        scorer = exact_scorer(self.indexes, label)
        rows = None
        if label in self._files:
            gone = np.fromiter(exclude, np.int64, len(exclude))
            rows = self._proposals(self._files[label], query, count, gone)
        if rows is None:
            return nearest(scorer, query, count, without(view, exclude))
        distances = scorer.distances_of(query, rows)
        best = top_k(distances, view.ids[rows], count).rows
        return view.ids[rows[best]], distances[best]

    def _proposals(self, file: BuiltFile, query: F32, count: int, gone: I64) -> I64 | None:
        """Rows worth scoring exactly, the tail among them; None where the index finds too few."""
        recipe = self.described.recipe.part(file.label)
        if recipe is None:
            return None
        view = self.indexes.view
        if file.label not in self._open:
            self._open[file.label] = self._load(file)
        index = self._open[file.label]
        asked = plain_query(self.indexes.metric, query, file.label)
        if file.longest is not None:
            asked = np.append(asked, np.float32(0))
        tail = self.tail[np.isin(view.ids[self.tail], gone, invert=True)]
        enough = min(max(MIN_PROPOSALS, recipe.proposals * count), len(view) - len(self.tail))
        asking = enough + len(gone)
        while True:
            ids = index.search(asked, asking, recipe)
            rows = view.find(ids[np.isin(ids, gone, invert=True)])
            rows = rows[rows >= 0]  # deleted since the build
            if len(rows) >= enough or len(ids) < asking or asking >= index.count:
                break
            asking = min(2 * asking, index.count)
        rows = np.concatenate([rows, tail])
        present = len(view) - len(np.intersect1d(view.ids, gone))
        return rows if len(rows) >= min(count, present) else None


def plain_vectors(view: EmbeddingView, metric: Metric, label: int | None) -> F32:
    """Vectors whose plain inner product or squared L2 is the metric, up to a constant and a factor.

    Args:
        view: The images.
        metric: Of the space.
        label: A label's position, or None for all labels with their scales: then the squared
            distances of labels, each divided by its scale, add up to that of these vectors.

    Returns:
        float32 [N, k] or [N, L·k], copied.
    """
    if label is not None:
        return metric.transform(view.vectors(label), label)
    out = np.empty((len(view), view.labels * view.size), np.float32)
    for number in range(view.labels):
        part = out[:, number * view.size : (number + 1) * view.size]
        np.multiply(metric.transform(view.vectors(number), number), _factor(metric, number), out=part)
    return out


def plain_query(metric: Metric, query: F32, label: int | None) -> F32:
    """A query for `plain_vectors`, float32 [k] from [k], or [L·k] from [L, k]."""
    if label is not None:
        return np.asarray(metric.transform(query[None], label)[0])
    parts = [metric.transform(query[None, n], n)[0] * _factor(metric, n) for n in range(metric.labels)]
    found: F32 = np.concatenate(parts)
    return found


def _factor(metric: Metric, label: int) -> np.float32:
    return np.float32(1.0 / np.sqrt(metric.scale[label]))


def verify(folder: Path, registered: Mapping[str, Any]) -> None:
    """Read everything.

    Args:
        folder: Of the indexes.
        registered: What the store's metadata say of them.

    Raises:
        IndexBuildError: `index.json` is missing, damaged or of a newer format, or a file is not what was
            written.
    """
    described = IndexDescription.from_dict(read_index_json(folder, FORMAT_VERSION, registered))
    check_ids(folder, map_array(folder / IDS), described.ids)
    for file in described.files:
        part = described.recipe.part(file.label)
        if part is None or part.device is None:  # of a scan on a device no file is kept
            file.check(folder)


def check_registered(folder: Path, registered: Mapping[str, Any]) -> None:
    """Compare what the metadata say of indexes with the form it must have, and with what their folder says.

    Args:
        folder: Of the indexes; it may be gone.
        registered: What the store's metadata say of them.

    Raises:
        IndexBuildError: one of them is damaged.
    """
    if folder.exists():  # first, for its error names the folder
        read_index_json(folder, FORMAT_VERSION, registered)
    IndexDescription.from_dict(registered)


def exact_scorer(indexes: LabelIndexes, label: int | None) -> LabelIndex | WholeIndex:
    """The exact scan of a label, or (None) of the whole embedding."""
    return WholeIndex(indexes) if label is None else indexes.of(label)
