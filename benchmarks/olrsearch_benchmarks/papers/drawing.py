"""The informed-prior paper's figures as PNGs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable

    from olrsearch.core.arrays import F32, I64, U8
    from olrsearch_benchmarks.papers.informed_prior_figures import PairFigures

    Picture: TypeAlias = Callable[[int], bytes | None]


def draw_pair_figures(
    figures: PairFigures,
    pixels: Callable[[I64], U8],
    decode: Callable[[F32], U8] | None,
    folder: Path | str,
) -> list[Path]:
    """Write figures of pairs as PNGs.

    Args:
        figures: From `pair_figures`.
        pixels: From ids int64 [n] to pictures uint8 [n, H, W, 3].
        decode: From points float32 [n, d] to pictures; None leaves out what is decoded.
        folder: Where to; made when it is not there.

    Returns:
        The paths written.
    """
    from olrsearch_benchmarks.papers.plots import plot_pictures, plot_posteriors
    from olrsearch_benchmarks.words.posterior_data import said_shrinkage

    target, shrinkage = Path(folder), said_shrinkage(figures.shrinkage)
    written = [
        plot_pictures(target / f"{one.name}.png", pixels(one.ids), one.captions, title=one.title)
        for one in figures.images
    ]
    shown = figures.posteriors
    written.append(
        plot_posteriors(
            target / "posteriors.png",
            pixels(shown.ids),
            None if decode is None else decode(shown.samples),
            shown.mean,
            shown.covariance,
            figures.names,
            captions=shown.captions,
            title=f"Posteriors, {shrinkage}",
        )
    )
    if decode is not None:
        written.append(
            plot_pictures(
                target / "samples.png",
                decode(figures.samples),
                [""] * len(figures.samples),
                title=f"Decoded samples of the prior of {figures.sampled}, {shrinkage}",
            )
        )
    return written
