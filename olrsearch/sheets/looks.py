"""How looks are shown: contact sheets of components and disagreements, plots, pictures of Gaussians."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from olrsearch.core.errors import QueryError
from olrsearch.core.files import write_whole
from olrsearch.evaluation.looks.components import Components
from olrsearch.evaluation.looks.correlations import NormCorrelations
from olrsearch.evaluation.looks.gaussians import GaussianLook
from olrsearch.evaluation.looks.latent_map import LatentMap
from olrsearch.sheets.contents import Bar, Card, Sheet
from olrsearch.sheets.drawing import sheet_form, write_sheet
from olrsearch.store.decision_rules import VALUE_NAMES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from olrsearch.evaluation.looks.disagreements import Disagreements
    from olrsearch.sheets.contents import Picture


def look_sheet(found: Components | Disagreements, picture: Picture) -> Sheet:
    """A contact sheet of components or disagreements.

    Args:
        found: What is shown.
        picture: From an image's id to its JPEG.
    """
    return _components(found, picture) if isinstance(found, Components) else _disagreements(found, picture)


def plot_look(
    found: NormCorrelations | Components | LatentMap | GaussianLook | Sequence[GaussianLook], path: Path | str
) -> Path:
    """Draw a look; see `Looks.plot`."""
    from olrsearch.sheets import plots

    if isinstance(found, Components):
        return plots.plot_components(
            path,
            found.shares,
            found.component,
            [(found.label, found.own), *((item.label, item.correlation) for item in found.others)],
            title=f"{found.label}: principal components over {found.images:,} images",
        )
    if isinstance(found, LatentMap):
        from olrsearch.sheets.maps import plot_map

        return plot_map(found, path, title=f"{len(found.words)} words and {len(found.points):,} images")
    if isinstance(found, NormCorrelations):
        square = np.ix_(found.order, found.order)
        return plots.plot_correlations(
            path,
            [found.label_names[row] for row in found.order],
            found.norms[square],
            found.labels[square],
            title=f"Correlations between {len(found.order)} labels over {found.images:,} images",
        )
    return _draw_gaussians([found] if isinstance(found, GaussianLook) else list(found), Path(path))


def _draw_gaussians(looks: list[GaussianLook], target: Path) -> Path:
    from olrsearch.sheets.plots import draw_gaussians

    if not looks:
        raise QueryError("no Gaussian to draw: name an image")
    if sheet_form(target) == "png":
        write_whole(target, draw_gaussians(looks))
        return target
    cards = []
    for look in looks:
        if look.picture is not None:
            cards.append(Card(title=look.name, score="", picture=look.picture))
        low, high = look.deviations
        said = f"standard deviations from {low:.3g} to {high:.3g}"
        cards.append(Card(title=look.name, score=said, picture=draw_gaussians([look]), wide=True))
    notes = tuple(dict.fromkeys(note for look in looks for note in look.notes))
    heading = ", ".join(look.name for look in looks)
    summary = f"{looks[0].gaussian.size} dimensions, {len(looks[0].words)} words"
    return write_sheet(Sheet(heading=heading, summary=summary, cards=tuple(cards), notes=notes), target)


def _components(found: Components, picture: Picture) -> Sheet:
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


def _disagreements(found: Disagreements, picture: Picture) -> Sheet:
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
                    Bar("stored", VALUE_NAMES[item.stored], float(item.stored > 0)),
                    Bar("probe", f"{item.probe:.2f}", item.probe),
                    Bar("teacher", f"{item.teacher:.2f}", item.teacher),
                ),
            )
            for rank, item in enumerate(found.shown, 1)
        ),
        notes=found.notes,
    )
