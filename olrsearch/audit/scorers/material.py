"""What an audit looks at: given labels, folds, and how images look to models that did not see a fold.

Notation: N images, L labels, k numbers a label, F folds, D numbers an image.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from hashlib import blake2b
from typing import TYPE_CHECKING, Protocol

import numpy as np

from olrsearch.audit.evidence.checks import check_labels
from olrsearch.core.errors import AuditError
from olrsearch.core.groups import told_apart

if TYPE_CHECKING:
    from olrsearch.core.arrays import F32, I8, I64

FOLDS = 5


class Views(Protocol):
    """How images look, fold by fold, to models that did not see the labels of that fold.

    A fixed encoder answers the same for every fold; heads that are trained again for each fold do not.
    """

    def features(self, fold: int, rows: I64) -> F32:
        """What a linear model of labels is fitted on: float32 [n, D] of the images `rows`."""
        ...

    def embeddings(self, fold: int, label: int) -> F32:
        """e^l of all images, float32 [N, k]; may be a memory map."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class Material:
    """What every scorer gets.

    Attributes:
        names: Of the L labels.
        given: int8 [N, L], −1 absent, 0 unknown, +1 present; nothing is ever written to it.
        fold: int64 [N], 0 … F−1; no identity is in two.
        identity: int64 [N], −1 unknown.
        views: How images look.
        twins: int64 [P, 2], pairs of rows that show the same picture, the lower row first.
        seed: Of everything random.
    """

    names: tuple[str, ...]
    given: I8
    fold: I64
    identity: I64
    views: Views
    twins: I64 | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse what does not fit together.

        Raises:
            AuditError: a shape that is not that of the labels, labels with other values than −1, 0 and +1, or
                twins that are not among the images.
        """
        check_labels(self.names, self.given, self.identity)
        count, pairs = self.images, self.twins
        if self.fold.shape != (count,):
            raise AuditError(f"folds {self.fold.shape} of {count} images do not fit: expected [N]")
        if pairs is None:
            return
        if pairs.shape[1:] != (2,) or bool(((pairs < 0) | (pairs >= count)).any()):
            raise AuditError(
                f"twins {pairs.shape} are no pairs of rows of {count} images: expected [P, 2] of 0 … N−1"
            )

    @property
    def images(self) -> int:
        """N."""
        return len(self.given)

    @property
    def labels(self) -> int:
        """L."""
        return len(self.names)

    @property
    def folds(self) -> int:
        """F."""
        return int(self.fold.max(initial=-1)) + 1

    def inside(self, fold: int) -> I64:
        """Rows of a fold, ascending."""
        return np.flatnonzero(self.fold == fold)

    def outside(self, fold: int, *, most: int | None = None) -> I64:
        """Rows of the other folds, ascending; a random choice of `most` where there are more."""
        rows = np.flatnonzero(self.fold != fold)
        if most is not None and len(rows) > most:
            rng = np.random.default_rng([self.seed, fold, 0xF01D])
            rows = np.sort(rng.choice(rows, most, replace=False))
        return rows

    def part(self, rows: I64, given: I8) -> Material:
        """Some images, with other labels given; folds stay as they are.

        Args:
            rows: int64 [n], ascending.
            given: int8 [n, L].
        """
        twins = self.twins
        if twins is not None:
            place = np.full(self.images, -1, np.int64)
            place[rows] = np.arange(len(rows))
            moved = place[twins]
            twins = moved[(moved >= 0).all(axis=1)]
        return replace(
            self,
            given=given,
            fold=self.fold[rows],
            identity=self.identity[rows],
            views=_Part(self.views, rows),
            twins=twins,
        )


class _Part:
    """The views of some rows of a material."""

    def __init__(self, views: Views, rows: I64) -> None:
        self._views = views
        self._rows = rows

    def features(self, fold: int, rows: I64) -> F32:
        return self._views.features(fold, self._rows[rows])

    def embeddings(self, fold: int, label: int) -> F32:
        return self._views.embeddings(fold, label)[self._rows]


def identity_folds(identity: I64, *, folds: int = FOLDS, seed: int = 0) -> I64:
    """Fold numbers, whole identities together, folds of nearly equal size.

    Identities are taken in the order of a hash of (seed, identity) and each is put into the fold that
    has fewest images, so the folds depend neither on the machine nor, where all identities are known, on
    the order of the images.

    Args:
        identity: int64 [N], −1 unknown: an image of its own.
        folds: F ≥ 2.
        seed: Another seed, other folds.

    Returns:
        int64 [N].

    Raises:
        AuditError: fewer identities than folds, or fewer than two folds.
    """
    people, member, count = np.unique(told_apart(identity), return_inverse=True, return_counts=True)
    if folds < 2 or len(people) < folds:
        raise AuditError(
            f"{folds} folds of {len(people)} identities: expected at least 2 folds and as many identities"
        )
    order = sorted(
        range(len(people)),
        key=lambda place: blake2b(f"{seed} {people[place]}".encode(), digest_size=8).digest(),
    )
    sizes, chosen = np.zeros(folds, np.int64), np.empty(len(people), np.int64)
    for place in order:
        chosen[place] = int(sizes.argmin())
        sizes[chosen[place]] += count[place]
    return chosen[member]
