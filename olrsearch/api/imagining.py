"""Pictures that a decoder makes: of words, of an image, or of the way between two of them.

Nothing here is found: what a picture shows, nobody took. Notation: d dimensions, m points, W own words.

Source: paper 003, figure 3 (samples of a label's Gaussian), figure 6 (of words never trained), figures 4 and
5 (the way between two labels: the mean of two inputs lies midway, since the label encoder is linear); paper
002, figure 4 (the great circle between two images).
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Final, cast

import numpy as np

from olrsearch.api.arguments import checked
from olrsearch.api.imagined_ends import find_end
from olrsearch.core.errors import EncoderError, QueryError
from olrsearch.evaluation.looks.imagined import Imagined, ImaginedPicture, NearImage

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from olrsearch.api.images_asked import Asked
    from olrsearch.api.imagined_ends import End, EndKind
    from olrsearch.api.session import HasSession, Session
    from olrsearch.core.arrays import F64
    from olrsearch.encoders.protocol import PosteriorEncoder
    from olrsearch.maths.gaussian import Gaussians
    from olrsearch.search.spaces.posteriors import OpenPosteriors

MOST: Final = 1000
"""Pictures that are made at once, at most."""

_USUAL: Final = 256
"""Images whose covariances are averaged for what is near a point: a point alone finds narrow posteriors."""


@checked
def imagine(
    store: HasSession,
    what: Asked | Sequence[str],
    count: int | None = None,
    *,
    seed: int = 0,
    temperature: float = 1.0,
    taken_as: EndKind = "either",
    vectors: bool = False,
    find: int = 0,
    meanings: str | Path | None = None,
    space: str | None = None,
) -> Imagined:
    """Make pictures of words, or make an image anew from its posterior.

    A name that is one of the encoder's words is that word. Any other is an image of the store or a file,
    where there is one, and else a word as `words` takes it.

    Args:
        what: A word, several words that are all to show, or an image: by id, key or file, or as pixels.
            `!word` asks for its absence where the encoder learned a Gaussian of that.
        count: How many pictures. Of words each is a sample, 16 when None. Of an image the first is decoded at
            the mean of its posterior, and further ones are samples of it; 1 when None.
        seed: Of the samples.
        temperature: What standard deviations are multiplied by: 0 is the mean, 1 the distribution as it is.
        taken_as: `words` or `image` where a name could be both.
        vectors: As of `words`.
        find: Also find so many stored images nearest to each point, by KL(query‖image). The query is an
            image's posterior, or a Gaussian at the point, as wide as posteriors are on average.
        meanings: As of `words`.
        space: Of posteriors, whose encoder has a decoder.

    Raises:
        EncoderError: the encoder has no decoder.
        QueryError: no pictures or too many, a temperature that is no number from 0 on, several images, or a
            name that is neither a word nor an image.
        UnknownImageError, UnknownWordError, WordVectorsError, GaussianError: as `words` and `describe`.
        EmptyStoreError: nothing is imported, or there are no posteriors.
        IncompatibleEncoderError: the space holds label embeddings.
    """
    session = store.session
    _check_find(find)
    if not (math.isfinite(temperature) and temperature >= 0):
        raise QueryError(
            f"temperature multiplies standard deviations, expected 0 or more, found {temperature}"
        )
    if count is not None and not 1 <= count <= MOST:
        raise QueryError(f"count says how many pictures to make, expected 1 to {MOST:,}, found {count}")
    opened = session.posteriors(space)
    decoder = _decoder(session, opened)
    end = find_end(session, opened, what, taken_as, vectors=vectors, meanings=meanings)
    of_image = end.image is not None
    wanted = (1 if of_image else 16) if count is None else count
    drawn = _samples(end, wanted - of_image, temperature, seed)
    points = _placed(np.concatenate([end.gaussian.mean, drawn]) if of_image else drawn, opened)
    captions = [f"sample {number} of {end.name}" for number in range(1, len(drawn) + 1)]
    if of_image:
        captions.insert(0, f"{end.name}, decoded")
    found = Imagined(
        question=end.name,
        of="image" if of_image else "words",
        space=opened.info.name,
        encoder=opened.info.fingerprint,
        pictures=_made(opened, decoder, points, captions, end.name),
        asked=() if end.image is None else (end.image,),
        seed=seed if len(drawn) else None,
        temperature=temperature if len(drawn) else None,
        notes=end.notes,
    )
    return _with_near(found, opened, find, {0: end.gaussian} if of_image else {})


@checked
def interpolate(
    store: HasSession,
    first: Asked,
    second: Asked,
    *,
    steps: int = 9,
    taken_as: EndKind = "either",
    vectors: bool = False,
    find: int = 0,
    meanings: str | Path | None = None,
    space: str | None = None,
) -> Imagined:
    """Make pictures of the way between two words, two images, or one of each.

    The way leads between their means, in equal steps: straight, or along the great circle where the encoder
    puts images on the unit sphere.

    Args:
        first: A word, several joined by `&`, or an image; as of `imagine`.
        second: Likewise.
        steps: Pictures, both ends among them; 2 or more.
        taken_as: As of `imagine`, for both.
        vectors: As of `words`.
        find: As of `imagine`.
        meanings: As of `words`.
        space: As of `imagine`.

    Raises:
        QueryError: fewer than 2 steps or too many, or ends that are one point.
        EncoderError, UnknownImageError, UnknownWordError: as of `imagine`, and what else it raises.
    """
    session = store.session
    _check_find(find)
    if not 2 <= steps <= MOST:
        raise QueryError(f"steps counts both ends, expected 2 to {MOST:,}, found {steps}")
    opened = session.posteriors(space)
    decoder = _decoder(session, opened)
    ends = [
        find_end(session, opened, what, taken_as, vectors=vectors, meanings=meanings)
        for what in (first, second)
    ]
    means = [_placed(end.gaussian.mean, opened)[0] for end in ends]
    if np.allclose(means[0], means[1], rtol=0, atol=1e-6):
        raise QueryError(
            f"{ends[0].name} and {ends[1].name} are one point of the latent space: name two that differ"
        )
    shares = np.linspace(0.0, 1.0, steps)
    points = _way(means[0], means[1], shares, opened)
    names = [end.name for end in ends]
    captions = [f"{share:.0%} of the way" for share in shares]
    captions[0], captions[-1] = names
    pictures = _made(opened, decoder, points, captions, f"{names[0]}-{names[1]}")
    found = Imagined(
        question=f"{names[0]} → {names[1]}",
        of="way",
        space=opened.info.name,
        encoder=opened.info.fingerprint,
        pictures=tuple(
            replace(picture, share=float(share)) for picture, share in zip(pictures, shares, strict=True)
        ),
        asked=tuple(end.image for end in ends if end.image is not None),
        path="sphere" if opened.on_sphere else "line",
        notes=tuple(dict.fromkeys(note for end in ends for note in end.notes)),
    )
    images = {
        place: end.gaussian for place, end in zip((0, steps - 1), ends, strict=True) if end.image is not None
    }
    return _with_near(found, opened, find, images)


def _check_find(find: int) -> None:
    if not 0 <= find <= MOST:
        raise QueryError(f"find says how many stored images to find, expected 0 to {MOST:,}, found {find}")


def _decoder(session: Session, opened: OpenPosteriors) -> PosteriorEncoder:
    """The encoder of a space, which must have a decoder."""
    encoder = cast("PosteriorEncoder", session.encoder(opened.info))
    if not encoder.has_decoder:
        raise EncoderError(
            f"the encoder of {opened.info.name} has no decoder, so that it makes no pictures: name a space "
            "that has one with --space, or train one, such as olrsearch train pse-star"
        )
    return encoder


def _samples(end: End, count: int, temperature: float, seed: int) -> F64:
    """Points of an end's Gaussian, float64 [count, d]."""
    drawn = end.gaussian.sample(count, np.random.default_rng(seed))[0]
    found: F64 = end.gaussian.mean + temperature * (drawn - end.gaussian.mean)
    return found


