"""Objectives, a page each: what is minimised, and which parts of a network it needs.

Each module has `PARTS` and `losses(network, batch, config)`, nats an image; `loss` is what is minimised.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

from olrsearch.encoders.vae.objectives import cvae, jmvae, pse, pse_star, scan, trelbo

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    from olrsearch.encoders.vae.network import Part


class Objective(NamedTuple):
    """What is minimised.

    Attributes:
        parts: What it needs beside an image encoder, a label encoder and a decoder.
        losses: Of a network, a batch and the configuration; `loss` is minimised.
    """

    parts: frozenset[Part]
    losses: Callable[..., dict[str, Tensor]]


def _of(module: Any) -> Objective:  # noqa: ANN401 - a module
    return Objective(module.PARTS, module.losses)


OBJECTIVES: Final = {
    "cvae": _of(cvae),
    "jmvae": _of(jmvae),
    "pse": _of(pse),
    "pse-star": _of(pse_star),
    "scan": _of(scan),
    "trelbo": _of(trelbo),
}
"""By kind."""
