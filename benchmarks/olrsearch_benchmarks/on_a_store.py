"""What the protocols measure of an open store: its posteriors, and the speed of its spaces."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from olrsearch.pipeline.reading_pixels import read_pixels
from olrsearch.store.vectors.layout import LABELS
from olrsearch_benchmarks.papers.drawing import draw_pair_figures
from olrsearch_benchmarks.papers.informed_prior_figures import pair_figures
from olrsearch_benchmarks.speed import cases
from olrsearch_benchmarks.words.on_a_store import kl_speed_report
from olrsearch_benchmarks.words.on_a_store import posterior_data as data_of

if TYPE_CHECKING:
    from pathlib import Path

    from olrsearch import Store
    from olrsearch.core.arrays import I64, U8
    from olrsearch.encoders.protocol import LabelEncoder, PosteriorEncoder
    from olrsearch.evaluation.data import BenchData
    from olrsearch_benchmarks.speed.encoding import EncodingReport
    from olrsearch_benchmarks.speed.speed import SpeedCase
    from olrsearch_benchmarks.speed.speed_words import KlSpeedReport
    from olrsearch_benchmarks.words.posterior_data import PosteriorData


def posterior_data(store: Store, *, space: str | None = None, name: str | None = None) -> PosteriorData:
    """The arrays that the protocols measure of posteriors.

    Args:
        store: The store.
        space: Name or fingerprint; the newest of posteriors when None.
        name: What reports call the data.
    """
    session = store.session
    return data_of(session.backend, session.posteriors(space), name=name)


def labels_beside(store: Store) -> BenchData | None:
    """The arrays of the newest space of label embeddings; None in a store without one."""
    held = {info.layout for info in store.session.backend.snapshot().spaces() if info.segments}
    return store.bench.data() if LABELS in held else None


def kl_speed(
    store: Store,
    *,
    images: int = 100_000,
    recipe_images: int | None = 1_000_000,
    turns: int = 15,
    seed: int = 0,
    space: str | None = None,
) -> KlSpeedReport:
    """P7 by divergence; see `words.on_a_store.kl_speed_report` for the arguments."""
    opened = store.session.posteriors(space)
    return kl_speed_report(opened, images=images, recipe_images=recipe_images, turns=turns, seed=seed)


def draw_pairs(store: Store, folder: Path | str, *, seed: int = 0, space: str | None = None) -> list[Path]:
    """Draw the figures of the informed-prior paper, of a space whose images show pairs of classes.

    Args:
        store: The store.
        folder: Where to; made when it is not there.
        seed: Of draws.
        space: Name or fingerprint; the newest of posteriors when None.

    Returns:
        The PNGs written: two pairs of words retrieved, nearest to and farthest from an image,
        posteriors and, where the encoder has a decoder, samples of a prior.

    Raises:
        BenchmarkError: the gallery's images show no pairs.
        ImageMissingError, ImageDecodeError: an image to be shown cannot be read.

    Source: paper 004, figures 1 to 4.
    """
    figures = pair_figures(posterior_data(store, space=space), seed=seed)
    opened = store.session.posteriors(space)
    encoder = cast("PosteriorEncoder", store.session.encoder(opened.info))

    def pixels(ids: I64) -> U8:
        rows = opened.snapshot.images(ids.tolist())
        return read_pixels(rows, encoder.input_size, encoder.crop, on_error="fail")[1]

    return draw_pair_figures(figures, pixels, encoder.decode if encoder.has_decoder else None, folder)


def speed_cases(store: Store, *, space: str | None = None, seed: int = 0) -> list[SpeedCase]:
    """What P7 times of a space; needs its encoder."""
    opened = store.session.space(space)
    encoder = cast("LabelEncoder", store.session.encoder(opened.info))
    return cases.speed_cases(opened, encoder, seed=seed)


def encoding_speed(store: Store, *, space: str | None = None, seed: int = 0) -> EncodingReport:
    """P7 of encoding: a space's encoder by every engine; needs no embeddings."""
    snapshot = store.session.backend.snapshot()
    info = snapshot.space(space, LABELS)
    encoder = cast("LabelEncoder", store.session.encoder(info))
    return cases.encoding_report(snapshot, info, encoder, seed=seed)
