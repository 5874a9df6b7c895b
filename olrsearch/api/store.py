"""The façade: a store with everything that can be done with it.

    from olrsearch import Store

    with Store.create("faces") as store:
        store.import_celeba("celeba")
        store.train_olr()
        store.encode()
        ranking = store.search("smiling & eyeglasses & !male")
        store.sheet(ranking, "smiling.html")
        store.similar(with_={"Smiling": "000001.jpg", "Wavy_Hair": "000002.jpg"})
        store.train_informed_prior()
        store.encode()
        store.words(["beard", "!smiling"])
        store.audit.run()
        store.audit.list("smiling", 20)

Nothing here imports torch unless it trains, encodes, or is asked about an image file that
is not in the store. Notation: N images, L labels, k numbers a label.
"""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Self

import numpy as np

from olrsearch.api.gaussian_looks import PosteriorLooker
from olrsearch.core.errors import EmptyStoreError, IndexBuildError, QueryError
from olrsearch.core.progress import Track, silent
from olrsearch.store.backend import Backend
from olrsearch.store.vectors.layout import LABELS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from olrsearch.api.audits import Audits
    from olrsearch.audit.decisions.decide import Decided
    from olrsearch.audit.decisions.export_labels import LabelExport
    from olrsearch.audit.decisions.files import DecisionRequest
    from olrsearch.datasets.base import Dataset
    from olrsearch.datasets.label_writing import LabelForm
    from olrsearch.encoders.folder.shipped import EncoderEntry
    from olrsearch.pipeline.calibrating import CalibrationReport
    from olrsearch.pipeline.importing import EncodeReport, ImportReport
    from olrsearch.pipeline.pixels import OnError
    from olrsearch.pipeline.training import TrainedSpace
    from olrsearch.store.decisions import Decision
    from olrsearch.store.values import ImageRef, Relocation


