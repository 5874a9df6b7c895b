"""Every scorer by its name, in the order they run: a new one is a module beside this one and a line here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from olrsearch.audit.scorers.contradictions import Contradictions
from olrsearch.audit.scorers.identity import Identity
from olrsearch.audit.scorers.likelihood import Likelihood
from olrsearch.audit.scorers.neighbours import NeighbourVote
from olrsearch.audit.scorers.other_labels import OtherLabels
from olrsearch.audit.scorers.probability import Probability
from olrsearch.audit.scorers.retired import retired_notes
from olrsearch.audit.scorers.twins import Twins
from olrsearch.core.errors import AuditError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from olrsearch.audit.scorers.protocol import Scorer

SCORERS: Final[Mapping[str, Callable[[], Scorer]]] = {
    "probability": Probability,
    "other-labels": OtherLabels,
    "neighbours": NeighbourVote,
    "likelihood": Likelihood,
    "identity": Identity,
    "twins": Twins,
    "contradictions": Contradictions,
}
"""How each is made; an audit asks all of them unless told otherwise."""


def make_scorers(names: Sequence[str] | None = None) -> tuple[Scorer, ...]:
    """Scorers by their names, in the order they run.

    Args:
        names: Which; all when None.

    Raises:
        AuditError: no scorer has this name, or none has it any more, one is named twice, or none is named.
    """
    wanted = tuple(SCORERS) if names is None else tuple(names)
    for name in wanted:
        if name not in SCORERS:
            said = retired_notes([name]) or (f"no scorer is called {name!r}",)
            raise AuditError(f"{said[0]}; there are {', '.join(SCORERS)}")
    if not wanted or len(set(wanted)) < len(wanted):
        raise AuditError(f"expected each scorer once and at least one, found {', '.join(wanted) or 'none'}")
    return tuple(make() for name, make in SCORERS.items() if name in wanted)
