"""What a check of a store found damaged."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Problem:
    """Damage.

    Attributes:
        code: Stable name for programs: `segment`, `metadata`, `model`, `index`, `embeddings`,
            `labels`, `audit`, `run`, `source-changed`.
        message: One line for people.
    """

    code: str
    message: str
