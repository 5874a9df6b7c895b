"""Everything that can be asked of an open store: what it holds, queries, pictures, figures.

Nothing here changes a store, and nothing imports torch unless it is asked about an image
file that is not in the store. Notation: N images, L labels, k numbers a label.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self, TypeVar, cast

import numpy as np

from olrsearch.core.errors import EmptyStoreError, QueryError, UnknownImageError
from olrsearch.core.progress import Track, silent
from olrsearch.maths.metric import metric_name
from olrsearch.search.page import check_page
from olrsearch.search.results import Description, Hit, LabelEstimate, Ranking
from olrsearch.search.spaces.about import calibration_is_stale, matching, stored_labels
from olrsearch.search.spaces.labels import OpenSpace
from olrsearch.store.vectors.layout import LABELS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from types import TracebackType

    from olrsearch.audit.benchmark.report import AuditReport
    from olrsearch.core.arrays import F32, I64, Bool, Layout
    from olrsearch.encoders.protocol import Encoder, LabelEncoder
    from olrsearch.evaluation.attributes import AttributesReport
    from olrsearch.evaluation.data import BenchData
    from olrsearch.evaluation.describing import DescribingReport
    from olrsearch.maths.metric import Metric
    from olrsearch.search.index.scores import Evidence
    from olrsearch.search.page import Page
    from olrsearch.search.similar import By
    from olrsearch.search.spaces.posteriors import OpenPosteriors
    from olrsearch.store.backend import Backend
    from olrsearch.store.read.snapshot import Snapshot
    from olrsearch.store.values import ImageRef, ImageRow, SpaceInfo
    from olrsearch.store.verify import VerifyReport

Opened = TypeVar("Opened")

_PICTURE_EDGE = 240
"""Pixels of the longer side of a sheet's pictures."""


