"""The façade: a store with everything that can be done with it.

    from olrsearch import Store

    with Store.create("faces") as store:
        store.import_celeba("celeba")
        store.train_olr()
        store.encode()
        ranking = store.search("smiling & eyeglasses & !male")
        store.sheet(ranking, "smiling.html")
        store.similar(with_={"Smiling": "000001.jpg", "Wavy_Hair": "000002.jpg"})

Nothing here imports torch unless it trains, encodes, or is asked about an image file that
is not in the store. Notation: N images, L labels, k numbers a label.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, TypeAlias

import numpy as np

from olrsearch.errors import EmptyStoreError, QueryError, UnknownImageError
from olrsearch.progress import Track, silent
from olrsearch.results import Description, Hit, LabelEstimate, Ranking
from olrsearch.spaces import OpenSpace, matching, stored_labels
from olrsearch.store.backend import Backend

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from types import TracebackType

    from olrsearch.arrays import F32, I64, Bool
    from olrsearch.bench.data import BenchData
    from olrsearch.datasets.base import Dataset
    from olrsearch.encoders.protocol import LabelEncoder
    from olrsearch.fitting import CalibrationReport
    from olrsearch.index.metric import Metric
    from olrsearch.index.scores import Evidence
    from olrsearch.ingest import EncodeReport, ImportReport, OnError
    from olrsearch.search.page import Page
    from olrsearch.search.similar import By
    from olrsearch.store.catalog import Snapshot
    from olrsearch.store.values import Relocation
    from olrsearch.store.verify import VerifyReport
    from olrsearch.training import TrainedSpace

ImageRef: TypeAlias = "int | str | Path"
"""An image: its id, its key (`000001.jpg`, `celeba/000001.jpg`, `id:17`), or a file."""

_VALUES = {"present": 1, "absent": -1, "unknown": 0}


class Store:
    """An open store. Use it as a context manager, or call `close`.

    Every query answers from one generation: the newest when it begins.
    """

    def __init__(self, backend: Backend, track: Track = silent) -> None:
        self._backend = backend
        self._track = track
        self._spaces: dict[tuple[int, str], OpenSpace] = {}
        self._encoders: dict[str, LabelEncoder] = {}

    # -- opening ---------------------------------------------------------------------

    @classmethod
    def create(cls, path: Path | str, *, database_url: str | None = None, track: Track = silent) -> Self:
        """Create an empty store.

        Args:
            path: A folder that does not exist yet, or is empty.
            database_url: A PostgreSQL URL; a SQLite file in the folder when None. It is not
                written down: `open` takes it from OLRSEARCH_DATABASE_URL.
            track: Shows the progress of long work.

        Raises:
            StoreExistsError: there is something already.
        """
        return cls(Backend.create(Path(path), database_url=database_url), track)

    @classmethod
    def open(
        cls,
        path: Path | str,
        *,
        read_only: bool = False,
        database_url: str | None = None,
        track: Track = silent,
    ) -> Self:
        """Open a store.

        Raises:
            StoreNotFoundError: there is none.
            StoreVersionError: it is newer than this program, or older and not migrated.
            StoreCorruptError: it is damaged.
        """
        backend = Backend.open(Path(path), read_only=read_only, database_url=database_url)
        return cls(backend, track)

    @staticmethod
    def migrate(path: Path | str, *, database_url: str | None = None) -> tuple[str, str]:
        """Bring an older store's metadata to this version; returns the revisions before and after."""
        return Backend.migrate(Path(path), database_url=database_url)

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

    # -- what it holds ---------------------------------------------------------------

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
                    "fingerprint": item.fingerprint,
                    "labels": len(item.labels),
                    "k": item.k,
                    "embeddings": item.count,
                    "segments": len(item.segments),
                    "calibrated": item.calibration is not None,
                    "calibration_stale": item.calibration is not None
                    and item.calibration["label_revision"] != snapshot.label_revision,
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
        from olrsearch.store.verify import verify

        return verify(self._backend, read_source=read_bytes if sources else None)

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

    # -- images and labels in ----------------------------------------------------------

    def import_celeba(
        self,
        path: Path | str,
        *,
        images: Path | str | None = None,
        annotations: Path | str | None = None,
        name: str = "celeba",
        on_error: OnError = "skip",
        thumbnails: bool = True,
        limit: int | None = None,
    ) -> ImportReport:
        """Import CelebA's own layout, from folders or from the zips as distributed.

        See `olrsearch.datasets.celeba.open_celeba` for what is found where, and
        `olrsearch.ingest.import_dataset` for the other arguments.
        """
        from olrsearch.datasets.celeba import open_celeba

        dataset = open_celeba(
            Path(path),
            images=None if images is None else Path(images),
            annotations=None if annotations is None else Path(annotations),
        )
        return self._import(dataset, name, on_error, limit, thumbnails=thumbnails)

    def import_folder(
        self,
        path: Path | str,
        *,
        labels: Path | str | None = None,
        key_column: str | None = None,
        name: str | None = None,
        on_error: OnError = "skip",
        thumbnails: bool = True,
        limit: int | None = None,
    ) -> ImportReport:
        """Import a folder of images, with or without a CSV or Parquet file of labels."""
        from olrsearch.datasets.folder import open_folder

        dataset = open_folder(
            Path(path), labels=None if labels is None else Path(labels), key_column=key_column
        )
        return self._import(
            dataset, name or Path(path).resolve().name, on_error, limit, thumbnails=thumbnails
        )

    def import_idx(
        self,
        images: Path | str,
        labels: Path | str | None = None,
        *,
        names: Sequence[str] | None = None,
        name: str | None = None,
        on_error: OnError = "skip",
        thumbnails: bool = True,
        limit: int | None = None,
    ) -> ImportReport:
        """Import MNIST-style idx files; classes become one binary label each."""
        from olrsearch.datasets.idx import open_idx

        dataset = open_idx(Path(images), None if labels is None else Path(labels), names=names)
        return self._import(
            dataset, name or Path(images).resolve().name, on_error, limit, thumbnails=thumbnails
        )

    def _import(
        self, dataset: Dataset, name: str, on_error: OnError, limit: int | None, *, thumbnails: bool
    ) -> ImportReport:
        from olrsearch.ingest import import_dataset

        return import_dataset(
            self._backend,
            dataset,
            name=name,
            on_error=on_error,
            thumbnails=thumbnails,
            limit=limit,
            track=self._track,
        )

    def select(self, where: str) -> I64:
        """Ids of the living images a condition selects, int64, ascending.

        Raises:
            QuerySyntaxError: it does not parse, or names another column.
        """
        snapshot = self._backend.snapshot()
        ids = snapshot.image_ids()
        return ids[matching(snapshot, ids, where)]

    def delete(self, images: Iterable[ImageRef] = (), *, where: str | None = None) -> int:
        """Take images out of every answer, at once; the data set's files are not touched.

        Returns:
            How many images were deleted.
        """
        snapshot = self._backend.snapshot()
        ids = [self._resolve(snapshot, image) for image in images]
        if where is not None:
            ids.extend(self.select(where).tolist())
        with self._backend.writer() as writer:
            return writer.delete(np.unique(np.asarray(ids, np.int64)))

    def set_label(
        self, images: Iterable[ImageRef], label: str, value: str | int, *, who: str, why: str = ""
    ) -> int:
        """Correct a stored label; the original annotation is kept beside it.

        Args:
            images: Which.
            label: Its name, in any spelling.
            value: present, absent or unknown; or 1, −1, 0.
            who: Who says so.
            why: The reason.

        Returns:
            How many images were named.
        """
        from olrsearch.query import LabelNames

        snapshot = self._backend.snapshot()
        number = _VALUES.get(value) if isinstance(value, str) else value
        if number not in {-1, 0, 1}:
            raise QueryError(f"a label is present, absent or unknown, found {value!r}")
        name = LabelNames(snapshot.label_names).find(label)
        ids = np.unique([self._resolve(snapshot, image) for image in images]).astype(np.int64)
        with self._backend.writer() as writer:
            writer.set_override(ids, name, number, who=who, why=why)
        return len(ids)

    def relocate(self, dataset: str, root: Path | str) -> Relocation:
        """Tell the store that a data set's images now lie below `root`.

        Returns:
            How many of its images were found there, and how many it has.

        Raises:
            StoreError: none was found there; nothing is changed.
        """
        with self._backend.writer() as writer:
            return writer.relocate(dataset, Path(root))

    # -- encoders ----------------------------------------------------------------------

    def train_olr(
        self,
        profile: str = "cpu",
        *,
        settings: Mapping[str, str] | None = None,
        labels: Sequence[str] | None = None,
        resume: bool = False,
        progress: bool = False,
    ) -> TrainedSpace:
        """Train OLR on the labelled images; see `olrsearch.training.train_olr`."""
        from olrsearch.training import train_olr

        return train_olr(
            self._backend,
            profile,
            settings=settings,
            labels=labels,
            resume=resume,
            progress=progress,
            track=self._track,
        )

    def has_unfinished_run(self) -> bool:
        """Whether `train_olr(resume=True)` has something to go on with."""
        from olrsearch.training import unfinished_run

        return unfinished_run(self.path / "runs") is not None

    def encode(
        self, encoder: str | Path | None = None, *, batch_size: int = 256, on_error: OnError = "skip"
    ) -> EncodeReport:
        """Encode the images that have no embedding yet.

        A space that has no calibration yet is calibrated, and its metric chosen, where the
        store has labels to do it with.

        Args:
            encoder: Name or fingerprint of a space, or a model folder (which becomes a space of
                this store); the newest space when None.
            batch_size: Images a batch.
            on_error: Unreadable images: `skip` counts and reports them, `fail` stops.
        """
        from olrsearch.errors import CalibrationError
        from olrsearch.fitting import add_model, calibrate
        from olrsearch.ingest import encode_missing

        if encoder is not None and (Path(encoder) / "config.json").is_file():
            encoder = add_model(self._backend, Path(encoder))
        info = self._backend.snapshot().space(None if encoder is None else str(encoder))
        report = encode_missing(
            self._backend,
            info,
            self._encoder(info.fingerprint, info.model_path),
            on_error=on_error,
            batch_size=batch_size,
            track=self._track,
        )
        if info.calibration is None and report.encoded:
            try:
                report.notes.extend(calibrate(self._backend, info.fingerprint).lines())
            except CalibrationError as error:  # the embeddings are there all the same
                report.notes.append(f"{info.name} is not calibrated: {error}")
        return report

    def calibrate(self, space: str | None = None, *, where: str | None = None) -> CalibrationReport:
        """Fit probabilities, and choose the label indexes' metric, on labelled images.

        Args:
            space: Name or fingerprint; the newest when None.
            where: Which images; those that training held back when None.

        Raises:
            CalibrationError: there are no labelled images to fit on.
        """
        from olrsearch.fitting import calibrate

        ids = None if where is None else self.select(where)
        return calibrate(self._backend, space, ids=ids)

    def build_index(self, recipe: str = "exact", *, space: str | None = None) -> list[str]:
        """Build label scores and what a recipe adds; returns what was built, a line each."""
        from olrsearch.fitting import build_index

        return build_index(self._backend, recipe, space)

    def index_info(self, *, space: str | None = None) -> dict[str, Any]:
        """What is built for a space: recipe, sizes, measured recall."""
        info = self._backend.snapshot().space(space)
        return {"space": info.name, "scan": "exact, over the segments", **info.indexes}

    def embedding(self, image: ImageRef, *, space: str | None = None) -> F32:
        """One image's label embeddings, float32 [L, k]; a file outside the store is encoded."""
        opened = self._space(space)
        source = self._source(opened, image)
        return opened.view.embedding(source) if isinstance(source, int) else source

    # -- queries -----------------------------------------------------------------------

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
        from olrsearch.query import parse
        from olrsearch.search.attributes import search_attributes

        _check_page(k, offset)
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
        notes = () if evidence == "labels" else opened.score_notes()
        return self._ranking(opened, page, notes)

    def similar(
        self,
        image: ImageRef | None = None,
        *,
        by: By = None,
        with_: Mapping[str, ImageRef | F32] | None = None,
        prototypes: Iterable[str] = (),
        k: int = 20,
        offset: int = 0,
        max_distance: float | None = None,
        where: str | None = None,
        include_self: bool = False,
        space: str | None = None,
    ) -> Ranking:
        """Find images like an image, overall or in some respects, exactly.

        Args:
            image: What to be like: an id, a key, or an image file. None where `with_` or
                `prototypes` say it all.
            by: The label or labels that count, or weights of labels; all when None.
            with_: Take single labels from elsewhere: an image, or a vector float32 [k].
            prototypes: Labels whose vector is the mean embedding of the images that have them.
            k: Hits a page.
            offset: Skip this many hits.
            max_distance: Leave out hits farther than this.
            where: Only images this selects.
            include_self: Keep the images asked about in the answer.
            space: Name or fingerprint; the newest when None.

        Returns:
            Hits by rising distance; the contributions of the labels add up to the score.
        """
        from olrsearch.search.similar import compose, prototype, similar

        _check_page(k, offset)
        opened = self._space(space)
        like = None if image is None else self._source(opened, image)
        sources: dict[str, int | F32] = {
            label: value if isinstance(value, np.ndarray) else self._source(opened, value)
            for label, value in (with_ or {}).items()
        }
        prototypes = tuple(prototypes)
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
            exclude=() if include_self else asked,
            count=k,
            offset=offset,
            min_score=None if max_distance is None else -max_distance,
            allowed=self._allowed(opened, where),
        )
        return self._ranking(opened, page, query=_spell_similar(image, by, with_ or {}, prototypes, page.query))

    def describe(self, images: ImageRef | Iterable[ImageRef], *, space: str | None = None) -> list[Description]:
        """Predict the labels of images in the store or of image files, most probable first."""
        opened = self._space(space)
        wanted = [images] if isinstance(images, int | str | Path) else list(images)
        return [self._describe(opened, image) for image in wanted]

    def _describe(self, opened: OpenSpace, image: ImageRef) -> Description:
        source = self._source(opened, image)
        known = isinstance(source, int)
        embedding = opened.view.embedding(source) if isinstance(source, int) else source
        labels = opened.info.labels
        raw = opened.readout.logits(embedding[:, None, :])
        chance = opened.calibration.probability(raw, range(len(labels)))[:, 0]
        norms = np.linalg.norm(embedding.astype(np.float64), axis=1)
        stored = stored_labels(opened.snapshot, np.asarray([source], np.int64), labels)[0] if known else None
        name = opened.snapshot.images([source])[0].key if isinstance(source, int) else str(image)
        estimates = [
            LabelEstimate(
                label=label,
                probability=float(chance[row]),
                norm=float(norms[row]),
                stored=None if stored is None or label not in opened.snapshot.label_names else int(stored[row]),
            )
            for row, label in enumerate(labels)
        ]
        estimates.sort(key=lambda item: (-item.probability, item.label))
        return Description(name, source if isinstance(source, int) else None, tuple(estimates))

    # -- pictures ----------------------------------------------------------------------

    def picture(self, image: ImageRef, edge: int = 240) -> bytes | None:
        """A JPEG of an image, its longer side at most `edge` pixels.

        Where the file is gone its thumbnail is returned, and None where there is none.
        """
        from olrsearch.datasets.files import load_image, thumbnail_jpeg
        from olrsearch.errors import DatasetError

        snapshot = self._backend.snapshot()
        try:
            row = snapshot.images([self._resolve(snapshot, image)])[0]
        except UnknownImageError:
            if not Path(str(image)).is_file():
                raise
            path = Path(str(image)).resolve()
            return thumbnail_jpeg(load_image(path.parent, path.name), edge)
        try:
            return thumbnail_jpeg(load_image(row.root, row.uri), edge)
        except (DatasetError, OSError):
            return snapshot.thumbnail(row.id)

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

        question = tuple(Card(title=str(image), score="asked", picture=self.picture(image)) for image in asked)
        return write_sheet(ranking_sheet(ranking, self.picture, asked=question), path, columns=columns)

    # -- measuring ---------------------------------------------------------------------

    def bench_data(self, *, space: str | None = None, name: str | None = None) -> BenchData:
        """The arrays the protocols of `olrsearch.bench` measure."""
        from olrsearch.measuring import bench_data

        return bench_data(self._backend, self._space(space), name=name)

    def metric(self, *, space: str | None = None) -> Metric:
        """The metric of a space's label indexes."""
        return self._space(space).metric

    # -- shared ------------------------------------------------------------------------

    def _space(self, ref: str | None) -> OpenSpace:
        snapshot = self._backend.snapshot()
        if not snapshot.image_count:
            raise EmptyStoreError("the store holds no images: run olrsearch import first")
        info = snapshot.space(ref)
        found = self._spaces.get((snapshot.generation, info.fingerprint))
        if found is None:
            # Only the newest generation is kept open.
            self._spaces = {key: value for key, value in self._spaces.items() if key[0] == snapshot.generation}
            found = self._spaces[snapshot.generation, info.fingerprint] = OpenSpace(snapshot, info)
        return found

    def _encoder(self, fingerprint: str, path: Path) -> LabelEncoder:
        if fingerprint not in self._encoders:
            from olrsearch.encoders.registry import load

            self._encoders[fingerprint] = load(path)
        return self._encoders[fingerprint]

    def _resolve(self, snapshot: Snapshot, image: ImageRef) -> int:
        return snapshot.resolve(f"id:{image}" if isinstance(image, int) else str(image))

    def _source(self, opened: OpenSpace, image: ImageRef) -> int | F32:
        """An image of the store by id, or the embedding float32 [L, k] of a file outside it."""
        try:
            return self._resolve(opened.snapshot, image)
        except UnknownImageError as error:
            path = Path(str(image))
            if isinstance(image, int) or not path.is_file():
                if path.suffix and not isinstance(image, int):
                    raise UnknownImageError(f"{error}; nor is there a file {image}") from error
                raise
        from olrsearch.datasets.files import load_array

        encoder = self._encoder(opened.info.fingerprint, opened.info.model_path)
        pixels = load_array(path.resolve().parent, path.name, encoder.input_size, encoder.crop)
        embedding: F32 = encoder.encode(pixels[None])[:, 0]
        return embedding

    def _position(self, opened: OpenSpace, label: str) -> int:
        from olrsearch.query import LabelNames

        return LabelNames(opened.info.labels).position(label)

    def _allowed(self, opened: OpenSpace, where: str | None) -> Bool | None:
        return None if where is None else matching(opened.snapshot, opened.view.ids, where)

    def _ranking(
        self, opened: OpenSpace, page: Page, notes: tuple[str, ...] = (), *, query: str | None = None
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


def _check_page(k: int, offset: int) -> None:
    if k < 1 or offset < 0:
        raise QueryError(f"a page has k ≥ 1 hits from offset ≥ 0, found k = {k} and offset = {offset}")


def _spell_similar(
    image: ImageRef | None,
    by: By,
    with_: Mapping[str, ImageRef | F32],
    prototypes: Sequence[str],
    labels: str,
) -> str:
    """What a similarity query asked, as a heading: whose look, in which labels, with what from where."""
    parts = []
    if image is not None:
        parts.append(f"like {image}" + (f" in {labels}" if by is not None and not with_ else ""))
    parts += [
        f"{label} of {'a vector' if isinstance(source, np.ndarray) else source}"
        for label, source in with_.items()
    ]
    parts += [f"typical {label}" for label in prototypes]
    return ", ".join(parts)


def _log(probability: float) -> float:
    if not 0 <= probability <= 1:
        raise QueryError(f"a probability lies between 0 and 1, found {probability}")
    return math.log(probability) if probability > 0 else -math.inf


def _metric_name(metric: Mapping[str, Any]) -> str:
    return f"{metric['kind']}{', standardised' if metric['standardise'] else ''}"
