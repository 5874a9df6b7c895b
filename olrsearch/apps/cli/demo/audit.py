"""The demo's audit: avatars with labels that are known to be wrong, and how many of them it finds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from olrsearch.apps.cli.common import counter, tracker

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import click

    from olrsearch import Store

COUNT: Final = 600
"""Avatars to audit."""
NOISE: Final = 0.05
"""Share of their labels that are turned round."""
LABELS: Final = ("Eyeglasses", "Wearing_Hat", "Beard")
"""What is shown: anybody sees whether these are right."""
TOP: Final = 50
"""Of so many suspects is counted how many are wrong."""

# Without `twins`: drawn from few pieces, some avatars of two persons look as much alike as two copies of one
# photograph, and what would be taken for a second annotation are somebody else's labels.
_SCORERS: Final = ("probability", "other-labels", "neighbours", "likelihood", "identity", "contradictions")


def draw_avatars(
    ctx: click.Context, folder: Path, *, count: int, seed: int, label_noise: float = 0.0
) -> None:
    """Draw avatars into a folder, unless it is there."""
    if folder.exists():
        return
    from olrsearch import generate_avatars

    with counter(ctx, total=count, what="draw avatars") as drawn:
        generate_avatars(folder, count=count, seed=seed, label_noise=label_noise, progress=drawn)


def open_or_create(ctx: click.Context, home: Path) -> Store:
    """The store in a folder, made first where there is none."""
    from olrsearch import Store

    take = Store.open if (home / "store.json").exists() else Store.create
    return take(home, track=tracker(ctx))


def audit_avatars(
    ctx: click.Context, folder: Path, encoder: Path, *, count: int, seed: int, step: Callable[[str], None]
) -> tuple[list[str], list[Path]]:
    """Draw avatars with wrong labels, audit them in a store of their own, and write the sheets.

    Args:
        ctx: Says whether progress is shown.
        folder: The demo's; holds `noisy-avatars`, the store `audit`, and the sheets.
        encoder: A model folder.
        count: How many avatars.
        seed: Not that of the avatars that the encoder was trained on.
        step: Called with a line about each thing done.

    Returns:
        What the audit found, line by line, and the sheets.
    """
    avatars = folder / "noisy-avatars"
    draw_avatars(ctx, avatars, count=count, seed=seed, label_noise=NOISE)
    with open_or_create(ctx, folder / "audit") as store:
        report = store.import_celeba(avatars, name="noisy-avatars")
        step(f"avatars with {NOISE:.0%} wrong labels: {report.added:,} added, {report.unchanged:,} unchanged")
        store.encode(encoder)
        states = [run.state for run in store.audit.runs()]
        if "finished" not in states:
            begun = "unfinished" in states  # which keeps its own settings
            done = store.audit.run(scorers=None if begun else _SCORERS, resume=begun)
            for line in done.lines():
                step(line)
        found = _score(store, avatars)
        sheets = [
            store.audit.sheet(folder / f"audit{suffix}", labels=LABELS, k=4, columns=4)
            for suffix in (".html", ".png")
        ]
    return found, sheets


def _score(store: Store, avatars: Path) -> list[str]:
    """How many of the first suspects are wrong, and the labels' estimates beside the truth."""
    from olrsearch import open_dataset
    from olrsearch.api.imports import open_truth

    stored, drawn = open_dataset("celeba", avatars)[0], open_truth(avatars)
    names = stored.label_names
    given, true = ({record.key: record.labels for record in data} for data in (stored, drawn))
    pairs = [(key, zip(names, given[key] or (), labels or (), strict=True)) for key, labels in true.items()]
    wrong = {(key, name) for key, row in pairs for name, stored, truth in row if stored != truth}
    suspects = store.audit.list(k=max(TOP, len(wrong))).issues
    hits = [(issue.key, issue.label) in wrong for issue in suspects]
    first, errors = sum(hits[:TOP]), len(wrong)
    said = (
        f"{first} of the {TOP} most suspicious labels are wrong, as are {sum(hits[:errors]):,} of the first "
        f"{errors:,}; {errors:,} of {len(true) * len(names):,} are in all"
    )
    lines = [said]
    rows = {row.label: row for row in store.audit.summary()}
    for label in LABELS:
        total, known = rows[label].total, sum(name == label for _, name in wrong)
        if total.count is not None:
            lines.append(
                f"{label:<12} {total.count:.0f} wrong by the estimate "
                f"({total.low:.0f} to {total.high:.0f}), {known} in truth"
            )
    return lines