class Reader:
    """An open store, to be asked. Use it as a context manager, or call `close`.

    Every query answers from one generation: the newest when it begins.
    """

    def __init__(self, backend: Backend, track: Track = silent) -> None:
        self._backend = backend
        self._track = track
        self._spaces: dict[tuple[int, str], OpenSpace] = {}
        self._encoders: dict[str, Encoder] = {}

    @property
    def session(self) -> Any:  # noqa: ANN401 - until there is a Session
        """What parts share."""
        from types import SimpleNamespace

        posteriors = getattr(self, "_posterior_space", None)
        return SimpleNamespace(
            backend=self._backend, space=self._space, posteriors=posteriors, encoder=self._encoder
        )

    def close(self) -> None:
        """Release the database connection."""
        self._backend.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def path(self) -> Path:
        """The store's folder."""
        return self._backend.path

    def info(self) -> dict[str, Any]:
        """Data sets, images, labels, spaces and indexes, JSON-ready."""
        snapshot = self._backend.snapshot()
        return {
            "path": str(self.path),
            "store_id": self._backend.store_id,
            "generation": snapshot.generation,
            "images": snapshot.image_count,
            "labels": len(snapshot.label_names),
            "label_revision": snapshot.label_revision,
            "datasets": [
                {
                    "name": item.name,
                    "kind": item.kind,
                    "root": str(item.root),
                    "images": item.images,
                    "deleted": item.deleted,
                }
                for item in snapshot.datasets()
            ],
            "spaces": [
                {
                    "name": item.name,
                    "kind": item.kind,
                    "layout": item.layout,
                    "fingerprint": item.fingerprint,
                    "labels": len(item.labels),
                    "k": item.k,
                    "embeddings": item.count,
                    "segments": len(item.segments),
                    "calibrated": item.calibration is not None,
                    "calibration_stale": calibration_is_stale(item, snapshot),
                    "metric": None if item.metric is None else _metric_name(item.metric),
                    "indexes": sorted(item.indexes),
                }
                for item in snapshot.spaces()
            ],
        }

    def verify(self, *, sources: bool = False) -> VerifyReport:
        """Check every file against its checksums, and the metadata against the files.

        Args:
            sources: Also read every image file and compare its hash.
        """
        from olrsearch.datasets.files import read_bytes
        from olrsearch.pipeline.adding import check_model
        from olrsearch.pipeline.checking import check_artefacts
        from olrsearch.store.verify import verify

        read_source = read_bytes if sources else None
        return verify(
            self._backend, read_source=read_source, check_model=check_model, check_artefacts=check_artefacts
        )

    def label_counts(self) -> list[dict[str, Any]]:
        """How often each label is present, absent and unknown among living images."""
        snapshot = self._backend.snapshot()
        stored = snapshot.labels(snapshot.image_ids())
        return [
            {
                "label": name,
                "present": int((stored[:, column] > 0).sum()),
                "absent": int((stored[:, column] < 0).sum()),
                "unknown": int((stored[:, column] == 0).sum()),
            }
            for column, name in enumerate(snapshot.label_names)
        ]

    def labels(self, *, space: str | None = None) -> tuple[str, ...]:
        """The labels a space's encoder knows: those that queries may name, in its order.

        Here and wherever a space may be named, it must hold label embeddings: posteriors are refused
        with IncompatibleEncoderError, and the newest is the newest of these.
        """
        return self._space(space).info.labels

    def select(self, where: str) -> I64:
        """Ids of the living images a condition selects, int64, ascending.

        Raises:
            QuerySyntaxError: it does not parse, or names another column.
        """
        snapshot = self._backend.snapshot()
        ids = snapshot.image_ids()
        return ids[matching(snapshot, ids, where)]

    def index_info(self, *, space: str | None = None) -> dict[str, Any]:
        """What is built for a space: recipe, sizes, measured recall; of posteriors, what is kept."""
        from olrsearch.search.spaces.registry import kind_of, space_of

        info = space_of(self._backend.snapshot(), space)
        kind = kind_of(info)
        unused = kind.unused(info)
        built = {name: index for name, index in info.indexes.items() if name not in unused}
        return {"space": info.name, "scan": kind.kept(info), "indexes": built, "notes": [*unused.values()]}

    def metric(self, *, space: str | None = None) -> Metric:
        """The metric of a space's label indexes."""
        return self._space(space).metric

    def embedding(self, image: ImageRef, *, space: str | None = None) -> F32:
        """One image's label embeddings, float32 [L, k]; a file outside the store is encoded."""
        opened = self._space(space)
        source = self._source(opened, image)
        return opened.view.embedding(source) if isinstance(source, int) else source

    def search(
        self,
        query: str,
        k: int = 20,
        *,
        offset: int = 0,
        min_probability: float | None = None,
        where: str | None = None,
        evidence: Evidence = "predicted",
        space: str | None = None,
    ) -> Ranking:
        """Find images by attributes, exactly.

        Args:
            query: `smiling & eyeglasses & !male`, `bald | wavy hair`, `smiling^2, hat`.
            k: Hits a page.
            offset: Skip this many hits.
            min_probability: Leave out hits whose score is below this probability.
            where: Only images this selects, e.g. `partition = 'test'`.
            evidence: `predicted`, `labels` or `both`.
            space: Name or fingerprint; the newest when None.

        Returns:
            Hits by falling log-probability; the contributions of a conjunction add up to it.

        Raises:
            QuerySyntaxError, UnknownLabelError: the query is at fault.
            EmptyStoreError: nothing is imported or encoded.
        """
        from olrsearch.search.attributes import search_attributes
        from olrsearch.search.query import parse

        check_page(k, offset)
        node = parse(query)
        opened = self._space(space)
        page = search_attributes(
            node,
            opened.scores(evidence),
            count=k,
            offset=offset,
            min_score=None if min_probability is None else _log(min_probability),
            allowed=self._allowed(opened, where),
        )
        return self._ranking(opened, page, opened.score_notes(evidence))

    def similar(
        self,
        image: ImageRef | None = None,
        *,
        by: By = None,
        with_: Mapping[str, ImageRef | F32 | Sequence[float]] | None = None,
        prototypes: Iterable[str] = (),
        k: int = 20,
        offset: int = 0,
        max_distance: float | None = None,
        where: str | None = None,
        include_self: bool = False,
        recipe: str | None = None,
        space: str | None = None,
    ) -> Ranking:
        """Find images like an image, overall or in some respects, exactly.

        Args:
            image: What to be like: an id, a key, or an image file. None where `with_` or
                `prototypes` say it all.
            by: The label or labels that count, or weights of labels; all when None.
            with_: Take single labels from elsewhere: an image, or a vector float32 [k].
            prototypes: The label or labels whose vector is the mean embedding of the images that have them.
            k: Hits a page.
            offset: Skip this many hits.
            max_distance: Leave out hits farther than this.
            where: Only images this selects.
            include_self: Keep the images asked about in the answer.
            recipe: Propose candidates with the indexes that `build_index` made by this recipe, at
                its measured recall; the exact scan when None, and wherever these do not apply
                (filters, cut-offs, several labels).
            space: Name or fingerprint; the newest when None.

        Returns:
            Hits by rising distance; the contributions of the labels add up to the score.
        """
        from olrsearch.search.similar import compose, prototype, similar

        check_page(k, offset)
        opened = self._space(space)
        like = None if image is None else self._source(opened, image)
        sources: dict[str, int | F32] = {
            label: self._source(opened, value)
            if isinstance(value, int | np.integer | str | Path)
            else np.asarray(value, np.float32)
            for label, value in (with_ or {}).items()
        }
        prototypes = (prototypes,) if isinstance(prototypes, str) else tuple(prototypes)
        for label in prototypes:
            if label in sources:
                raise QueryError(f"{label} is given an image and a prototype: one of the two")
            sources[label] = prototype(opened.view, opened.stored_labels(), self._position(opened, label))
        targets = compose(opened.view, opened.info.labels, like=like, by=by, with_=sources)
        asked = {source for source in (like, *sources.values()) if isinstance(source, int)}
        page = similar(
            opened.indexes,
            opened.info.labels,
            targets,
            built=None if recipe is None else opened.built(recipe),
            exclude=() if include_self else asked,
            count=k,
            offset=offset,
            min_score=None if max_distance is None else -max_distance,
            allowed=self._allowed(opened, where),
        )
        return self._ranking(
            opened, page, query=_spell_similar(image, by, with_ or {}, prototypes, page.query)
        )

    def describe(
        self, images: ImageRef | Iterable[ImageRef], *, space: str | None = None
    ) -> list[Description]:
        """Predict the labels of images in the store or of image files, most probable first."""
        opened = self._space(space)
        wanted = [images] if isinstance(images, int | np.integer | str | Path) else list(images)
        return [self._describe(opened, image) for image in wanted]

    def _describe(self, opened: OpenSpace, image: ImageRef) -> Description:
        source = self._source(opened, image)
        labels = opened.info.labels
        if isinstance(source, int):
            embedding = opened.view.embedding(source)
            stored = stored_labels(opened.snapshot, np.asarray([source], np.int64), labels)[0]
            name, image_id = opened.snapshot.images([source])[0].key, source
        else:
            embedding, stored, name, image_id = source, None, str(image), None
        raw = opened.readout.logits(embedding[:, None, :])
        chance = opened.calibration.probability(raw, range(len(labels)))[:, 0]
        norms = np.linalg.norm(embedding.astype(np.float64), axis=1)
        known_labels = opened.snapshot.label_names
        estimates = [
            LabelEstimate(
                label=label,
                probability=float(chance[row]),
                norm=float(norms[row]),
                stored=int(stored[row]) if stored is not None and label in known_labels else None,
            )
            for row, label in enumerate(labels)
        ]
        estimates.sort(key=lambda item: (-item.probability, item.label))
        return Description(name, image_id, tuple(estimates))

    def picture(self, image: ImageRef, edge: int = _PICTURE_EDGE) -> bytes | None:
        """A JPEG of an image, its longer side at most `edge` pixels.

        Where the file is gone its thumbnail is returned, and None where there is none.
        """
        from olrsearch.datasets.files import load_image, thumbnail_jpeg

        snapshot = self._backend.snapshot()
        try:
            row = snapshot.images([snapshot.resolve(image)])[0]
        except UnknownImageError:
            if not Path(str(image)).is_file():
                raise
            path = Path(str(image)).resolve()
            return thumbnail_jpeg(load_image(path.parent, path.name), edge)
        return _row_picture(snapshot, row, edge)

    def sheet(
        self, ranking: Ranking, path: Path | str, *, asked: Iterable[ImageRef] = (), columns: int = 5
    ) -> Path:
        """Write a contact sheet of a ranking: `.html` or `.png`.

        Args:
            ranking: What to show.
            path: Where to.
            asked: Images the question was about, shown first.
            columns: Pictures in a row of a PNG.
        """
        from olrsearch.sheets import Card, ranking_sheet, write_sheet

        question = tuple(
            Card(title=str(image), score="asked", picture=self.picture(image)) for image in asked
        )
        pictures = self._pictures([hit.image_id for hit in ranking])
        return write_sheet(ranking_sheet(ranking, pictures, asked=question), path, columns=columns)

    def _pictures(self, ids: Iterable[int], edge: int = _PICTURE_EDGE) -> Callable[[int], bytes | None]:
        """One generation and one query for all pictures of a sheet; images deleted since are still shown."""
        snapshot = self._backend.snapshot()
        rows = {row.id: row for row in snapshot.images(ids)}
        return lambda image_id: _row_picture(snapshot, rows[image_id], edge)

    def bench_data(self, *, space: str | None = None, name: str | None = None) -> BenchData:
        """The arrays the protocols of `olrsearch.bench` measure."""
        from olrsearch.pipeline.measuring import bench_data

        return bench_data(self._backend, self._space(space), name=name)

    def attributes(self, *, space: str | None = None, seed: int = 0) -> AttributesReport | DescribingReport:
        """P1 of a space: what its label embeddings, or its posteriors, know of each label.

        Args:
            space: Name or fingerprint; when None the newest of label embeddings, and in a store without any
                the newest of posteriors.
            seed: Of everything random.

        Raises:
            BenchmarkError: there is nothing to measure on, or against.
            EmptyStoreError: nothing is encoded.
        """
        from olrsearch.evaluation.attributes import run_attributes
        from olrsearch.pipeline.measuring import describing_report
        from olrsearch.search.spaces.posteriors import OpenPosteriors
        from olrsearch.search.spaces.registry import space_of

        snapshot = self._backend.snapshot()
        if snapshot.image_count and (info := space_of(snapshot, space)).layout != LABELS:
            return describing_report(self._backend, OpenPosteriors(snapshot, info), seed=seed)
        return run_attributes(self.bench_data(space=space), seed=seed)

    def audit_report(
        self,
        *,
        space: str | None = None,
        views: Literal["pictures", "space"] = "pictures",
        hard: str | None = None,
        scorers: Sequence[str] | None = None,
        noises: Sequence[str],
        seeds: Sequence[int],
        cache: Path | None = None,
    ) -> AuditReport:
        """P4: how well audits find errors that are put into the stored labels.

        Args:
            space: Name or fingerprint; the newest of label embeddings when None.
            views: How images look to what is measured: `pictures`, a frozen trunk that met no label and heads
                for every fold; `space`, the embeddings of the space, whose encoder may know the labels.
            hard: The space of another encoder, for N3 in the embeddings of a space; left out without.
            scorers: Names; all that can be asked when None.
            noises: Keys of `olrsearch.audit.benchmark.cases.NOISES`.
            seeds: Of the noise.
            cache: A folder that keeps evidence, so that an interrupted run goes on.

        Raises:
            AuditError: no label is stored for these images, too few people for folds, or an unknown scorer.
            BenchmarkError: a noise, seed or other space that cannot be used.
            EmptyStoreError: nothing is encoded.
        """
        from olrsearch.audit.benchmark.on_a_store import audit_report

        return audit_report(
            self._backend,
            self._space(space),
            views=views,
            hard=None if hard is None else self._space(hard),
            scorers=scorers,
            noises=noises,
            seeds=seeds,
            cache=cache,
            track=self._track,
        )

    def _space(self, ref: str | None) -> OpenSpace:
        return self._opened(ref, LABELS, self._spaces, OpenSpace)

    def _opened(
        self,
        ref: str | None,
        layout: Layout,
        kept: dict[tuple[int, str], Opened],
        opener: Callable[[Snapshot, SpaceInfo], Opened],
    ) -> Opened:
        """A space of a layout in the newest generation, from those kept open where it is among them."""
        snapshot = self._backend.snapshot()
        if not snapshot.image_count:
            raise EmptyStoreError("the store holds no images: run olrsearch import first")
        info = snapshot.space(ref, layout)
        found = kept.get((snapshot.generation, info.fingerprint))
        if found is None:
            # Only the newest generation is kept open.
            for key in [key for key in kept if key[0] != snapshot.generation]:
                kept.pop(key, None)
            found = kept[snapshot.generation, info.fingerprint] = opener(snapshot, info)
        return found

    def _encoder(self, info: SpaceInfo) -> Encoder:
        """The encoder of a space, whichever layout it has; kept open."""
        if info.fingerprint not in self._encoders:
            from olrsearch.encoders.registry import load

            self._encoders[info.fingerprint] = load(info.model_path)
        return self._encoders[info.fingerprint]

    def _label_encoder(self, info: SpaceInfo) -> LabelEncoder:
        """The encoder of a space that holds label embeddings."""
        return cast("LabelEncoder", self._encoder(info))

    def _find(self, snapshot: Snapshot, image: ImageRef) -> int | Path:
        """An image of the store by id, or the path of a file outside it."""
        try:
            return snapshot.resolve(image)
        except UnknownImageError as error:
            path = Path(str(image))
            number = isinstance(image, int | np.integer)
            if number or not path.is_file():
                if path.suffix and not number:
                    raise UnknownImageError(f"{error}; nor is there a file {image}") from error
                raise
        return path.resolve()

    def _source(self, opened: OpenSpace, image: ImageRef) -> int | F32:
        """An image of the store by id, or the embedding float32 [L, k] of a file outside it."""
        found = self._find(opened.snapshot, image)
        if isinstance(found, int):
            return found
        from olrsearch.datasets.files import load_array

        encoder = self._label_encoder(opened.info)
        pixels = load_array(found.parent, found.name, encoder.input_size, encoder.crop)
        embedding: F32 = encoder.encode(pixels[None])[:, 0]
        return embedding

    def _position(self, opened: OpenSpace, label: str) -> int:
        from olrsearch.core.names import LabelNames

        return LabelNames(opened.info.labels).position(label)

    def _allowed(self, opened: OpenSpace | OpenPosteriors, where: str | None) -> Bool | None:
        return None if where is None else matching(opened.snapshot, opened.view.ids, where)

    def _ranking(
        self,
        opened: OpenSpace | OpenPosteriors,
        page: Page,
        notes: tuple[str, ...] = (),
        *,
        query: str | None = None,
    ) -> Ranking:
        rows = opened.snapshot.images(page.ids.tolist())
        hits = tuple(
            Hit(
                rank=page.first_rank + place,
                image_id=row.id,
                key=row.key,
                uri=row.uri,
                distance=float(page.distances[place]),
                score=-float(page.distances[place]),
                contributions=page.contributions[place],
            )
            for place, row in enumerate(rows)
        )
        return Ranking(
            query=page.query if query is None else query,
            hits=hits,
            candidates=page.candidates,
            total=page.total,
            generation=opened.snapshot.generation,
            exact=page.exact,
            notes=(*page.notes, *notes, *opened.coverage_notes()),
        )


