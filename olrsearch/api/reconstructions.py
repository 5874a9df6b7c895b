"""Pictures that a space's decoder makes of images' embeddings, beside the images."""

from __future__ import annotations

from typing import TYPE_CHECKING

from olrsearch.core.errors import DatasetError, ModelFileError
from olrsearch.evaluation.looks.reconstructions import Likeness, Reconstruction, Reconstructions

if TYPE_CHECKING:
    from collections.abc import Iterable

    from olrsearch.api.images_asked import Asked, Pixels
    from olrsearch.api.session import Session
    from olrsearch.core.arrays import F32, U8
    from olrsearch.encoders.olr.decoder import LabelDecoder
    from olrsearch.search.spaces.labels import OpenSpace


def space_decoder(opened: OpenSpace) -> LabelDecoder:
    """The decoder of a space of label embeddings.

    Raises:
        ModelFileError: it has none, or a damaged one; says what to run.
    """
    from olrsearch.encoders.olr.decoder import open_decoder

    found = open_decoder(opened.info.model_path)
    if found is None:
        name = opened.info.name
        raise ModelFileError(
            f"{name} has no decoder, so no picture can be made of its embeddings: run olrsearch train "
            f"decoder --space {name}"
        )
    return found


def reconstructions(session: Session, images: Iterable[Asked | Pixels], space: str | None) -> Reconstructions:
    """See `Looks.reconstruct`."""
    opened = session.space(space)
    decoder = space_decoder(opened)
    found = []
    for image in images:
        source = session.source(opened, image)
        embedding = _stored(opened, source) if isinstance(source, int) else source
        picture, linear = decoder.decode(embedding[None])[0], decoder.linear(embedding[None])[0]
        original = _original(session, opened, image, decoder)
        image_id = source if isinstance(source, int) else None
        found.append(
            Reconstruction(
                name=_name(session, image_id, image),
                image_id=image_id,
                picture=picture,
                linear=linear,
                original=original,
                likeness=_likeness(picture, original),
                linear_likeness=_likeness(linear, original),
            )
        )
    return Reconstructions(opened.info.name, tuple(found), decoder.images)


def _likeness(picture: U8, original: U8 | None) -> Likeness | None:
    from olrsearch.encoders.olr.ssim import compare

    if original is None:
        return None
    return Likeness(*(float(figure[0]) for figure in compare(picture[None], original[None])))


def _stored(opened: OpenSpace, image_id: int) -> F32:
    return opened.view.gather_all(opened.view.rows([image_id]))[:, 0]


def _name(session: Session, image_id: int | None, image: Asked | Pixels) -> str:
    return str(image) if image_id is None else session.snapshot().images([image_id])[0].key


def _original(session: Session, opened: OpenSpace, image: Asked | Pixels, decoder: LabelDecoder) -> U8 | None:
    """The part of an image that its decoder's pictures show, uint8 [H, W, 3]; None where it is gone."""
    from olrsearch.api.images_asked import Pixels
    from olrsearch.datasets.images import load_array, to_array

    found = session.find(opened.snapshot, image)
    if isinstance(found, Pixels):
        return to_array(found.image, decoder.size, decoder.crop)
    try:
        if isinstance(found, int):
            row = opened.snapshot.images([found])[0]
            return load_array(row.root, row.uri, decoder.size, decoder.crop)
        return load_array(found.parent, found.name, decoder.size, decoder.crop)
    except (DatasetError, OSError):
        return None