def _placed(points: F64, opened: OpenPosteriors) -> F64:
    """Points where the encoder can have images: on the unit sphere for some."""
    if not opened.on_sphere:
        return points
    found: F64 = points / np.maximum(np.linalg.norm(points, axis=1, keepdims=True), 1e-12)
    return found


def _way(first: F64, second: F64, shares: F64, opened: OpenPosteriors) -> F64:
    from olrsearch.maths.sphere import on_line, slerp

    return slerp(first, second, shares) if opened.on_sphere else on_line(first, second, shares)


def _made(
    opened: OpenPosteriors, decoder: PosteriorEncoder, points: F64, captions: Sequence[str], stem: str
) -> tuple[ImaginedPicture, ...]:
    """Points, decoded and read again."""
    from olrsearch.api.reading_made import read_words
    from olrsearch.sheets.imagined import file_name

    pixels = decoder.decode(points.astype(np.float32))
    reads = read_words(opened, decoder, pixels)
    width = max(2, len(str(len(points))))
    return tuple(
        ImaginedPicture(
            name=f"{file_name(stem)}-{number:0{width}}",
            caption=caption,
            point=tuple(point.tolist()),
            pixels=picture,
            reads=read,
        )
        for number, (caption, point, picture, read) in enumerate(
            zip(captions, points, pixels, reads, strict=True), 1
        )
    )


def _with_near(
    found: Imagined, opened: OpenPosteriors, count: int, images: Mapping[int, Gaussians]
) -> Imagined:
    """The same with the stored images nearest to each point, where some are asked for.

    Args:
        found: The pictures.
        opened: The space.
        count: How many images.
        images: Posteriors of the pictures that are decoded at an image's mean, by their place.
    """
    if not count:
        return found
    from olrsearch.maths.gaussian import Gaussians
    from olrsearch.maths.triangles import cholesky

    usual = cholesky(opened.view.sample(_USUAL).covariance.mean(axis=0, keepdims=True))
    pictures = []
    for place, picture in enumerate(found.pictures):
        query = images.get(place) or Gaussians(np.array([picture.point]), usual)
        answer = opened.index.search(query, count, direction="query-to-image")
        rows = opened.snapshot.images(answer.ids.tolist())
        near = tuple(
            NearImage(row.id, row.key, float(distance))
            for row, distance in zip(rows, answer.distances, strict=True)
        )
        pictures.append(replace(picture, near=near))
    return replace(found, pictures=tuple(pictures))
