"""Models of the comparison, trained by the program's own trainer and kept in a folder."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from typing import TYPE_CHECKING, Final

from olrsearch.core.errors import ModelFileError
from olrsearch.core.files import write_whole
from olrsearch.encoders.folder.model_config import read_config
from olrsearch.encoders.folder.model_files import read_tensors
from olrsearch.encoders.trainer.run import has_run
from olrsearch.encoders.vae.config import (
    CvaeConfig,
    JmvaeConfig,
    PseConfig,
    PseStarConfig,
    ScanConfig,
    TrelboConfig,
    VaeConfig,
)
from olrsearch.encoders.vae.encoder import open_network
from olrsearch.encoders.vae.training import train_vae

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from olrsearch.encoders.vae.network import VaeNetwork
    from olrsearch_benchmarks.papers.pse.digits import Digits

MODELS: Final[dict[str, type[VaeConfig]]] = {
    one.kind: one for one in (CvaeConfig, JmvaeConfig, TrelboConfig, ScanConfig, PseConfig, PseStarConfig)
}
"""By kind, in the order of the paper's tables."""

_MADE: Final = "model.json"


def model_config(
    digits: Digits,
    kind: str,
    size: int,
    words: str,
    seed: int,
    *,
    literal: bool = False,
    settings: Mapping[str, str] | None = None,
) -> VaeConfig:
    """How a model is trained.

    Args:
        digits: The data set; its class names are the labels.
        kind: A name of `MODELS`.
        size: d.
        words: 'one-hot' or 'glove'.
        seed: Of its training.
        literal: The paper's 2,000 steps at one rate rather than the profile of digits.
        settings: Further settings, as text.

    Raises:
        TrainingError: a setting that the kind does not have, or out of range.
    """
    of_kind = MODELS[kind]
    chosen = of_kind.of_profile("literal" if literal else "digits", digits.labels)
    chosen = chosen.with_overrides(settings or {})
    # Both kinds of Gaussians are measured, whichever the model keeps.
    return dataclasses.replace(chosen, size=size, words=words, seed=seed, label_gaussians="learned")


def trained_network(digits: Digits, config: VaeConfig, folder: Path, *, progress: bool) -> VaeNetwork:
    """A trained model's network: of a finished run in a folder, or trained there, or trained on.

    Args:
        digits: What it learns from.
        config: How.
        folder: Runs are kept in it, each by its configuration.
        progress: Show a progress bar on standard error.
    """
    spelled = json.dumps([digits.name, config.to_dict()], sort_keys=True).encode()
    run = folder / f"{digits.name}-{config.kind}-{config.size}d-{hashlib.sha256(spelled).hexdigest()[:10]}"
    made = run / _MADE
    if not made.exists():
        found = train_vae(
            digits.training(),
            config,
            run,
            run / "models",
            resume=has_run(run, config.kind),
            progress=progress,
        )
        content = {"model": found.fingerprint, "seconds": found.seconds, "metrics": found.metrics}
        write_whole(made, json.dumps(content).encode())
    path = run / "models" / json.loads(made.read_text(encoding="utf-8"))["model"]
    try:
        return open_network(type(config), read_config(path), read_tensors(path)).eval()
    except (KeyError, TypeError, RuntimeError) as error:
        raise ModelFileError(f"{path} is no model of this version ({error}): delete {run}") from None
