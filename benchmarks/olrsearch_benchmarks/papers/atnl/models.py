"""The encoders that are measured: trained once into a folder, and opened from there ever after."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final, cast

from olrsearch.core.files import write_whole
from olrsearch.encoders import registry
from olrsearch.encoders.trainer.run import has_run

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from olrsearch.encoders.protocol import PosteriorEncoder
    from olrsearch_benchmarks.papers.atnl.digits import SplitDigits

KINDS: Final = ("ae", "vae", "aae", "acai", "vae-tl", "atnl")
"""As paper 002's table 1 and figure 6 have them."""

_DONE: Final = "trained.json"


def trained_encoder(
    kind: str,
    digits: SplitDigits,
    folder: Path,
    seed: int,
    *,
    settings: Mapping[str, str] | None = None,
    seen: tuple[int, ...] = tuple(range(10)),
    name: str = "",
) -> PosteriorEncoder:
    """An encoder of a kind.

    Args:
        kind: One of `KINDS`.
        digits: What it learns from.
        folder: Where runs are kept; one that was interrupted goes on.
        seed: Of the run.
        settings: Changes of the profile `digits`.
        seen: The digits whose labels it is told.
        name: Of the run's folder; of the kind and the seed when empty.
    """
    run = folder / (name or f"{kind}-{seed}")
    done = run / _DONE
    if not done.is_file():
        names = tuple(f"Digit_{number}" for number in seen)
        order = {"order": ",".join(names)} if kind == "atnl" else {}
        config = registry.config_class(kind).of_profile("digits", names)
        config = config.with_overrides({**order, "seed": str(seed), **(settings or {})})
        found = registry.trainer(kind)(
            digits.training_images(seen),
            config,
            run,
            run,
            source=None,
            resume=has_run(run, kind),
            progress=False,
        )
        record: dict[str, Any] = {
            "fingerprint": found.fingerprint,
            "metrics": found.metrics,
            "seconds": found.seconds,
        }
        write_whole(done, json.dumps(record, indent=1).encode())
    fingerprint = str(json.loads(done.read_text(encoding="utf-8"))["fingerprint"])
    return cast("PosteriorEncoder", registry.load(run / fingerprint))
