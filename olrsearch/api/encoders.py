"""Encoders of a store: listed, trained, calibrated, published, and used to encode."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from olrsearch.api.arguments import checked_verbs
from olrsearch.core.errors import CalibrationError, IndexBuildError
from olrsearch.store.vectors.layout import LABELS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from olrsearch.api.session import HasSession, Session
    from olrsearch.encoders.folder.shipped import EncoderEntry
    from olrsearch.pipeline.calibrating import CalibrationReport
    from olrsearch.pipeline.encoding import EncodeReport
    from olrsearch.pipeline.reading_pixels import OnError
    from olrsearch.pipeline.training import TrainedSpace
    from olrsearch.pipeline.training_decoder import DecoderReport
    from olrsearch.store.values import SpaceInfo


@checked_verbs
class Encoders:
    """Encoders of a store: `Store.encoders`."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def list(self) -> tuple[EncoderEntry, ...]:
        """Encoders that can be named: those that come with the package, and those of this store."""
        from olrsearch.pipeline.known_encoders import list_encoders

        return list_encoders(self._session.snapshot())

    def get(self, name: str | Path) -> EncoderEntry:
        """One of them, or a model folder.

        Args:
            name: As `Store.encode` takes it.

        Raises:
            UnknownEncoderError: nothing has this name or fingerprint, or several have.
        """
        from olrsearch.pipeline.known_encoders import find_encoder

        return find_encoder(name, self._session.snapshot())

    def default(self) -> EncoderEntry | None:
        """What `Store.encode` uses when none is named; None where neither store nor package has one."""
        from olrsearch.pipeline.known_encoders import default_encoder

        return default_encoder(self._session.snapshot())

    def train(
        self,
        kind: str = "olr",
        profile: str | None = None,
        *,
        settings: Mapping[str, str] | None = None,
        labels: Sequence[str] | None = None,
        teacher: str | None = None,
        order: Sequence[str] | None = None,
        degree: str | None = None,
        resume: bool = False,
        progress: bool = False,
    ) -> TrainedSpace:
        """Train an encoder on the labelled images; the new space is empty until `Store.encode`.

        Args:
            kind: Of encoder: `olr`, `informed-prior`, `pse`, `atnl` …; an unknown one lists all.
            profile: Networks, sizes and lengths by name; the kind's default when None.
            settings: Values of single settings, as text.
            labels: Labels to learn; all of the store's when None.
            teacher: Of `olr`: take the teacher of this run or space instead of training one.
            order: Of `atnl`: labels from the lowest step to the highest, with `|` between those of one; an
                image stands at the highest that it shows.
            degree: Of `atnl`: the order is this label's probability by the newest label embeddings, in
                tenths.
            resume: Go on with the newest unfinished run of this kind.
            progress: Progress bars of the trainer.

        Raises:
            EmptyStoreError: no labelled images.
            TrainingError: no such kind, nothing to resume, unknown settings, or training diverged.
        """
        from olrsearch.pipeline.training import train

        return train(
            self._session.backend,
            kind,
            profile,
            settings=settings,
            labels=labels,
            teacher=teacher,
            order=order,
            degree=degree,
            resume=resume,
            progress=progress,
            track=self._session.track,
        )

    def train_decoder(
        self,
        space: str | None = None,
        profile: str | None = None,
        *,
        settings: Mapping[str, str] | None = None,
        resume: bool = False,
        progress: bool = False,
    ) -> DecoderReport:
        """Train a decoder of a space's label embeddings; embeddings and fingerprint stay as they are.

        Args:
            space: Name or fingerprint; the newest of label embeddings when None.
            profile: `cpu`, `paper`, `demo` or `tiny`: networks, sizes and lengths; `cpu` when None.
            settings: Values of single settings, as text.
            resume: Go on with the newest unfinished run of a decoder.
            progress: Progress bars of the trainer.

        Raises:
            EmptyStoreError: nothing is encoded.
            IncompatibleEncoderError: the space holds posteriors.
            ModelFileError: the space's model is damaged or gone.
            TrainingError: nothing to resume, unknown settings, too few images, or training diverged.
        """
        from olrsearch.pipeline.training_decoder import train_decoder

        return train_decoder(
            self._session.backend,
            space,
            profile,
            settings=settings,
            resume=resume,
            progress=progress,
            track=self._session.track,
        )

    def has_unfinished_run(self, kind: str = "olr") -> bool:
        """Whether training this kind of encoder (`olr`, `informed-prior`), or a `decoder`, can be resumed."""
        from olrsearch.store.training_runs import unfinished_run

        return unfinished_run(self._session.path, kind) is not None

    def advice(self, space: str | None = None) -> tuple[str, ...]:
        """What somebody who asks a space should know first.

        A newer training run waits to be finished, or the encoder knows none of the store's labels.

        Args:
            space: Name or fingerprint; the newest when None.

        Raises:
            EmptyStoreError: nothing is encoded.
            UnknownSpaceError: no space has this name or fingerprint, or several have.
        """
        return tuple(advice(self._session, self._session.snapshot().space(space)))

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

        ids = None if where is None else self._session.select(where)
        return calibrate(self._session.backend, space, ids=ids)

    def publish(
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
        decoder: bool = False,
    ) -> Path:
        """Write a trained encoder as a folder that others can use.

        See `olrsearch.pipeline.publishing.publish.publish` for the arguments.
        """
        from olrsearch.pipeline.publishing.publish import publish

        return publish(
            self._session.backend,
            space,
            Path(out),
            name=name,
            half=half,
            reports=[Path(report) for report in reports],
            hardware=hardware,
            replace=replace,
            share=share,
            decoder=decoder,
        )


