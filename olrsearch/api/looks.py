"""Looks into the embedding: norms, principal components, disagreements with the teacher, Gaussians.

Nothing here changes what the store answers. Only `disagreements` (once, to ask the teacher), `posteriors`,
`words` and `decode` (to open a decoder) import torch. Notation: N images, L labels, k numbers a label.

Source: paper 001, sections 4.1 to 4.3; paper 004, figures 2 to 4.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from olrsearch.api.arguments import checked_verbs
from olrsearch.api.gaussian_looks import gaussian_look
from olrsearch.api.images_asked import several_images
from olrsearch.api.pictures import picture_of, pictures
from olrsearch.api.session import allowed
from olrsearch.api.understanding import understanding
from olrsearch.core.errors import BenchmarkError, QueryError
from olrsearch.core.names import LabelNames
from olrsearch.evaluation.looks.reconstructions import Reconstructions
from olrsearch.search.spaces.about import stored_labels

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from numpy.typing import ArrayLike

    from olrsearch.api.session import Session
    from olrsearch.core.arrays import F32, I64, U8
    from olrsearch.encoders.protocol import PosteriorEncoder
    from olrsearch.evaluation.looks.components import Components
    from olrsearch.evaluation.looks.correlations import NormCorrelations
    from olrsearch.evaluation.looks.disagreements import Disagreements
    from olrsearch.evaluation.looks.gaussians import GaussianLook
    from olrsearch.evaluation.looks.latent_map import LatentMap, MapBy
    from olrsearch.maths.gaussian import Gaussians
    from olrsearch.search.spaces.labels import OpenSpace
    from olrsearch.store.values import ImageRef


@checked_verbs
class Looks:
    """Looks into the embeddings of a store: `Store.looks`.

    A space is named by name or fingerprint; when None it is the newest of its layout.
    """

    def __init__(self, session: Session) -> None:
        self._session = session

    def norms(
        self, *, labels: Sequence[str] | None = None, where: str | None = None, space: str | None = None
    ) -> NormCorrelations:
        """Correlations of the norms ‖e^l‖ between labels, beside those of the stored labels.

        Args:
            labels: Which labels, in any spelling; all that the encoder knows when None.
            where: Only images this selects, e.g. `partition = 'test'`.
            space: Name or fingerprint; the newest when None.

        Raises:
            UnknownLabelError: the encoder knows no such label.
            BenchmarkError: fewer than two labels, or fewer than three images.

        Source: paper 001, section 4.2, figure 4.
        """
        from olrsearch.evaluation.looks.correlations import correlate_norms

        opened = self._session.space(space)
        known = opened.info.labels
        asked = known if labels is None else labels
        chosen = list(dict.fromkeys(LabelNames(known).position(name) for name in asked))
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

        Source: paper 001, section 4.3, figure 5.
        """
        from olrsearch.evaluation.looks.components import ComponentImage, evenly_spaced, label_components

        _check_count(count)
        opened = self._session.space(space)
        position = LabelNames(opened.info.labels).position(label)
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

        Source: paper 001, section 4.1, figure 3.
        """
        from olrsearch.evaluation.looks.disagreements import find_disagreements, judge_gallery
        from olrsearch.pipeline.measuring import bench_data, teacher_run

        _check_count(count)
        opened = self._session.space(space)
        position = None if label is None else LabelNames(opened.info.labels).position(label)
        if teacher_run(self._session.backend, opened) is None:
            raise BenchmarkError(
                f"the teacher of {opened.info.name} is gone: no run in {self._session.path / 'runs'} keeps "
                "it (teacher.safetensors), so nothing stands against the embeddings; "
                "train an encoder in this store with olrsearch train olr"
            )
        data = bench_data(self._session.backend, opened)
        return find_disagreements(
            data, judge_gallery(data), label=position, count=count, notes=opened.coverage_notes()
        )

    def posteriors(
        self,
        images: ImageRef | Iterable[ImageRef],
        *,
        samples: int = 8,
        seed: int = 0,
        space: str | None = None,
    ) -> list[GaussianLook]:
        """The posteriors of images of the store or of image files.

        Args:
            images: Ids, keys or files of the images to look at.
            samples: How many are decoded, where there is a decoder.
            seed: Of the samples.
            space: Name or fingerprint; the newest of posteriors when None.

        Raises:
            UnknownImageError: an image is neither in the store nor a file.
            QueryError: a negative number of samples.
        """
        opened = self._session.posteriors(space)
        looks = []
        for image in several_images(images):
            gaussian = self._session.gaussian(opened, image).gaussian
            shown = picture_of(self._session, image)
            looks.append(
                gaussian_look(self._session, opened, str(image), gaussian, samples, seed=seed, shown=shown)
            )
        return looks

    def words(
        self,
        words: str | Sequence[str],
        *,
        shrinkage: float | None = None,
        samples: int = 8,
        seed: int = 0,
        meanings: str | Path | None = None,
        space: str | None = None,
    ) -> GaussianLook:
        """The prior of a set of words.

        Args:
            words: As `words` takes them; none may be negated.
            shrinkage: λ; the encoder's when None. Learned Gaussians have none.
            samples: How many are decoded, where there is a decoder.
            seed: Of the samples.
            meanings: As `words` takes it.
            space: Name or fingerprint; the newest of posteriors when None.

        Raises:
            QueryError: no set of words, a negated word, or a negative number of samples.
            UnknownWordError, GaussianError, WordVectorsError: as `words`.
        """
        from olrsearch.search.query.ast import canonical
        from olrsearch.search.ranking_by_divergence import match_prior
        from olrsearch.search.word_terms import parse_words, query_of, resolve_words

        opened = self._session.posteriors(space)
        vocabulary = opened.vocabulary
        terms, _ = resolve_words(
            parse_words(words), vocabulary, understanding(self._session, opened, meanings)
        )
        absent = [term.spelling for term in terms if term.negated]
        if absent:
            raise QueryError(f"a prior is of words that are there, found {', '.join(absent)}: leave them out")
        prior = match_prior(terms, vocabulary, opened.shrinkage_or(shrinkage))
        name = canonical(query_of(terms))
        return gaussian_look(self._session, opened, name, prior, samples, seed=seed)

    def map(
        self,
        *,
        by: MapBy = "auto",
        count: int = 2000,
        labels: Sequence[str] | None = None,
        where: str | None = None,
        seed: int = 0,
        space: str | None = None,
    ) -> LatentMap:
        """The latent space in two dimensions: images by their label, words as ellipses of their Gaussians.

        Args:
            by: `plain` for a space of two dimensions, `pca`, `lda` or `tsne`; `auto` takes `plain` where it
                can, and else `lda`.
            count: How many images are drawn, at random; all when there are fewer.
            labels: Which words are on it, in any spelling; all when None. An image that shows none of them,
                or several, is grey.
            where: Only images this selects.
            seed: Of the draw, and of t-SNE.
            space: Name or fingerprint; the newest of posteriors when None.

        Raises:
            UnknownLabelError: the encoder knows no such word.
            QueryError: no such way, or no image is to be drawn.
            BenchmarkError: too few images or words.
            OptionalDependencyError: t-SNE without scikit-learn.

        Source: paper 003, figures 2 and 7 to 10; paper 002, figure 5.
        """
        from olrsearch.api.latent_maps import latent_map

        opened = self._session.posteriors(space)
        return latent_map(opened, by=by, count=count, labels=labels, where=where, seed=seed)

    def reconstruct(
        self, images: ImageRef | Iterable[ImageRef], *, space: str | None = None
    ) -> Reconstructions:
        """What a space's decoder makes of images' embeddings, beside the images and linear reconstructions.

        The pictures are made, not found.

        Args:
            images: Ids, keys or files of the images.
            space: Name or fingerprint; the newest of label embeddings when None.

        Raises:
            UnknownImageError: an image is neither in the store nor a file.
            ModelFileError: the space has no decoder, or a damaged one.

        Source: paper 000, section 4.4, figure 6.
        """
        from olrsearch.api.reconstructions import reconstructions

        return reconstructions(self._session, several_images(images), space)

    def embedding(self, image: ImageRef, *, space: str | None = None) -> F32:
        """One image's label embeddings, float32 [L, k]; a file outside the store is encoded."""
        opened = self._session.space(space)
        source = self._session.source(opened, image)
        return opened.view.embedding(source) if isinstance(source, int) else source

    def posterior(self, image: ImageRef, *, space: str | None = None) -> Gaussians:
        """One image's posterior, a batch of one; a file outside the store is encoded."""
        return self._session.gaussian(self._session.posteriors(space), image).gaussian

    def decode(self, points: ArrayLike, *, space: str | None = None) -> U8:
        """Expected images at points of the latent space.

        Args:
            points: float [m, d].
            space: Name or fingerprint; the newest of posteriors when None.

        Returns:
            uint8 [m, H, W, 3], RGB.

        Raises:
            EncoderError: the encoder has no decoder, or points of another dimension.
        """
        encoder = cast("PosteriorEncoder", self._session.encoder(self._session.posteriors(space).info))
        return encoder.decode(np.asarray(points, np.float32))

    def sheet(
        self,
        found: Components | Disagreements | Reconstructions,
        path: Path | str,
        *,
        columns: int | None = None,
    ) -> Path:
        """Write a contact sheet of a look: `.html` or `.png`.

        Args:
            found: What `components`, `disagreements` or `reconstruct` returned.
            path: Where to.
            columns: Pictures in a row of a PNG; 8 when None, and 6 of reconstructions, two images.

        Raises:
            OlrsearchError: another suffix.
        """
        from olrsearch.sheets.drawing import write_sheet
        from olrsearch.sheets.looks import look_sheet
        from olrsearch.sheets.reconstructions import reconstruction_sheet

        if isinstance(found, Reconstructions):
            return write_sheet(reconstruction_sheet(found), path, columns=columns or 6)
        shown = pictures(self._session, [item.image_id for item in found.shown])
        return write_sheet(look_sheet(found, shown), path, columns=columns or 8)

    @staticmethod
    def to_dict(found: NormCorrelations | Components | Disagreements | LatentMap) -> dict[str, Any]:
        """A look, JSON-ready: arrays are lists, and numbers that are none are null."""
        from olrsearch.evaluation.report import jsonable

        made: dict[str, Any] = jsonable(found)
        return made

    @staticmethod
    def plot(
        found: NormCorrelations | Components | LatentMap | GaussianLook | Sequence[GaussianLook],
        path: Path | str,
    ) -> Path:
        """Draw a look.

        Args:
            found: What `norms`, `components`, `posteriors`, `words` or `map` returned.
            path: A `.png`: heat maps of correlations, shares of principal components, or covariances. Of
                Gaussians also an `.html` with a picture each.

        Raises:
            OlrsearchError: another suffix.
            QueryError: there is nothing to draw.
        """
        from olrsearch.sheets.looks import plot_look

        return plot_look(found, path)

    def _rows(self, opened: OpenSpace, where: str | None) -> I64:
        """Rows of the view that a condition selects, int64, by rising image id."""
        rows = np.argsort(opened.view.ids, kind="stable")
        chosen = allowed(opened, where)
        return rows if chosen is None else rows[chosen[rows]]


def _check_count(count: int | None) -> None:
    if count is not None and count < 1:
        raise QueryError(f"count says how many to show, expected 1 or more, found {count}")
