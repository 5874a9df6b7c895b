"""Every scorer by its name, in the order they run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from olrsearch.audit.scorers.confident import Confident, require_cleanlab
from olrsearch.audit.scorers.contradictions import Contradictions
from olrsearch.audit.scorers.disagreement import Disagreement
from olrsearch.audit.scorers.identity import Identity
from olrsearch.audit.scorers.likelihood import Likelihood
from olrsearch.audit.scorers.neighbours import NeighbourVote
from olrsearch.audit.scorers.other_labels import OtherLabels
from olrsearch.audit.scorers.probability import Probability
from olrsearch.audit.scorers.twins import Twins
from olrsearch.core.errors import AuditError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from olrsearch.audit.scorers.protocol import Scorer

SCORERS: Final[Mapping[str, Callable[[Probability], Scorer]]] = {
    "probability": lambda shared: shared,
    "other-labels": lambda _: OtherLabels(),
    "neighbours": lambda _: NeighbourVote(),
    "likelihood": lambda _: Likelihood(),
    "identity": lambda _: Identity(),
    "twins": lambda _: Twins(),
    "contradictions": lambda _: Contradictions(),
    "disagreement": Disagreement,
    "cleanlab": Confident,
}
"""How each is made, given the probabilities that two of them build on."""

DEFAULT: Final = (
    "probability",
    "other-labels",
    "neighbours",
    "likelihood",
    "identity",
    "twins",
    "contradictions",
)
"""Those that an audit asks unless told otherwise: what added nothing when measured is left out."""


def make_scorers(names: Sequence[str] | None = None) -> tuple[Scorer, ...]:
    """Scorers by their names, in the order they run.

    Two that build on the same other scorer share it, and its evidence is computed once.

    Args:
        names: Which; the default ones when None.

    Raises:
        AuditError: no scorer has this name, one is named twice, or none is named.
        OptionalDependencyError: one that is named needs a package that is not installed.
    """
    wanted = DEFAULT if names is None else tuple(names)
    for name in wanted:
        if name not in SCORERS:
            raise AuditError(f"no scorer is called {name!r}; there are {', '.join(SCORERS)}")
    if not wanted or len(set(wanted)) < len(wanted):
        raise AuditError(f"expected each scorer once and at least one, found {', '.join(wanted) or 'none'}")
    if "cleanlab" in wanted:
        require_cleanlab()
    shared = Probability()
    return tuple(make(shared) for name, make in SCORERS.items() if name in wanted)
