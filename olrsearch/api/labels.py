"""Stored labels: counted, corrected, decided on, exported."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from olrsearch.api.arguments import checked_verbs
from olrsearch.audit.decisions import decide as deciding
from olrsearch.audit.decisions.export import export_decisions, export_labels
from olrsearch.core.errors import QueryError
from olrsearch.core.shown import shown
from olrsearch.store.decision_rules import NAMED_VALUES
from olrsearch.store.decision_rules import VALUE_NAMES as VALUE_NAMES  # noqa: PLC0414 - handed on
from olrsearch.store.read.decisions import read_history, read_history_of_key

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from olrsearch.api.session import Session
    from olrsearch.audit.decisions.decide import Decided
    from olrsearch.audit.decisions.export import LabelExport
    from olrsearch.datasets.label_writing import LabelForm
    from olrsearch.store.decision_rules import Decision, DecisionRequest
    from olrsearch.store.values import ImageRef


@checked_verbs
class Labels:
    """The stored labels of a store and what people decided of them: `Store.labels`.

    A decision never overwrites an annotation. It is a row of a history that only grows, and can be undone.
    """

    def __init__(self, session: Session) -> None:
        self._session = session

    def names(self) -> tuple[str, ...]:
        """The labels of the store, in the order in which it met them."""
        return self._session.snapshot().label_names

    def counts(self) -> list[dict[str, Any]]:
        """How often each label is present, absent and unknown among living images."""
        snapshot = self._session.snapshot()
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

    def known(self, *, space: str | None = None) -> tuple[str, ...]:
        """The labels that a space's encoder knows, in its order: those that queries may name.

        Args:
            space: Name or fingerprint of a space of label embeddings; the newest when None.

        Raises:
            IncompatibleEncoderError: the space holds posteriors.
        """
        return self._session.space(space).info.labels

    def set(
        self, images: Iterable[ImageRef], label: str, value: str | int, *, who: str, why: str = ""
    ) -> int:
        """Correct a stored label; the original annotation is kept beside it.

        Args:
            images: Ids or keys of the images to change.
            label: Its name, in any spelling.
            value: `present`, `absent` or `unknown`; or 1, −1, 0.
            who: Who says so.
            why: The reason, kept beside the correction.

        Returns:
            How many images were named.

        Raises:
            QueryError: another value.
            UnknownImageError, UnknownLabelError: there is none.
        """
        number = NAMED_VALUES.get(value) if isinstance(value, str) else value
        if number not in {-1, 0, 1}:
            raise QueryError(f"a label is present, absent or unknown, found {shown(value)}")
        with self._session.backend.writer() as writer:
            return writer.decisions.set(images, label, number, who=who, why=why)

    def decide(self, decisions: Iterable[DecisionRequest], *, who: str, run: str | None = None) -> Decided:
        """Accept, flip or leave labels, all or none; see `olrsearch.audit.decisions.decide.decide`."""
        return deciding.decide(self._session.backend, decisions, who=who, run=run)

    def decide_file(self, path: Path | str, *, who: str, run: str | None = None) -> Decided:
        """Decide what a CSV, or a history that was exported, says; see `decisions.decide.decide_file`."""
        return deciding.decide_file(self._session.backend, Path(path), who=who, run=run)

    def undo(self, image: int | str, label: str, *, who: str, why: str = "") -> Decided:
        """Take the latest decision on a label of an image back; see `decisions.decide.undo`."""
        return deciding.undo(self._session.backend, image, label, who=who, why=why)

    def history(
        self, image: ImageRef | None = None, label: str | Sequence[str] | None = None
    ) -> list[Decision]:
        """The history of decisions, oldest first: of one image or all, of one label, some or all.

        Of an image that is named everything is told that was ever decided for its key, whatever bytes it
        stood for, and also after it was deleted.

        Raises:
            UnknownImageError: no such image.
            UnknownLabelError: no such label; carries the nearest names.
        """
        snapshot = self._session.snapshot()
        labels = ([label] if isinstance(label, str) else label) or None
        if image is None:
            return read_history(snapshot, None, labels)
        return read_history_of_key(snapshot, image, labels)

    def export_history(self, path: Path | str, *, replace: bool = False) -> int:
        """Write the history of decisions as JSON lines; returns how many there are.

        Args:
            path: Where to.
            replace: Write over a file that is there.
        """
        return export_decisions(self._session.snapshot(), Path(path), replace=replace)

    def export(
        self,
        path: Path | str,
        *,
        form: LabelForm | None = None,
        dataset: str | None = None,
        where: str | None = None,
        replace: bool = False,
    ) -> LabelExport:
        """Write stored labels, decisions applied, as a file to import; see `export_labels`."""
        return export_labels(
            self._session.snapshot(), Path(path), form=form, dataset=dataset, where=where, replace=replace
        )
