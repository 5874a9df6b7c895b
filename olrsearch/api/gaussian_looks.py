"""Looks at Gaussians of an open store: an image's posterior, or the prior of a set of words.

What is shown is the covariance, what it says of words, and, where the encoder has a decoder, what is
decoded from the mean and from samples. Nothing here changes what the store answers. A trained encoder is
opened to ask whether it decodes, and that imports torch.

Notation: W own words, d dimensions of the latent space, m points.

Source: Bütepage et al., "Informed Priors for Deep Representation Learning", 2019, figures 2 to 4.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from olrsearch.api.looks import Looker
from olrsearch.core.errors import QueryError
from olrsearch.search.word_queries import open_table

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from olrsearch.core.arrays import F64, U8
    from olrsearch.maths.gaussian import Gaussians
    from olrsearch.search.spaces.posteriors import OpenPosteriors
    from olrsearch.store.values import ImageRef


@dataclass(frozen=True, slots=True, eq=False)
class GaussianLook:
    """What there is to see of one Gaussian.

    Attributes:
        name: The image, or the words.
        gaussian: A batch of one.
        words: The W own words of the encoder.
        correlations: float64 [W, W], of the projections on the words' directions: w Σ v, divided by the
            roots of w Σ w and v Σ v; NaN for a word at the origin.
        decoded: uint8 [1 + samples, H, W, 3], of the mean and of samples; None without a decoder.
        picture: The image itself, JPEG; None for words, and where it is gone.
        notes: What a reader must know.
    """

    name: str
    gaussian: Gaussians
    words: tuple[str, ...]
    correlations: F64
    decoded: U8 | None = None
    picture: bytes | None = None
    notes: tuple[str, ...] = ()

    @property
    def deviations(self) -> tuple[float, float]:
        """The smallest and the largest standard deviation in any direction."""
        variances = np.linalg.eigvalsh(self.gaussian.covariance[0])
        return float(np.sqrt(variances[0])), float(np.sqrt(variances[-1]))


class PosteriorLooker(Looker):
    """An open store whose posteriors can be looked at, beside all that a looker shows."""

    def look_posteriors(
        self,
        images: ImageRef | Iterable[ImageRef],
        *,
        samples: int = 8,
        seed: int = 0,
        space: str | None = None,
    ) -> list[GaussianLook]:
        """The posteriors of images of the store or of image files.

        Args:
            images: Which.
            samples: How many are decoded, where there is a decoder.
            seed: Of the samples.
            space: Name or fingerprint; the newest of posteriors when None.

        Raises:
            UnknownImageError: an image is neither in the store nor a file.
            QueryError: a negative number of samples.
        """
        opened = self._posterior_space(space)
        wanted = [images] if isinstance(images, int | np.integer | str | Path) else list(images)
        looks = []
        for image in wanted:
            _, gaussian = self._gaussian(opened, image)
            picture = self.picture(image)
            looks.append(self._look(opened, str(image), gaussian, samples, seed, picture))
        return looks

    def look_words(
        self,
        words: str | Sequence[str],
        *,
        shrinkage: float | None = None,
        samples: int = 8,
        seed: int = 0,
        vectors: str | Path | None = None,
        space: str | None = None,
    ) -> GaussianLook:
        """The prior of a set of words.

        Args:
            words: As `words` takes them; none may be negated.
            shrinkage: λ; the encoder's when None.
            samples: How many are decoded, where there is a decoder.
            seed: Of the samples.
            vectors: As `words` takes it.
            space: Name or fingerprint; the newest of posteriors when None.

        Raises:
            QueryError: no set of words, a negated word, or a negative number of samples.
            UnknownWordError, GaussianError, WordVectorsError: as `words`.
        """
        from olrsearch.search.divergences import match_prior
        from olrsearch.search.query import canonical
        from olrsearch.search.word_terms import parse_words, query_of, resolve_words

        opened = self._posterior_space(space)
        vocabulary = opened.vocabulary
        terms = resolve_words(parse_words(words), vocabulary, open_table(vocabulary, vectors))
        absent = [term.spelling for term in terms if term.negated]
        if absent:
            raise QueryError(f"a prior is of words that are there, found {', '.join(absent)}: leave them out")
        prior = match_prior(terms, vocabulary, opened.shrinkage if shrinkage is None else shrinkage)
        return self._look(opened, canonical(query_of(terms)), prior, samples, seed, None)

    @staticmethod
    def draw_gaussians(looks: GaussianLook | Sequence[GaussianLook], path: Path | str) -> Path:
        """Draw looks: `.png`, or `.html` with a picture a look.

        Args:
            looks: What `look_posteriors` or `look_words` returned.
            path: Where to.

        Raises:
            OlrsearchError: another suffix.
            QueryError: there is nothing to draw.
        """
        from olrsearch.sheets import Card, Sheet, sheet_form, write_sheet
        from olrsearch.sheets.plots import GaussianPanels, draw_gaussians
        from olrsearch.sheets.write import write_whole

        shown = [looks] if isinstance(looks, GaussianLook) else list(looks)
        if not shown:
            raise QueryError("no Gaussian to draw: name an image")
        target = Path(path)
        form = sheet_form(target)
        panels = [
            GaussianPanels(
                look.name, look.gaussian.covariance[0], look.words, look.correlations, look.decoded
            )
            for look in shown
        ]
        if form == "png":
            write_whole(target, draw_gaussians(panels))
            return target
        cards = []
        for look, panel in zip(shown, panels, strict=True):
            if look.picture is not None:
                cards.append(Card(title=look.name, score="", picture=look.picture))
            low, high = look.deviations
            said = f"standard deviations from {low:.3g} to {high:.3g}"
            cards.append(Card(title=look.name, score=said, picture=draw_gaussians([panel]), wide=True))
        notes = tuple(dict.fromkeys(note for look in shown for note in look.notes))
        heading = ", ".join(look.name for look in shown)
        summary = f"{shown[0].gaussian.size} dimensions, {len(shown[0].words)} words"
        return write_sheet(Sheet(heading=heading, summary=summary, cards=tuple(cards), notes=notes), target)

    def _look(
        self,
        opened: OpenPosteriors,
        name: str,
        gaussian: Gaussians,
        samples: int,
        seed: int,
        picture: bytes | None,
    ) -> GaussianLook:
        if samples < 0:
            raise QueryError(f"{samples} samples: expected 0 or more")
        vocabulary, decoded = opened.vocabulary, None
        notes: tuple[str, ...] = ()
        encoder = self._posterior_encoder(opened.info)
        if encoder.has_decoder:
            drawn = gaussian.sample(samples, np.random.default_rng(seed))[0]
            decoded = encoder.decode(np.concatenate([gaussian.mean, drawn]).astype(np.float32))
        else:
            notes = (f"the encoder of {opened.info.name} has no decoder: its covariance alone is shown",)
        correlations = word_correlations(gaussian, vocabulary.vectors)
        return GaussianLook(name, gaussian, vocabulary.names, correlations, decoded, picture, notes)


def word_correlations(gaussian: Gaussians, vectors: F64) -> F64:
    """Correlations of z·w and z·v under a Gaussian for all words w, v: float64 [W, W].

    Args:
        gaussian: A batch of one.
        vectors: float64 [W, d].
    """
    spread = vectors @ gaussian.factor[0]
    products = spread @ spread.T
    scale = np.sqrt(np.diagonal(products))
    with np.errstate(divide="ignore", invalid="ignore"):
        found: F64 = products / np.outer(scale, scale)
    return np.clip(found, -1.0, 1.0)
