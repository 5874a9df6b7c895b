"""Neighbour votes: what the images that look most alike, in one label, are given.

Notation: N images, L labels, k numbers a label, p principal coordinates of them, q queries and c candidates
of a block.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Final

import numpy as np

from olrsearch.audit.scorers.protocol import Explanation
from olrsearch.audit.scorers.vectors import known_outside, label_vectors, principal_coordinates
from olrsearch.search.index.cells import Cells, all_blocks

if TYPE_CHECKING:
    from collections.abc import Iterator

    from olrsearch.audit.scorers.material import Material
    from olrsearch.core.arrays import F32, I64
    from olrsearch.core.progress import Track
    from olrsearch.search.index.cells import Block

EXACT: Final = 5_000
"""Up to so many images every voter is compared with every image; beyond, those of the cells around it."""

MOST: Final = 200
"""Votes, at most. Few are ruled by the wrong labels among them: with 5 % of CelebA's labels flipped, average
precision of finding the flips is .72 with 20 votes, .75 with 50, .77 with 100, .78 with 200, .79 with 400."""

LEAST: Final = 10
"""Votes, where there are as many, however rare the label."""

SHARE: Final = 5
"""No more than one voter in so many votes, or neighbours would not be near."""

PRIOR: Final = 2.0
"""Votes that the label's prevalence has beside the neighbours."""

CANDIDATES: Final = 2500
"""Images a vote is taken among, beyond `EXACT`."""

SHOWN: Final = 8
"""Contrary neighbours an explanation names."""


class NeighbourVote:
    """The share of the nearest images of other folds that have the label, shrunk toward its prevalence.

    Nearest by L2 between the first principal coordinates of the label embeddings, three for most labels.
    Every vote counts alike, and only images whose label is known vote. Up to `EXACT` images the neighbours
    are exact; beyond, a vote is taken among `CANDIDATES` images or more, of the cells around the image's own
    (`olrsearch.search.index.cells`). Images as near as the last that votes, vote as well.

    How many vote: `MOST`, or fewer where the label has few examples of either value, so that these can be
    in the majority somewhere.
    """

    name = "neighbours"
    summary = "share of the images nearest in the label, of other folds, that have it"

    def evidence(self, material: Material, *, track: Track) -> F32:
        """See `Scorer.evidence`.

        Raises:
            AuditError: embeddings of another shape or dtype, or that hold NaN.
        """
        every = np.arange(material.images)
        return _votes(material, every, exact=material.images <= EXACT, track=track)

    def explain(self, material: Material, row: int, label: int, present: float | None) -> Explanation:
        """The vote counted again, exactly, with the nearest images that contradict what is given.

        Where nothing is given, those of the majority are shown.
        """
        name = material.names[label]
        fold = int(material.fold[row])
        voters = _voters(material, fold, label)
        if voters is None or present is None:
            return Explanation(f"no vote: other folds do not know {name} both ways")
        points = principal_coordinates(label_vectors(material, fold, label))
        gap = points[voters.rows] - points[row]
        distances = np.einsum("nk,nk->n", gap, gap)
        last = np.partition(distances, voters.count - 1)[voters.count - 1]
        near = np.flatnonzero(distances <= last)
        nearest = voters.rows[near[np.argsort(distances[near], kind="stable")]]
        votes = material.given[nearest, label]
        given = int(material.given[row, label])
        side = -given if given else (1 if 2 * int((votes > 0).sum()) >= len(votes) else -1)
        against = nearest[votes == side]
        does = "have" if side > 0 else "lack"
        text = f"{len(against)} of the {len(nearest)} nearest in {name} {does} it"
        return Explanation(text, tuple(against[:SHOWN].tolist()))


def exact_votes(material: Material, rows: I64, *, track: Track) -> F32:
    """The evidence of some images with every voter compared, however many there are.

    Args:
        material: What `NeighbourVote.evidence` is given.
        rows: int64 [m], ascending, each once.
        track: Shows progress, label by label.

    Returns:
        float32 [L, m].

    Raises:
        AuditError: embeddings of another shape or dtype, or that hold NaN.
    """
    return _votes(material, rows, exact=True, track=track)[:, rows]


@dataclass(frozen=True, slots=True, eq=False)
class _Voters:
    """Who may vote on a label for the images of a fold.

    Attributes:
        rows: int64 [n], ascending.
        ballots: float32 [n, 2], 1 where the label is present, and 1.
        count: How many of them vote on an image.
        prevalence: Share of them that have the label.
    """

    rows: I64
    ballots: F32
    count: int
    prevalence: float


class _Points:
    """Vectors float32 [N, k], their principal coordinates, and the cells these lie in."""

    def __init__(self, vectors: F32, seed: int) -> None:
        self.vectors = vectors
        self.coordinates = principal_coordinates(vectors)
        self._seed = seed

    @cached_property
    def cells(self) -> Cells:
        return Cells(self.coordinates, seed=self._seed)


def _votes(material: Material, rows: I64, *, exact: bool, track: Track) -> F32:
    """Evidence float32 [L, N], NaN but for some rows."""
    out = np.full((material.labels, material.images), np.nan, np.float32)
    for label in track(range(material.labels), total=material.labels, what="neighbours", unit="labels"):
        points: _Points | None = None
        for fold in range(material.folds):
            queries = rows[material.fold[rows] == fold]
            voters = _voters(material, fold, label)
            if voters is None or not len(queries):
                continue
            vectors = label_vectors(material, fold, label)
            if points is None or not np.array_equal(points.vectors, vectors):  # a fixed encoder's are equal
                points = _Points(vectors, material.seed)
            if exact:
                blocks = all_blocks(points.coordinates, queries, voters.rows, voters.ballots)
            else:
                blocks = points.cells.blocks(queries, voters.rows, voters.ballots, CANDIDATES)
            _vote(blocks, voters, out[label])
    return out


def _voters(material: Material, fold: int, label: int) -> _Voters | None:
    """None where other folds do not know the label both as present and as absent."""
    present, absent = known_outside(material, fold, label)
    rarer, total = min(len(present), len(absent)), len(present) + len(absent)
    if not rarer:
        return None
    rows = np.sort(np.concatenate([present, absent]))
    ballots = np.stack([material.given[rows, label] > 0, np.ones(total)], axis=1).astype(np.float32)
    count = min(MOST, max(LEAST, min(rarer, total // SHARE)), total)
    return _Voters(rows, ballots, count, len(present) / total)


def _vote(blocks: Iterator[Block], voters: _Voters, out: F32) -> None:
    """Fill in the evidence of one label, float32 [N], for the queries of all blocks."""
    for queries, ballots, distances in blocks:
        last = min(voters.count, len(ballots)) - 1
        near = distances <= np.partition(distances, last, axis=1)[:, last : last + 1]
        present, votes = (near @ ballots).T
        out[queries] = (present + PRIOR * voters.prevalence) / (votes + PRIOR)
