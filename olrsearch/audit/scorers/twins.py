"""Twins: images that show the same picture, and what labels one of them lends to the other.

Notation: N images, L labels; P pairs of twins; M directed pairs, two for each pair.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

import numpy as np
from scipy.special import expit

from olrsearch.audit.scorers.likeness import EDGE, MOST_COPIES, find_alike, small_grey
from olrsearch.audit.scorers.protocol import Explanation
from olrsearch.core.progress import silent

if TYPE_CHECKING:
    from olrsearch.audit.scorers.material import Material
    from olrsearch.core.arrays import F32, F64, I8, I64, U8, Bool
    from olrsearch.core.progress import Track
    from olrsearch.store import Snapshot

AGREEMENT: Final = 0.9
"""How often twins agree on a label, before any have been seen."""

STRENGTH: Final = 10
"""How many pairs that belief is worth."""

_SHOWN = 8

_log = logging.getLogger(__name__)


def find_twins(snapshot: Snapshot, ids: I64, *, track: Track = silent) -> I64:
    """Pairs of images that show the same picture.

    Twins are files that are equal byte by byte, and thumbnails that look the same (`find_alike`:
    re-encoded, cropped by a little, brighter, mirrored). Images without thumbnail have twins of the
    first kind only. Of more than `MOST_COPIES` equal files each is paired with that many after it.

    Args:
        snapshot: Of the store.
        ids: int64 [N], images; a place in it is a row of the answer.
        track: Shows progress.

    Returns:
        int64 [P, 2] of rows, the lower first, in ascending order.

    Raises:
        UnknownImageError: there is no such image.
        ImageDecodeError: a damaged thumbnail; names the image.
    """
    rows, pictures = _pictures(snapshot, ids, track)
    if len(rows) < len(ids):
        _log.warning(
            "%d of %d images have no thumbnail: of these only files that are equal byte by byte are copies",
            len(ids) - len(rows),
            len(ids),
        )
    alike = rows[find_alike(pictures, track=track)]
    both = np.concatenate([_equal_files(snapshot, ids), np.sort(alike, axis=1)])
    return np.unique(both, axis=0).astype(np.int64, copy=False)


class Twins:
    """What labels the other copies of a picture have.

    How far a twin's label can be relied on is measured for each label on the pairs of other folds: the
    table of what two twins say, started with `STRENGTH` pairs that agree in `AGREEMENT` of all cases, half
    of them present. One twin's label then gives the share of twins of such that have it. Several count as
    independent witnesses, so their log-odds add up. A twin may be of the same fold: only an entry's own
    value must not count.
    """

    name = "twins"
    summary = "what the labels of other copies of the same picture say"

    def evidence(self, material: Material, *, track: Track) -> F32:
        """Probabilities that labels are present, float32 [L, N]; NaN without a twin that knows the label."""
        out = np.full((material.labels, material.images), np.nan, np.float32)
        directed = _directed(material)
        for fold in track(range(material.folds), total=material.folds, what=self.name, unit="folds"):
            mine = directed[material.fold[directed[:, 0]] == fold]
            if not len(mine):
                continue
            tables, usable = _tables(material, directed, fold)
            prior, votes = _log_odds(tables)
            rows, place = np.unique(mine[:, 0], return_inverse=True)
            said = material.given[mine[:, 1]]
            for label in np.flatnonzero(usable):
                vote = np.select([said[:, label] > 0, said[:, label] < 0], votes[label], 0.0)
                known = np.bincount(place, said[:, label] != 0) > 0
                present = expit(prior[label] + np.bincount(place, vote))
                out[label, rows] = np.where(known, present, np.nan)
        return out

    def explain(self, material: Material, row: int, label: int, present: float | None) -> Explanation:
        """How many twins have the label, and how far twins agree on it."""
        directed = _directed(material)
        twins = directed[directed[:, 0] == row, 1]
        said = material.given[twins, label]
        twins, said = twins[said != 0], said[said != 0]
        if present is None or not len(twins):
            return Explanation("no other copy of this picture has this label")
        other = material.given[directed[_outside(material, directed, int(material.fold[row]))], label]
        other = other[(other != 0).all(axis=1)]
        pairs, agree = len(other) // 2, (other[:, 0] == other[:, 1]).mean() if len(other) else np.nan
        measured = f"; {agree:.0%} of {pairs:,} other pairs of copies agree on it" if pairs else ""
        if len(twins) == 1:
            found = f"the other copy of this picture {'has' if said[0] > 0 else 'lacks'} it"
        else:
            found = f"{(said > 0).sum()} of {len(twins)} other copies of this picture have it"
        # Those that say otherwise than the entry come first.
        contrary = said != material.given[row, label]
        order = np.concatenate([twins[contrary], twins[~contrary]])[:_SHOWN]
        return Explanation(found + measured, tuple(order.tolist()))


def _pictures(snapshot: Snapshot, ids: I64, track: Track) -> tuple[I64, U8]:
    """Rows of images with thumbnails, int64 [n], and these, uint8 [n, E, E]."""
    row_of = {number: row for row, number in enumerate(ids.tolist())}
    rows, pictures = [], []
    for number, data in track(snapshot.thumbnails(ids), total=len(ids), what="thumbnails"):
        rows.append(row_of[number])
        pictures.append(small_grey(data, where=f"the thumbnail of image {number}"))
    return np.array(rows, np.int64), np.array(pictures, np.uint8).reshape(-1, EDGE, EDGE)


def _equal_files(snapshot: Snapshot, ids: I64) -> I64:
    """Pairs of rows whose files have the same hash, int64 [P, 2]."""
    rows_of: dict[str, list[int]] = {}
    images = snapshot.images(ids)
    for row, image in enumerate(images):
        rows_of.setdefault(image.sha256, []).append(row)
    pairs = [
        (one, two)
        for rows in rows_of.values()
        for place, one in enumerate(rows)
        for two in rows[place + 1 : place + 1 + MOST_COPIES]
        # One file may hold several images.
        if (images[one].dataset, images[one].uri) != (images[two].dataset, images[two].uri)
    ]
    return np.array(pairs, np.int64).reshape(-1, 2)


def _directed(material: Material) -> I64:
    """Each pair in both directions, int64 [M, 2]: a row, and its twin."""
    if material.twins is None:
        return np.empty((0, 2), np.int64)
    return np.concatenate([material.twins, material.twins[:, ::-1]])


def _outside(material: Material, directed: I64, fold: int) -> Bool:
    """Pairs that have no image of a fold, bool [M]: what their twins say can be no entry of it."""
    out: Bool = (material.fold[directed] != fold).all(axis=1)
    return out


def _tables(material: Material, directed: I64, fold: int) -> tuple[F64, Bool]:
    """What twins of other folds say, float64 [L, 2, 2], absent first; and which labels have two classes."""
    given: I8 = material.given[directed[_outside(material, directed, fold)]]
    said = np.stack([given < 0, given > 0]).astype(np.float64)  # [2, pairs, 2, L]
    tables = np.einsum("apl,bpl->lab", said[:, :, 0], said[:, :, 1])
    # Every pair is there in both directions, and so are the pairs that stand for the belief.
    tables += STRENGTH * np.array([[AGREEMENT, 1 - AGREEMENT], [1 - AGREEMENT, AGREEMENT]])
    others = material.given[material.fold != fold]
    return tables, (others > 0).any(axis=0) & (others < 0).any(axis=0)


def _log_odds(tables: F64) -> tuple[F64, list[list[np.float64]]]:
    """Log-odds of a label without a twin, float64 [L]; and what one adds that has it, or lacks it, [L][2]."""
    own = tables.sum(axis=2)
    prior = np.log(own[:, 1]) - np.log(own[:, 0])
    share = np.log(tables) - np.log(own[:, :, None])
    has, lacks = share[:, 1, 1] - share[:, 0, 1], share[:, 1, 0] - share[:, 0, 0]
    return prior, [[one, other] for one, other in zip(has, lacks, strict=True)]
