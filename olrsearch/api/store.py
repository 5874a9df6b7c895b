"""The public face: an open store with everything that can be done with it.

    from olrsearch import Store

    with Store.create("faces") as store:
        store.import_celeba("celeba")
        store.encoders.train("olr")
        store.encode()
        ranking = store.search("smiling & eyeglasses & !male")
        store.sheet(ranking, "smiling.html")
        store.similar(with_={"Smiling": "000001.jpg", "Wavy_Hair": "000002.jpg"})
        store.encoders.train("informed-prior")
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
from typing import TYPE_CHECKING, Any, Literal, Self, Unpack

from olrsearch.api import facts, imagining, listing, pictures, questions
from olrsearch.api import similar as likeness
from olrsearch.api import words as word_questions
from olrsearch.api.arguments import checked_verbs
from olrsearch.api.encoders import encode
from olrsearch.api.session import Session
from olrsearch.core.counted import counted
from olrsearch.core.errors import OlrsearchError
from olrsearch.core.progress import Track, silent
from olrsearch.store.backend import Backend

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from types import TracebackType

    from olrsearch.api.audits import Audits
    from olrsearch.api.bench import Bench
    from olrsearch.api.edits import Edits
    from olrsearch.api.encoders import Encoders
    from olrsearch.api.imports import FileOptions, ImportOptions, ReadOptions
    from olrsearch.api.indexes import Indexes
    from olrsearch.api.labels import Labels
    from olrsearch.api.looks import Looks
    from olrsearch.core.arrays import I64
    from olrsearch.datasets.base import Dataset
    from olrsearch.pipeline.importing import ImportReport
    from olrsearch.store.values import ImageRef, Relocation


@checked_verbs
class Store:
    """An open store, to be asked and changed. Use it as a context manager, or call `close`.

    Every query answers from one generation: the newest when it begins. Changes take the
    store's lock: one writer at a time, however many readers. What is not done every day is in
    parts: `labels`, `audit`, `encoders`, `indexes`, `looks`, `edits` and `bench`.

    An image is named by its id, by its key (`000001.jpg`, or `celeba/000001.jpg` where several data sets have
    it), or, to be similar to it or to describe it, by the path of a file that is not in the store. A space is
    named by name or fingerprint; when None it is the newest of the layout that is needed.

    Attributes:
        session: What the parts share; for programs that measure.
    """

    def __init__(self, session: Session) -> None:
        self.session = session

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
        return cls(Session(Backend.create(Path(path), database_url=database_url), track))

    @classmethod
    def open(
        cls,
        path: Path | str,
        *,
        read_only: bool = False,
        database_url: str | None = None,
        track: Track = silent,
    ) -> Self:
        """Open a store; `read_only` refuses changes and works on media that cannot be written.

        Raises:
            StoreNotFoundError: there is none.
            StoreVersionError: it is newer than this program, or older and not migrated.
            StoreCorruptError: it is damaged.
        """
        backend = Backend.open(Path(path), read_only=read_only, database_url=database_url)
        return cls(Session(backend, track))

    @staticmethod
    def migrate(path: Path | str, *, database_url: str | None = None) -> tuple[str, str]:
        """Bring an older store's metadata to this version; returns the revisions before and after."""
        return Backend.migrate(Path(path), database_url=database_url)

    @staticmethod
    def discard_empty(path: Path | str, *, database_url: str | None = None) -> bool:
        """Remove a store that nothing was ever put into; says whether it did."""
        return Backend.discard_empty(Path(path), database_url=database_url)

    def close(self) -> None:
        """Release the database connection."""
        self.session.backend.close()

    def __repr__(self) -> str:
        """Its folder, and what is in it where it can be read."""
        try:
            snapshot = self.session.snapshot()
        except OlrsearchError:
            return f"<Store {self.path}>"
        return (
            f"<Store {self.path}: {counted(snapshot.image_count, 'image')}, generation {snapshot.generation}>"
        )

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
        return self.session.path

    @cached_property
    def labels(self) -> Labels:
        """The stored labels, counted, corrected, decided on and exported."""
        from olrsearch.api.labels import Labels

        return Labels(self.session)

    @cached_property
    def audit(self) -> Audits:
        """Audits of the stored labels, to run and to ask."""
        from olrsearch.api.audits import Audits

        return Audits(self.session)

    @cached_property
    def encoders(self) -> Encoders:
        """Encoders, to list, train, calibrate and publish."""
        from olrsearch.api.encoders import Encoders

        return Encoders(self.session)

    @cached_property
    def indexes(self) -> Indexes:
        """What is built so that queries answer faster."""
        from olrsearch.api.indexes import Indexes

        return Indexes(self.session)

    @cached_property
    def looks(self) -> Looks:
        """Looks into the embeddings, at norms, components, disagreements and Gaussians."""
        from olrsearch.api.looks import Looks

        return Looks(self.session)

    @cached_property
    def edits(self) -> Edits:
        """Images with labels added and removed: made pictures, and real images like the result."""
        from olrsearch.api.edits import Edits

        return Edits(self.session)

    @cached_property
    def bench(self) -> Bench:
        """How good the answers are, by the published protocols."""
        from olrsearch.api.bench import Bench

        return Bench(self.session)

    def import_celeba(
        self,
        path: Path | str,
        *,
        images: Path | str | None = None,
        annotations: Path | str | None = None,
        **options: Unpack[FileOptions],
    ) -> ImportReport:
        """Import CelebA's own layout, from folders or from the zips as distributed.

        See `olrsearch.datasets.celeba.open_celeba` for what is found where, and `FileOptions`.
        """
        return self._import("celeba", path, {"images": images, "annotations": annotations}, **options)

    def import_folder(
        self,
        path: Path | str,
        *,
        labels: Path | str | None = None,
        labels_from: Literal["folders"] | None = None,
        exclude: Sequence[str] = (),
        **options: Unpack[FileOptions],
    ) -> ImportReport:
        """Import a folder of images, with or without a table of labels (CSV, Parquet, JSON lines, CelebA's).

        See `olrsearch.datasets.folder.open_folder` for what a table may hold and what can be left out, and
        `FileOptions`.
        """
        reader = {"labels": labels, "labels_from": labels_from, "exclude": exclude}
        return self._import("folder", path, reader, **options)

    def import_idx(
        self,
        images: Path | str,
        labels: Path | str | None = None,
        *,
        names: Sequence[str] | None = None,
        **options: Unpack[ImportOptions],
    ) -> ImportReport:
        """Import MNIST-style idx files; classes become one binary label each.

        See `olrsearch.datasets.idx.open_idx` for what label files may hold, and `ImportOptions`.
        """
        return self._import("idx", images, {"labels": labels, "names": names}, **options)

    def import_cifar100(
        self, path: Path | str, *, coarse: bool = False, **options: Unpack[ImportOptions]
    ) -> ImportReport:
        """Import CIFAR-100's binary version, from its folder or from the tar as distributed.

        See `olrsearch.datasets.cifar.open_cifar100` for what is found where, and `ImportOptions`.
        """
        return self._import("cifar100", path, {"coarse": coarse}, **options)

    def _import(
        self,
        kind: str,
        path: Path | str,
        reader: Mapping[str, Any],
        **options: Unpack[FileOptions],
    ) -> ImportReport:
        from olrsearch.api.imports import split_options
        from olrsearch.datasets.registry import open_dataset

        name = options.get("name")
        of_table, of_images = split_options(options)
        dataset, called = open_dataset(kind, path, **reader, **of_table)
        return self.import_dataset(dataset, name=name, usual=called, **of_images)

    def import_dataset(
        self,
        dataset: Dataset,
        *,
        name: str | None = None,
        usual: str = "",
        **options: Unpack[ReadOptions],
    ) -> ImportReport:
        """Import a data set that is open; see `olrsearch.pipeline.importing.import_dataset`.

        Args:
            dataset: From a reader.
            name: Name of the data set in the store.
            usual: Its name where that is None, as `open_dataset` gives it; a data set that the store has
                under its layout's name keeps that.
        """
        from olrsearch.api.imports import name_in
        from olrsearch.pipeline.importing import import_dataset

        session = self.session
        called = name_in(session.backend.snapshot().datasets(), dataset, usual) if name is None else name
        return import_dataset(session.backend, dataset, name=called, **options, track=session.track)

    def delete(self, images: Iterable[ImageRef] = (), *, where: str | None = None) -> int:
        """Take images out of every answer, at once; the data set's files are not touched.

        Args:
            images: Ids or keys of the images to delete.
            where: Delete the images that this condition selects, too.

        Returns:
            How many images were deleted.
        """
        with self.session.backend.writer() as writer:  # nothing comes between the look-up and the deletion
            chosen = () if where is None else self.select(where).tolist()
            return writer.gallery.delete([*images, *chosen])

    def relocate(self, dataset: str, root: Path | str) -> Relocation:
        """Tell the store that a data set's images now lie below `root`.

        Args:
            dataset: Its name in the store.
            root: The folder.

        Returns:
            How many of its images were found there, and how many it has.

        Raises:
            ImageMissingError: none was found there; nothing is changed.
            UnknownDatasetError: there is no such data set.
        """
        with self.session.backend.writer() as writer:
            return writer.gallery.relocate(dataset, Path(root))

    def select(self, where: str) -> I64:
        """Ids of the living images that a condition selects, int64, ascending.

        Raises:
            QuerySyntaxError: it does not parse, or names another column.
        """
        return self.session.select(where)

    # Each stands in the module of what it is about, with its arguments and what it raises.
    encode = encode
    search = questions.search
    similar = likeness.similar
    words = word_questions.words
    describe = questions.describe
    images = listing.images
    images_sheet = listing.images_sheet
    describe_words = word_questions.describe_words
    imagine = imagining.imagine
    interpolate = imagining.interpolate
    picture = pictures.picture
    write_pictures = pictures.write_pictures
    sheet = pictures.sheet
    info = facts.info
    verify = facts.verify
    clean = facts.clean
