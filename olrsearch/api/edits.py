"""Images with labels added and removed: what would change, made pictures, and real images like the result.

Notation: L labels, k numbers a label.

Source: paper 000, section 4.5.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from olrsearch.api.answers import ranking
from olrsearch.api.arguments import checked_verbs
from olrsearch.api.pictures import picture_of
from olrsearch.api.session import allowed
from olrsearch.api.words_as_labels import meant_edit
from olrsearch.core.errors import EncoderError, QueryError
from olrsearch.core.made import MADE
from olrsearch.core.names import LabelNames
from olrsearch.maths.calibration import log_sigmoid
from olrsearch.search.edited_images import EditedCell, EditedImage, EditedLabel, EditGrid, MadePictures
from olrsearch.search.editing import Way, edited, logits_of
from olrsearch.search.like_edited import search_edited
from olrsearch.search.page import check_page
from olrsearch.search.query.edits import (
    MAX_STRENGTH,
    check_strength,
    parse_edits,
    resolve_edits,
    spell_edits,
)
from olrsearch.search.spaces.fits import image_notes

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from olrsearch.api.images_asked import Asked
    from olrsearch.api.session import Session
    from olrsearch.core.arrays import F32, F64, U8
    from olrsearch.encoders.olr.decoder import LabelDecoder
    from olrsearch.search.query.edits import Edit
    from olrsearch.search.results import Ranking
    from olrsearch.search.spaces.labels import OpenSpace
    from olrsearch.store.values import SpaceInfo

STRENGTHS: Final = (0.5, 1.0, 1.5, 2.0)
"""Columns of a grid."""

_ALREADY: Final = 0.5
"""Probability from which on an image shows a label before it is added."""


class _AskedEdit(NamedTuple):
    """An image that is to be edited, and how."""

    opened: OpenSpace
    edits: tuple[Edit, ...]
    name: str
    image_id: int | None
    embedding: F32
    fit: float | None
    notes: tuple[str, ...]


@checked_verbs
class Edits:
    """Images of a store, or image files, with labels added and removed: `Store.edits`.

    Edits are written `+Smiling -Eyeglasses +Chubby^1.5`: add, remove, and how strongly. Nothing in the store
    changes. What comes of an edit is made, not found: it says what an encoder takes a label to look like.
    """

    def __init__(self, session: Session) -> None:
        self._session = session
        self._decoders: dict[tuple[str, int], LabelDecoder] = {}

    def edit(
        self,
        image: Asked,
        edits: str | Sequence[str],
        *,
        way: Way = "directions",
        seed: int | None = None,
        space: str | None = None,
    ) -> EditedImage:
        """Edit an image: its labels before and after, and a picture of it where there is a decoder.

        Args:
            image: An id, a key, a file, an image of Pillow's or its pixels, uint8 [height, width, 3].
            edits: What to add and to remove, as one text or as several.
            way: `directions` moves the whole embedding, as far as the asked labels need, and holds the other
                labels. `paper` replaces the vector of each asked label, by a typical one or by zero.
            seed: Of `paper`: take a sample of the label's Gaussian in the place of its mean.
            space: Of label embeddings; the newest when None.

        Raises:
            QuerySyntaxError, QueryError, UnknownLabelError: the edits are at fault.
            UnknownImageError: the image is neither in the store nor a file.
            FitError: too few images to edit by.
        """
        asked = self._asked(image, edits, space)
        made = edited(asked.opened, asked.embedding, asked.edits, way=way, seed=seed)
        labels = _labels(asked, made)
        decoder, notes = self._decoder(asked.opened.info)
        pictures = None
        if decoder is not None:
            pictures = MadePictures(*decoder.decode(np.stack([asked.embedding, made])))
        already = [
            f"{item.label} was {'there' if item.asked == 'added' else 'not there'} before: little changes"
            for item in labels
            if (item.asked == "added" and item.before >= _ALREADY)
            or (item.asked == "removed" and item.before < _ALREADY)
        ]
        return EditedImage(
            image=asked.name,
            image_id=asked.image_id,
            edits=spell_edits(asked.edits),
            way=way,
            labels=labels,
            embedding=made,
            pictures=pictures,
            fit=asked.fit,
            notes=(*notes, *already, *asked.notes),
        )

    def grid(
        self,
        image: Asked,
        edits: str | Sequence[str],
        *,
        strengths: Sequence[float] = STRENGTHS,
        way: Way = "directions",
        seed: int | None = None,
        space: str | None = None,
    ) -> EditGrid:
        """Edit an image by one edit after the other, each in several strengths, and by all together.

        Args:
            image: As of `edit`.
            edits: As of `edit`.
            strengths: Factors on the strengths of the edits, a column each.
            way: As of `edit`.
            seed: As of `edit`.
            space: As of `edit`.

        Raises:
            QueryError: no strengths, or one that is none; and as `edit`.

        Source: paper 000, figures 7 and 8.
        """
        factors = tuple(map(float, strengths))
        if not factors:
            raise QueryError(
                "a grid has a column a strength, and none are given: give some, such as 0.5, 1, 2"
            )
        for factor in factors:
            check_strength(factor, "a strength of a grid")
        asked = self._asked(image, edits, space)
        rows: list[tuple[Edit, ...]] = [(edit,) for edit in asked.edits]
        if len(rows) > 1:
            rows.append(asked.edits)
        cells = [_scaled(row, factor) for row in rows for factor in factors]
        made = [edited(asked.opened, asked.embedding, cell, way=way, seed=seed) for cell in cells]
        decoder, notes = self._decoder(asked.opened.info)
        decoded: list[U8] | list[None] = [None] * (1 + len(made))
        if decoder is not None:
            decoded = list(decoder.decode(np.stack([asked.embedding, *made])))
        names = asked.opened.info.labels
        return EditGrid(
            image=asked.name,
            image_id=asked.image_id,
            way=way,
            strengths=factors,
            cells=tuple(
                EditedCell(
                    edits=spell_edits(cell),
                    strength=factors[place % len(factors)],
                    probabilities={edit.label: float(chances[names.index(edit.label)]) for edit in cell},
                    picture=picture,
                )
                for place, (cell, chances, picture) in enumerate(
                    zip(cells, (_chances(asked.opened, one) for one in made), decoded[1:], strict=True)
                )
            ),
            before=decoded[0],
            notes=(*notes, *asked.notes),
        )

    def find(
        self,
        image: Asked,
        edits: str | Sequence[str],
        k: int = 20,
        *,
        offset: int = 0,
        by: Sequence[str] | None = None,
        where: str | None = None,
        include_self: bool = False,
        way: Way = "directions",
        seed: int | None = None,
        space: str | None = None,
    ) -> Ranking:
        """Find real images like an edited one: faces like this one, but smiling. No decoder is needed.

        Args:
            image: As of `edit`.
            edits: As of `edit`; a strength weighs how much the label counts.
            k: Hits a page.
            offset: Skip this many hits.
            by: Labels to be alike in; all when None.
            where: Only images this selects.
            include_self: Keep the image that was edited in the answer.
            way: As of `edit`.
            seed: As of `edit`.
            space: As of `edit`.

        Returns:
            Hits by falling score: how many labels they are expected to share with the edited image, and the
            probabilities of the asked labels; see `search.like_edited`. Exact.

        Raises:
            QueryError: no label is left to be alike in; and as `edit`.
        """
        check_page(k, offset)
        asked = self._asked(image, edits, space)
        opened = asked.opened
        positions = None
        if by is not None:
            names = LabelNames(opened.info.labels)
            positions = {names.position(name) for name in by}
        made = edited(opened, asked.embedding, asked.edits, way=way, seed=seed)
        page = search_edited(
            opened.scores(),
            _chances(opened, made),
            asked.edits,
            by=positions,
            exclude=() if include_self or asked.image_id is None else (asked.image_id,),
            count=k,
            offset=offset,
            allowed=allowed(opened, where),
        )
        heading = f"like {asked.name} {page.query}"
        if by is not None:
            heading += f" in {', '.join(by)}"
        return ranking(opened, page, (*opened.score_notes(), *asked.notes), query=heading, where=where)

    def sheet(self, found: EditedImage | EditGrid, path: Path | str) -> Path:
        """Write a sheet of made pictures beside the image: `.html` or `.png`.

        Args:
            found: What `edit` or `grid` returned.
            path: Where to.

        Raises:
            EncoderError: there are no pictures, for the space has no decoder.
            OlrsearchError: another suffix.
        """
        from olrsearch.sheets.drawing import write_sheet
        from olrsearch.sheets.edits import edit_sheet

        drawn = found.pictures if isinstance(found, EditedImage) else found.before
        if drawn is None:
            raise EncoderError(
                "there are no made pictures to show, for the space has no decoder: train one with olrsearch "
                "train decoder, or ask for real images with --find"
            )
        original = None
        if found.image_id is not None:
            original = picture_of(self._session, found.image_id)
        columns = 5 if isinstance(found, EditedImage) else len(found.strengths)
        return write_sheet(edit_sheet(found, original), path, columns=max(3, columns))

    def _asked(self, image: Asked, edits: str | Sequence[str], space: str | None) -> _AskedEdit:
        written = parse_edits(edits)
        session = self._session
        opened = session.space(space)
        labels = opened.info.labels
        known = resolve_edits(written, labels, instead=lambda edit: meant_edit(session, edit, labels))
        source, fit, size = session.seen(opened, image)
        if isinstance(source, int):
            embedding, image_id = opened.view.embedding(source), source
            name = opened.snapshot.images([source])[0].key
        else:
            embedding, image_id, name = source, None, str(image)
        return _AskedEdit(opened, known, name, image_id, embedding, fit, image_notes(opened.info, fit, size))

    def _decoder(self, info: SpaceInfo) -> tuple[LabelDecoder | None, tuple[str, ...]]:
        """The decoder of a space, kept open, and what a reader of its pictures, or of none, must know."""
        from olrsearch.encoders.folder.model_config import DECODER_NAME
        from olrsearch.encoders.olr.decoder_file import has_decoder

        if not has_decoder(info.model_path):
            advice = f"olrsearch train decoder --space {info.name}"
            return None, (f"{info.name} has no decoder, so no picture is made: {advice}",)
        made = (info.model_path / DECODER_NAME).stat().st_mtime_ns
        version = (info.fingerprint, made)  # it may be trained again meanwhile
        if version not in self._decoders:
            from olrsearch.encoders.olr.decoder import open_decoder

            decoder = open_decoder(info.model_path)
            if decoder is not None:
                self._decoders = {version: decoder}
        return self._decoders.get(version), (MADE,)


def _scaled(edits: Sequence[Edit], factor: float) -> tuple[Edit, ...]:
    """Edits with their strengths multiplied, each as strong as one may be at most."""
    return tuple(replace(edit, strength=min(edit.strength * factor, MAX_STRENGTH)) for edit in edits)


def _chances(opened: OpenSpace, embedding: F32) -> F64:
    """Probabilities of one embedding float32 [L, k], float64 [L]."""
    found: F64 = np.exp(log_sigmoid(logits_of(opened, embedding)))
    return found


def _labels(asked: _AskedEdit, made: F32) -> tuple[EditedLabel, ...]:
    """All labels before and after, asked ones first, then the others by how much they changed."""
    sides = {edit.label: "added" if edit.added else "removed" for edit in asked.edits}
    before, after = _chances(asked.opened, asked.embedding), _chances(asked.opened, made)
    labels = [
        EditedLabel(name, sides.get(name), float(first), float(then))
        for name, first, then in zip(asked.opened.info.labels, before, after, strict=True)
    ]
    order = {name: place for place, name in enumerate(sides)}
    labels.sort(key=lambda item: (order.get(item.label, len(order)), -abs(item.change), item.label))
    return tuple(labels)