def _row_picture(snapshot: Snapshot, row: ImageRow, edge: int) -> bytes | None:
    """A JPEG of an image of the store: of its file, else its thumbnail, else None."""
    from olrsearch.core.errors import DatasetError
    from olrsearch.datasets.files import load_image, thumbnail_jpeg

    try:
        return thumbnail_jpeg(load_image(row.root, row.uri), edge)
    except (DatasetError, OSError):
        return snapshot.thumbnail(row.id)


def _metric_name(stored: Mapping[str, Any]) -> str:
    try:
        return metric_name(stored["kind"], stored["form"])
    except KeyError:  # `store verify` says more
        return "damaged: run olrsearch calibrate"


def _spell_similar(
    image: ImageRef | None,
    by: By,
    with_: Mapping[str, ImageRef | F32 | Sequence[float]],
    prototypes: Sequence[str],
    labels: str,
) -> str:
    """What a similarity query asked, as a heading: whose look, in which labels, with what from where."""
    parts = []
    if image is not None:
        parts.append(f"like {image}" + (f" in {labels}" if by is not None and not with_ else ""))
    parts += [
        f"{label} of {source if isinstance(source, int | np.integer | str | Path) else 'a vector'}"
        for label, source in with_.items()
    ]
    parts += [f"typical {label}" for label in prototypes]
    return ", ".join(parts)


def _log(probability: float) -> float:
    if not 0 <= probability <= 1:
        raise QueryError(f"a probability lies between 0 and 1, found {probability}")
    return math.log(probability) if probability > 0 else -math.inf
