"""Scorers that audits no longer ask. Lists of audits name them, and load nothing that scorers need."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

RETIRED: Final[Mapping[str, str]] = {
    "disagreement": "it found errors hardly better than chance and added .004 to what the others find",
    "cleanlab": "it added .0003 to what the others find, and took .009 where errors go one way",
}
"""Scorers of earlier audits that are no longer asked, and what measuring P4 said of them."""


def retired_notes(names: Iterable[str]) -> tuple[str, ...]:
    """Says of scorers that are no longer asked why not; nothing of the others."""
    return tuple(
        f"the scorer {name} is no longer asked: {RETIRED[name]}" for name in names if name in RETIRED
    )