def card_page(entry: EncoderEntry) -> str:
    """The model card of an encoder, Markdown.

    Raises:
        ModelFileError: it has none.
    """
    from olrsearch.encoders.folder.card import read_card_page

    return read_card_page(entry.path)


def advice(session: Session, info: SpaceInfo) -> list[str]:
    """What somebody who asks a space should know first: a run that waits, labels that it does not share."""
    from olrsearch.encoders.registry import trainable
    from olrsearch.store.training_runs import waiting_run

    found = []
    for kind in trainable():
        run = waiting_run(session.path, kind)
        if run is not None:
            found.append(
                f"{info.name} answers, but a newer training run, {run.name}, waits to be finished: "
                f"olrsearch train {kind} --resume"
            )
    names = session.snapshot().label_names
    if names and info.layout == LABELS and not set(names) & set(info.labels):
        found.append(
            f"{info.name} knows none of this store's labels ({_some(names)}), only its own "
            f"({_some(info.labels)}): train an encoder of the store's labels with olrsearch train"
        )
    return found


def _some(names: Sequence[str]) -> str:
    """The first names of a list, and how many follow."""
    shown = ", ".join(names[:3])
    return shown if len(names) <= 3 else f"{shown} and {len(names) - 3} more"


def encode(
    store: HasSession, encoder: str | Path | None = None, *, batch_size: int = 256, on_error: OnError = "skip"
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
    from olrsearch.pipeline.adding_encoders import encoder_space
    from olrsearch.pipeline.calibrating import calibrate
    from olrsearch.pipeline.encoding import encode_missing
    from olrsearch.pipeline.indexing import keep_new

    session = store.session
    session.living()
    info = encoder_space(session.backend, encoder)
    report = encode_missing(
        session.backend,
        info,
        session.encoder(info),
        on_error=on_error,
        batch_size=batch_size,
        track=session.track,
    )
    # Also where an earlier run was interrupted after its last segment.
    held = report.encoded + report.present
    if held:
        try:
            keep_new(session.backend, info.fingerprint)
        except (IndexBuildError, OSError) as error:  # queries compute what is not kept
            report.notes.append(f"{info.name}: KL features are not kept: {error}")
    report.notes.extend(advice(session, info))
    unfitted = info.calibration is None or (info.layout == LABELS and info.metric is None)
    if unfitted and held:
        try:
            report.notes.extend(calibrate(session.backend, info.fingerprint).lines())
        except CalibrationError as error:  # the embeddings are there all the same
            report.notes.append(f"{info.name} is not calibrated: {error}")
    return report
