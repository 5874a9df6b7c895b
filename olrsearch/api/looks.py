"""Looks into the embedding of an open store: norms, principal components, disagreements with the teacher.

And what the protocols measure and draw of posteriors. Nothing here changes what the store answers, and only
`disagreements`, `labels_beside` (once, to ask the teacher) and `draw_pairs` (to decode) import torch.
Notation: N images, L labels, k numbers a label.

Source: paper 001, sections 4.1 to 4.3.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from olrsearch.api.words import WordReader
from olrsearch.core.errors import BenchmarkError, QueryError
from olrsearch.search.spaces.about import stored_labels

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from olrsearch.core.arrays import I64
    from olrsearch.evaluation.looks.components import Components
    from olrsearch.evaluation.looks.correlations import NormCorrelations
    from olrsearch.evaluation.looks.disagreements import Disagreements
    from olrsearch.search.spaces.labels import OpenSpace
    from olrsearch.sheets import Sheet
    from olrsearch.sheets.card import Picture

_STORED = {-1: "absent", 0: "unknown", 1: "present"}


class Looker(WordReader):
    """An open store whose embeddings can be looked into, beside all that a reader asks."""

    def norm_correlations(
        self,
        *,
        labels: Sequence[str] | None = None,
        where: str | None = None,
        space: str | None = None,
    ) -> NormCorrelations:
        """Correlations of the norms ‖e^l‖ between labels, beside those of the stored labels.

        Args:
            labels: Which labels, in any spelling; all that the encoder knows when None.
            where: Only images this selects, e.g. `partition = 'test'`.
            space: Name or fingerprint; the newest when None.

        Raises:
            UnknownLabelError: the encoder knows no such label.
            BenchmarkError: fewer than two labels, or fewer than three images.

        Source: paper 001, section 4.2 and figure 4.
        """
        from olrsearch.evaluation.looks.correlations import correlate_norms

        opened = self._space(space)
        known = opened.info.labels
        asked = known if labels is None else labels
        chosen = list(dict.fromkeys(self._position(opened, name) for name in asked))
        if len(chosen) < 2:
            raise BenchmarkError(f"{len(chosen)} label, expected at least two to correlate: name more")
        names = [known[label] for label in chosen]
        rows = self._rows(opened, where)
        norms = [np.linalg.norm(opened.view.gather(label, rows), axis=1) for label in chosen]
        return correlate_norms(
            np.stack(norms),
            np.ascontiguousarray(stored_labels(opened.snapshot, opened.view.ids[rows], names).T),
            names,
            notes=opened.coverage_notes(),
        )

    def components(
        self,
        label: str,
        *,
        component: int = 1,
        count: int = 32,
        where: str | None = None,
        space: str | None = None,
    ) -> Components:
        """Principal components of a label's embeddings, and images evenly spaced along one of them.

        The component points to where the label is likelier: its sign is that of its correlation
        with the label's calibrated logit.

        Args:
            label: Its name, in any spelling.
            component: Which one, from 1.
            count: How many images to show, from 1; all when there are fewer.
            where: Only images this selects.
            space: Name or fingerprint; the newest when None.

        Raises:
            UnknownLabelError: the encoder knows no such label.
            QueryError: the label has no such component, or no image is to be shown.
            BenchmarkError: too few images, or embeddings that do not vary.

        Source: paper 001, section 4.3 and figure 5.
        """
        from olrsearch.evaluation.looks.components import ComponentImage, evenly_spaced, label_components

        _check_count(count)
        opened = self._space(space)
        position = self._position(opened, label)
        rows = self._rows(opened, where)
        if len(rows) < 2:
            raise BenchmarkError(f"{len(rows)} images, expected at least two to compare: select more")
        scores = opened.scores()
        logits = np.stack([scores.logits(number)[rows] for number in range(opened.view.labels)])
        found, projections = label_components(
            opened.view.gather(position, rows), logits, opened.info.labels, position, component=component
        )
        ranks, places = evenly_spaced(projections, count)
        ids = opened.view.ids[rows[places]]
        chances = np.exp(scores.log_probability(position)[rows[places]])
        shown = tuple(
            ComponentImage(int(rank), row.id, row.key, float(projections[place]), float(chance))
            for rank, place, row, chance in zip(
                ranks, places, opened.snapshot.images(ids), chances, strict=True
            )
        )
        return replace(found, shown=shown, notes=(*opened.score_notes(), *opened.coverage_notes()))

    def disagreements(
        self, *, label: str | None = None, count: int | None = 50, space: str | None = None
    ) -> Disagreements:
        """Where a linear probe on the whole embedding and the teacher decide differently.

        The probe is that of P1, fitted on the training images; what is listed are images of val and
        test. The teacher is asked once, and its answers are kept in its run where the store can
        be written to.

        Args:
            label: Only this label; all when None.
            count: How many to list, from 1, farthest apart first; all when None.
            space: Name or fingerprint; the newest when None.

        Raises:
            UnknownLabelError: the encoder knows no such label.
            QueryError: none is to be listed.
            BenchmarkError: the teacher is gone, or there is nothing to fit or to measure on.

        Source: paper 001, section 4.1 and figure 3.
        """
        from olrsearch.evaluation.looks.disagreements import find_disagreements, judge_gallery
        from olrsearch.pipeline.measuring import teacher_run

        _check_count(count)
        opened = self._space(space)
        position = None if label is None else self._position(opened, label)
        if teacher_run(self._backend, opened) is None:
            raise BenchmarkError(
                f"the teacher of {opened.info.name} is gone: no run in {self.path / 'runs'} keeps it "
                "(teacher.safetensors), so nothing stands against the embeddings; "
                "train an encoder in this store with olrsearch train olr"
            )
        data = self.bench_data(space=space)
        return find_disagreements(
            data, judge_gallery(data), label=position, count=count, notes=opened.coverage_notes()
        )

    def look_sheet(self, found: Components | Disagreements, path: Path | str, *, columns: int = 8) -> Path:
        """Write a contact sheet of a look: `.html` or `.png`.

        Args:
            found: What `components` or `disagreements` returned.
            path: Where to.
            columns: Pictures in a row of a PNG.

        Raises:
            OlrsearchError: another suffix.
        """
        from olrsearch.evaluation.looks.components import Components
        from olrsearch.sheets import write_sheet

        picture = self._pictures([item.image_id for item in found.shown])
        draw = _component_sheet if isinstance(found, Components) else _disagreement_sheet
        return write_sheet(draw(found, picture), path, columns=columns)  # type: ignore[arg-type]  # of its kind

    @staticmethod
    def plot(found: NormCorrelations | Components, path: Path | str) -> Path:
        """Draw a look as a PNG: heat maps of correlations, or the shares of principal components.

        Args:
            found: What `norm_correlations` or `components` returned.
            path: A file ending in `.png`.

        Raises:
            OlrsearchError: another suffix.
        """
        from olrsearch.evaluation.looks.components import Components
        from olrsearch.sheets.plots import plot_components, plot_correlations

        if isinstance(found, Components):
            return plot_components(
                path,
                found.shares,
                found.component,
                [(found.label, found.own), *((item.label, item.correlation) for item in found.others)],
                title=f"{found.label}: principal components over {found.images:,} images",
            )
        order = np.asarray(found.order)
        square = np.ix_(order, order)
        return plot_correlations(
            path,
            [found.label_names[row] for row in found.order],
            found.norms[square],
            found.labels[square],
            title=f"Correlations between {len(order)} labels over {found.images:,} images",
        )

    def _rows(self, opened: OpenSpace, where: str | None) -> I64:
        """Rows of the view that a condition selects, int64, by rising image id."""
        rows = np.argsort(opened.view.ids, kind="stable")
        allowed = self._allowed(opened, where)
        return rows if allowed is None else rows[allowed[rows]]


def _check_count(count: int | None) -> None:
    if count is not None and count < 1:
        raise QueryError(f"count says how many to show, expected 1 or more, found {count}")


def _component_sheet(found: Components, picture: Picture) -> Sheet:
    from olrsearch.sheets import Bar, Card, Sheet

    share = found.shares[found.component - 1]
    return Sheet(
        heading=f"{found.label}: principal component {found.component}, {share:.1%} of the variance",
        summary=f"{len(found.shown)} of {found.images:,} images at equal steps of rank, smallest projection "
        f"first · correlation with the label's logit {found.own:+.2f}",
        cards=tuple(
            Card(
                title=f"{item.rank:,}. {item.key}",
                score=f"projection {item.projection:+.3f}",
                picture=picture(item.image_id),
                bars=(Bar(found.label, f"{item.probability:.2f}", item.probability),),
            )
            for item in found.shown
        ),
        notes=found.notes,
    )


def _disagreement_sheet(found: Disagreements, picture: Picture) -> Sheet:
    from olrsearch.sheets import Bar, Card, Sheet

    total = found.total
    return Sheet(
        heading="Probe on the embeddings and teacher decide differently"
        + ("" if total.label == "all" else f" about {total.label}"),
        summary=f"{len(found.shown)} of {total.disagreements:,} among {total.entries:,} entries of "
        f"{found.images:,} images · stored label with the probe {total.with_probe:,}, with the teacher "
        f"{total.with_teacher:,}",
        cards=tuple(
            Card(
                title=f"{rank}. {item.key}",
                score=item.label,
                picture=picture(item.image_id),
                # The stored label as a bar too: beside a long name it would be cut off.
                bars=(
                    Bar("stored", _STORED[item.stored], float(item.stored > 0)),
                    Bar("probe", f"{item.probe:.2f}", item.probe),
                    Bar("teacher", f"{item.teacher:.2f}", item.teacher),
                ),
            )
            for rank, item in enumerate(found.shown, 1)
        ),
        notes=found.notes,
    )