class Store(PosteriorLooker):
    """An open store, to be asked and changed. Use it as a context manager, or call `close`.

    Every query answers from one generation: the newest when it begins. Changes take the
    store's lock: one writer at a time, however many readers.
    """

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
        `olrsearch.pipeline.importing.import_dataset` for the other arguments.
        """
        from olrsearch.datasets.celeba import open_celeba

        dataset = open_celeba(
            Path(path),
            images=None if images is None else Path(images),
            annotations=None if annotations is None else Path(annotations),
        )
        return self.import_dataset(dataset, name=name, on_error=on_error, thumbnails=thumbnails, limit=limit)

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
        if name is None:
            name = Path(path).resolve().name
        return self.import_dataset(dataset, name=name, on_error=on_error, thumbnails=thumbnails, limit=limit)

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
        """Import MNIST-style idx files; classes become one binary label each.

        See `olrsearch.datasets.idx.open_idx` for what label files may hold.
        """
        from olrsearch.datasets.idx import open_idx

        dataset = open_idx(Path(images), None if labels is None else Path(labels), names=names)
        if name is None:
            name = Path(images).resolve().name
        return self.import_dataset(dataset, name=name, on_error=on_error, thumbnails=thumbnails, limit=limit)

    def import_cifar100(
        self,
        path: Path | str,
        *,
        coarse: bool = False,
        name: str = "cifar100",
        on_error: OnError = "skip",
        thumbnails: bool = True,
        limit: int | None = None,
    ) -> ImportReport:
        """Import CIFAR-100's binary version, from its folder or from the tar as distributed.

        See `olrsearch.datasets.cifar.open_cifar100` for what is found where.
        """
        from olrsearch.datasets.cifar import open_cifar100

        dataset = open_cifar100(Path(path), coarse=coarse)
        return self.import_dataset(dataset, name=name, on_error=on_error, thumbnails=thumbnails, limit=limit)

    def import_dataset(
        self,
        dataset: Dataset,
        *,
        name: str,
        on_error: OnError = "skip",
        thumbnails: bool = True,
        limit: int | None = None,
    ) -> ImportReport:
        """Import a data set that is open, of any reader.

        See `olrsearch.pipeline.importing.import_dataset` for the arguments.
        """
        from olrsearch.pipeline.importing import import_dataset

        return import_dataset(
            self._backend,
            dataset,
            name=name,
            on_error=on_error,
            thumbnails=thumbnails,
            limit=limit,
            track=self._track,
        )

    def delete(self, images: Iterable[ImageRef] = (), *, where: str | None = None) -> int:
        """Take images out of every answer, at once; the data set's files are not touched.

        Returns:
            How many images were deleted.
        """
        snapshot = self._backend.snapshot()
        ids = [snapshot.resolve(image) for image in images]
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
        from olrsearch.core.names import LabelNames
        from olrsearch.store.decisions import NAMED_VALUES

        snapshot = self._backend.snapshot()
        number = NAMED_VALUES.get(value) if isinstance(value, str) else value
        if number not in {-1, 0, 1}:
            raise QueryError(f"a label is present, absent or unknown, found {value!r}")
        name = LabelNames(snapshot.label_names).find(label)
        ids = np.unique([snapshot.resolve(image) for image in images]).astype(np.int64)
        with self._backend.writer() as writer:
            writer.set_override(ids, name, number, who=who, why=why)
        return len(ids)

    @cached_property
    def audit(self) -> Audits:
        """Audits of the stored labels: run them, ask them."""
        from olrsearch.api.audits import Audits

        return Audits(self._backend, self._pictures, self._track)

    def decide(self, decisions: Iterable[DecisionRequest], *, who: str, run: str | None = None) -> Decided:
        """Accept, flip or leave labels, all or none; see `decide.decide`."""
        from olrsearch.audit.decisions.decide import decide

        return decide(self._backend, decisions, who=who, run=run)

    def decide_file(self, path: Path | str, *, who: str, run: str | None = None) -> Decided:
        """Decide what a CSV, or a history that was exported, says; see `decide.decide_file`."""
        from olrsearch.audit.decisions.decide import decide_file

        return decide_file(self._backend, Path(path), who=who, run=run)

    def undo_decision(self, image: int | str, label: str, *, who: str, why: str = "") -> Decided:
        """Take the latest decision on a label of an image back; see `decide.undo`."""
        from olrsearch.audit.decisions.decide import undo

        return undo(self._backend, image, label, who=who, why=why)

    def decisions(self, image: int | str | None = None, label: str | None = None) -> list[Decision]:
        """The history of decisions, oldest first: of one image or all, of one label or all.

        Raises:
            UnknownImageError: no such image.
            UnknownLabelError: no such label; carries the nearest names.
        """
        snapshot = self._backend.snapshot()
        ids = None if image is None else [snapshot.resolve(image)]
        return snapshot.decisions(ids, None if label is None else [label])

    def export_decisions(self, path: Path | str, *, replace: bool = False) -> int:
        """Write the history of decisions as JSON lines; see `decide.export_decisions`."""
        from olrsearch.audit.decisions.decide import export_decisions

        return export_decisions(self._backend.snapshot(), Path(path), replace=replace)

    def export_labels(
        self,
        path: Path | str,
        *,
        form: LabelForm | None = None,
        dataset: str | None = None,
        where: str | None = None,
        replace: bool = False,
    ) -> LabelExport:
        """Write stored labels, decisions applied, as a file to import; see `export_labels`."""
        from olrsearch.audit.decisions.export_labels import export_labels

        return export_labels(
            self._backend.snapshot(), Path(path), form=form, dataset=dataset, where=where, replace=replace
        )

    def relocate(self, dataset: str, root: Path | str) -> Relocation:
        """Tell the store that a data set's images now lie below `root`.

        Returns:
            How many of its images were found there, and how many it has.

        Raises:
            ImageMissingError: none was found there; nothing is changed.
            UnknownDatasetError: there is no such data set.
        """
        with self._backend.writer() as writer:
            return writer.relocate(dataset, Path(root))

    def train_olr(
        self,
        profile: str = "cpu",
        *,
        settings: Mapping[str, str] | None = None,
        labels: Sequence[str] | None = None,
        teacher: str | None = None,
        resume: bool = False,
        progress: bool = False,
    ) -> TrainedSpace:
        """Train OLR on the labelled images; see `olrsearch.pipeline.training.train_olr`."""
        from olrsearch.pipeline.training import train_olr

        return train_olr(
            self._backend,
            profile,
            settings=settings,
            labels=labels,
            teacher=teacher,
            resume=resume,
            progress=progress,
            track=self._track,
        )

    def train_informed_prior(
        self,
        profile: str = "faces",
        *,
        settings: Mapping[str, str] | None = None,
        labels: Sequence[str] | None = None,
        resume: bool = False,
        progress: bool = False,
    ) -> TrainedSpace:
        """Train an encoder of posteriors; see `olrsearch.pipeline.training.train_informed_prior`."""
        from olrsearch.pipeline.training import train_informed_prior

        return train_informed_prior(
            self._backend,
            profile,
            settings=settings,
            labels=labels,
            resume=resume,
            progress=progress,
            track=self._track,
        )

    def has_unfinished_run(self, kind: str = "olr") -> bool:
        """Whether training this kind of encoder (`olr`, `informed-prior`) can be resumed."""
        from olrsearch.pipeline.training import unfinished_run

        return unfinished_run(self.path / "runs", kind) is not None

    def encode(
        self, encoder: str | Path | None = None, *, batch_size: int = 256, on_error: OnError = "skip"
    ) -> EncodeReport:
        """Encode the images that have no embedding, or posterior, yet.

        A space that has no calibration yet is calibrated, and the metric of label embeddings chosen,
        where the store has labels to do it with. An encoder that brings both is taken with them. Of new
        posteriors the KL features and word scores that a first query needs are kept.

        Args:
            encoder: Name or fingerprint of a space, or an encoder that becomes a space of this store:
                a model folder, or the name of one that comes with the package (`faces`). When None,
                the newest space's, be it of label embeddings or of posteriors; in a store without any
                the face encoder that comes with the package, which is for aligned face crops and
                non-commercial research only.
            batch_size: Images a batch.
            on_error: Unreadable images: `skip` counts and reports them, `fail` stops.

        Raises:
            EmptyStoreError: there are no images, or no encoder.
            UnknownEncoderError: nothing has this name or fingerprint, or several have.
            ModelFileError: the encoder's files are damaged.
        """
        from olrsearch.core.errors import CalibrationError
        from olrsearch.pipeline.adding import encoder_space
        from olrsearch.pipeline.calibrating import calibrate
        from olrsearch.pipeline.importing import encode_missing
        from olrsearch.pipeline.indexing import keep_new

        snapshot = self._backend.snapshot()
        if not snapshot.image_count:
            raise EmptyStoreError("the store holds no images: run olrsearch import first")
        info = encoder_space(self._backend, encoder)
        report = encode_missing(
            self._backend,
            info,
            self._encoder(info),
            on_error=on_error,
            batch_size=batch_size,
            track=self._track,
        )
        # Also where an earlier run was interrupted after its last segment.
        if report.encoded + report.present:
            try:
                keep_new(self._backend, info.fingerprint)
            except (IndexBuildError, OSError) as error:  # queries compute what is not kept
                report.notes.append(f"{info.name}: KL features are not kept: {error}")
        unfitted = info.calibration is None or (info.layout == LABELS and info.metric is None)
        if unfitted and report.encoded + report.present:
            try:
                report.notes.extend(calibrate(self._backend, info.fingerprint).lines())
            except CalibrationError as error:  # the embeddings are there all the same
                report.notes.append(f"{info.name} is not calibrated: {error}")
        return report

    def encoders(self) -> tuple[EncoderEntry, ...]:
        """Encoders that can be named: those that come with the package, and those of this store."""
        from olrsearch.pipeline.inventory import list_encoders

        return list_encoders(self._backend.snapshot())

    def encoder(self, name: str | Path) -> EncoderEntry:
        """One of them, or a model folder.

        Args:
            name: As `encode` takes it.

        Raises:
            UnknownEncoderError: nothing has this name or fingerprint, or several have.
        """
        from olrsearch.pipeline.inventory import find_encoder

        return find_encoder(name, self._backend.snapshot())

    def default_encoder(self) -> EncoderEntry | None:
        """What `encode` uses when none is named; None where neither store nor package has one."""
        from olrsearch.pipeline.inventory import default_encoder

        return default_encoder(self._backend.snapshot())

    def publish_encoder(
        self,
        space: str | None,
        out: Path | str,
        *,
        name: str,
        half: bool = False,
        reports: Iterable[Path | str] = (),
        hardware: str | None = None,
        replace: bool = False,
        share: Path | str | None = None,
    ) -> Path:
        """Write a trained encoder as a folder that others can use.

        See `olrsearch.pipeline.publishing.publish.publish` for the arguments.
        """
        from olrsearch.pipeline.publishing.publish import publish

        return publish(
            self._backend,
            space,
            Path(out),
            name=name,
            half=half,
            reports=[Path(report) for report in reports],
            hardware=hardware,
            replace=replace,
            share=share,
        )

    def calibrate(self, space: str | None = None, *, where: str | None = None) -> CalibrationReport:
        """Fit probabilities, and choose the label indexes' metric, on labelled images.

        Args:
            space: Name or fingerprint; when None the newest of label embeddings, and in a store without
                any the newest of posteriors.
            where: Which images; those that training held back when None.

        Raises:
            CalibrationError: there are no labelled images to fit on.
        """
        from olrsearch.pipeline.calibrating import calibrate

        ids = None if where is None else self.select(where)
        return calibrate(self._backend, space, ids=ids)

    def estimate_index(self, recipe: str = "exact", *, space: str | None = None) -> int:
        """Bytes that `build_index` will take in memory and on disk, roughly."""
        from olrsearch.pipeline.indexing import estimate_index

        return estimate_index(self._backend, recipe, space)[0]

    def estimate_index_device(self, recipe: str = "exact", *, space: str | None = None) -> int:
        """Bytes that what `build_index` builds takes on a GPU, roughly; 0 for what lies on none."""
        from olrsearch.pipeline.indexing import estimate_index

        return estimate_index(self._backend, recipe, space)[1]

    def build_index(self, recipe: str = "exact", *, space: str | None = None) -> list[str]:
        """Build label scores and what a recipe adds; returns what was built, a line each.

        Of posteriors, build the KL features of both directions and the word scores, or the index of a KL
        recipe.

        Args:
            recipe: Its name, or a file; posteriors know `exact` and those that begin with `kl-`.
            space: As `calibrate` takes it; for a KL recipe the newest of posteriors when None.
        """
        from olrsearch.pipeline.indexing import build_index

        return build_index(self._backend, recipe, space)
