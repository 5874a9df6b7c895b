"""A measured figure beside what it must reach and what a paper reports."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Measured:
    """One figure.

    Attributes:
        metric: What was measured.
        value: The figure; NaN where it could not be measured.
        target: What it must reach at least; None where there is nothing to reach.
        passed: Whether it does; None without a target, or where there is no value.
        unit: `share`, `difference`, `nats` or `images`.
        seed: Of everything random in it.
        paper: What the paper reports; None where it gives no figure.
    """

    metric: str
    value: float
    target: float | None
    passed: bool | None
    unit: str
    seed: int
    paper: float | None = None

    @classmethod
    def of(
        cls,
        metric: str,
        value: float,
        target: float | None = None,
        *,
        seed: int,
        unit: str = "share",
        paper: float | None = None,
    ) -> Measured:
        """A figure, judged by its target."""
        number = float(value)
        judged = None if target is None or number != number else number >= target  # noqa: PLR0124 - NaN
        return cls(metric, number, target, judged, unit, seed, paper)
