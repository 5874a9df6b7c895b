"""Contact sheets of an audit: suspects with what every scorer says and the images that contradict them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from olrsearch.sheets import Bar, Card, Companion, Section, Sheet
from olrsearch.sheets.contents import COMPANIONS
from olrsearch.store.decision_rules import VALUE_NAMES

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from olrsearch.audit.runs.results import AuditedEntry, EvidenceImage, LabelIssue, LabelIssues
    from olrsearch.audit.runs.show import Shown
    from olrsearch.sheets.contents import Picture, Pictures

_SPEAKING: Final = ("twins", "neighbours")
"""Scorers whose images are shown, the first that has any."""
_EDGE, _SMALL = 240, 96
"""Pixels of the longer edge of a picture, and of one beside it."""


def issues_sheet(found: Sequence[tuple[str | None, LabelIssues]], shown: Shown, pictures: Pictures) -> Sheet:
    """The sheet of lists, a section each.

    Args:
        found: Lists with the label they are of; None for one over all labels.
        shown: The audit they come from.
        pictures: As of `Audits`.
    """
    beside = {(issue.image_id, issue.label): _contrary(issue, shown) for _, page in found for issue in page}
    large = pictures([issue.image_id for _, page in found for issue in page], _EDGE)
    small = pictures([image.image_id for images in beside.values() for image in images], _SMALL)
    sections = tuple(
        Section(
            heading=label or "All labels",
            summary=f"the first {len(page)} of {page.total:,}",
            cards=tuple(
                _card(
                    issue,
                    shown,
                    large,
                    _companions(beside[issue.image_id, issue.label], small),
                    named=label is None,
                )
                for issue in page
            ),
        )
        for label, page in found
    )
    contrary = any(beside.values())
    return Sheet(
        heading="Labels that may be wrong",
        summary=f"{shown.info.name} · what is given > what is suggested, probability of what is given",
        cards=(),
        sections=sections,
        notes=(
            "bars: probability that the label is present, all things taken together and by every scorer",
            *(("beside a picture: images like it that are labelled the other way",) if contrary else ()),
            *dict.fromkeys(note for _, page in found for note in page.notes),
        ),
    )


def entry_sheet(entry: AuditedEntry, pictures: Pictures) -> Sheet:
    """The sheet of one entry: its picture, bars, and the images of every scorer that has any."""
    images = {image.image_id: image for part in entry.evidence for image in part.images}
    large, small = pictures([entry.image_id], _EDGE), pictures(images, _EDGE)
    decided = tuple(
        f"decided: {item.verdict} by {item.who}, {item.when[:10]}" + (f", {item.why}" if item.why else "")
        for item in entry.decisions
    )
    return Sheet(
        heading=f"{entry.label} of {entry.key}",
        summary=f"{entry.run} · {_arrow(entry.given, entry.suggested)}{_scored(entry.score)}",
        cards=tuple(
            Card(
                title=image.key,
                score=f"{part.scorer}: {VALUE_NAMES[image.given]}",
                picture=small(image.image_id),
            )
            for part in entry.evidence
            for image in part.images
        ),
        notes=(*(f"{part.scorer}: {part.text}" for part in entry.evidence), *decided, *entry.notes),
        asked=(
            Card(
                title=entry.key,
                score=_arrow(entry.given, entry.suggested),
                picture=large(entry.image_id),
                bars=_bars(entry.present, [(part.scorer, part.present) for part in entry.evidence]),
            ),
        ),
    )


def _contrary(issue: LabelIssue, shown: Shown) -> tuple[EvidenceImage, ...]:
    """Images that are labelled the other way than an entry, of the first scorer that knows some."""
    row, column = shown.row(issue.image_id), shown.names.index(issue.label)
    for scorer in _SPEAKING:
        if scorer in shown.evidence and shown.said(scorer, row, column) is not None:
            images = [
                image
                for image in shown.explained(scorer, row, column).images
                if image.given == -issue.given and image.given
            ]
            if images:
                return tuple(images[:COMPANIONS])
    return ()


def _companions(images: Iterable[EvidenceImage], picture: Picture) -> tuple[Companion, ...]:
    return tuple(
        Companion(f"{image.key}: {VALUE_NAMES[image.given]}", picture(image.image_id)) for image in images
    )


def _card(
    issue: LabelIssue,
    shown: Shown,
    picture: Picture,
    companions: tuple[Companion, ...],
    *,
    named: bool,
) -> Card:
    row, column = shown.row(issue.image_id), shown.names.index(issue.label)
    said = [(scorer, shown.said(scorer, row, column)) for scorer in shown.evidence]
    return Card(
        title=f"{issue.rank}. {issue.key}",
        score=(f"{issue.label}: " if named else "")
        + _arrow(issue.given, issue.suggested)
        + _scored(issue.score),
        picture=picture(issue.image_id),
        bars=_bars(issue.present, said),
        companions=companions,
    )


def _bars(present: float | None, said: Iterable[tuple[str, float | None]]) -> tuple[Bar, ...]:
    """Probabilities that the label is present: all together first, then those of scorers that say any."""
    return tuple(
        Bar(name, f"{value:.2f}", value)
        for name, value in (("together", present), *said)
        if value is not None
    )


def _arrow(given: int, suggested: int) -> str:
    return f"{VALUE_NAMES[given]} > {VALUE_NAMES[suggested]}" if given != suggested else VALUE_NAMES[given]


def _scored(score: float | None) -> str:
    return "" if score is None else f" · {score:.2g}"
