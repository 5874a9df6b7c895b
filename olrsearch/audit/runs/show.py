"""One entry of an audit with all that speaks for and against it.

Notation: N images, L labels of a run.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from olrsearch.audit.runs.from_store import run_material, run_scorers, run_space
from olrsearch.audit.runs.lists import stale_notes
from olrsearch.audit.runs.results import AuditedEntry, DecisionMade, Evidence, EvidenceImage
from olrsearch.audit.scorers.retired import RETIRED, retired_notes
from olrsearch.core.errors import AuditError, OlrsearchError
from olrsearch.store.audit_runs import RunFolder
from olrsearch.store.read.decisions import read_history

if TYPE_CHECKING:
    from collections.abc import Mapping

    from olrsearch.audit.scorers.material import Material
    from olrsearch.audit.scorers.protocol import Scorer
    from olrsearch.core.arrays import F32, I8, I64
    from olrsearch.store.read.audits import AuditInfo
    from olrsearch.store.read.snapshot import Snapshot


class Shown:
    """A finished audit, opened to explain its entries; parts are read when first needed.

    Args:
        snapshot: What holds now.
        info: The audit.
    """

    def __init__(self, snapshot: Snapshot, info: AuditInfo) -> None:
        self.snapshot = snapshot
        self.info = info
        self.names: tuple[str, ...] = tuple(info.config["labels"])
        self._folder = RunFolder.open(info.path)

    @cached_property
    def ids(self) -> I64:
        """int64 [N], ascending."""
        return np.asarray(self._folder.load("ids"))

    @cached_property
    def given(self) -> I8:
        """int8 [N, L]."""
        return self._folder.load("given")

    @cached_property
    def present(self) -> F32:
        """float32 [L, N], all things taken together."""
        return self._folder.load(self.info.summary["present"])

    @cached_property
    def evidence(self) -> Mapping[str, F32]:
        """float32 [L, N] by scorer."""
        return {name: self._folder.load(f"evidence-{name}") for name in self.info.config["scorers"]}

    @cached_property
    def material(self) -> Material:
        """What the scorers were given."""
        return run_material(run_space(self.snapshot, self._folder), self._folder)

    @cached_property
    def scorers(self) -> Mapping[str, Scorer]:
        """The scorers by name."""
        return {scorer.name: scorer for scorer in run_scorers(self._folder.record["config"])}

    def row(self, image_id: int) -> int:
        """Where an image stands.

        Raises:
            AuditError: the audit did not look at it.
        """
        row = int(np.searchsorted(self.ids, image_id))
        if row == len(self.ids) or self.ids[row] != image_id:
            raise AuditError(
                f"{self.info.name} did not look at image {image_id}, which came later or was not selected: "
                "audit again"
            )
        return row

    def said(self, scorer: str, row: int, label: int) -> float | None:
        """What a scorer found of an entry; None where it says nothing."""
        return _known(self.evidence[scorer][label, row])

    def explained(self, scorer: str, row: int, label: int) -> Evidence:
        """What a scorer says of an entry, and why."""
        present = self.said(scorer, row, label)
        if scorer in RETIRED:
            return Evidence(scorer, present, "; ".join(retired_notes([scorer])))
        try:
            found = self.scorers[scorer].explain(self.material, row, label, present)
        except OlrsearchError as error:  # a library or embeddings that are gone: the number stands
            return Evidence(scorer, present, f"cannot be explained any more: {error}")
        ids = self.ids[list(found.rows)] if found.rows else self.ids[:0]
        images = tuple(
            EvidenceImage(image.id, image.key, int(self.given[place, label]))
            for image, place in zip(self.snapshot.images(ids), found.rows, strict=True)
        )
        return Evidence(scorer, present, found.text, images)


def show_entry(shown: Shown, image_id: int, label: str) -> AuditedEntry:
    """One entry with every scorer's evidence and why, and what was decided about it.

    Args:
        shown: The audit.
        image_id: A living image.
        label: One of its labels, in its own spelling.

    Raises:
        AuditError: the audit did not look at the image.
    """
    snapshot = shown.snapshot
    row, column = shown.row(image_id), shown.names.index(label)
    present = _known(shown.present[column, row])
    given = int(shown.given[row, column])
    now = int(snapshot.labels([image_id], [label])[0, 0])
    notes = stale_notes(snapshot, shown.info)
    if now != given:
        changed = f"{label} of this image has changed since the audit: what is said is about the value it had"
        notes = (changed, *notes)
    return AuditedEntry(
        run=shown.info.name,
        image_id=image_id,
        key=snapshot.images([image_id])[0].key,
        label=label,
        given=given,
        now=now,
        suggested=given if present is None else 1 if present >= 0.5 else -1,
        score=None if present is None or given == 0 else present if given > 0 else 1 - present,
        present=present,
        evidence=tuple(shown.explained(name, row, column) for name in shown.info.config["scorers"]),
        decisions=tuple(
            DecisionMade(
                item.verdict, item.given, item.value, item.who, item.when.isoformat(), item.why, item.run
            )
            for item in read_history(snapshot, [image_id], [label])
        ),
        notes=notes,
    )


def _known(value: np.float32) -> float | None:
    return float(value) if np.isfinite(value) else None
