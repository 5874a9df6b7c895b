"""Training one of the six auto-encoders: network, Gaussians of its words, model folder.

A run's folder:

```
<kind>.json       see `trainer.run.open_run`
points/           last.ckpt while it runs; metrics.jsonl; weights.safetensors and, when it is
                  finished, result.json
```

Notation: N images, L labels, d dimensions.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
import torch

from olrsearch.encoders.atnl import encoder as auto_encoders
from olrsearch.encoders.atnl.config import AaeConfig, AcaiConfig, several_an_image
from olrsearch.encoders.atnl.network import AutoEncoder, MixtureCritic, PointCritic
from olrsearch.encoders.atnl.objectives.aae import aae_losses
from olrsearch.encoders.atnl.objectives.acai import acai_losses
from olrsearch.encoders.atnl.objectives.ae import ae_losses
from olrsearch.encoders.atnl.objectives.atnl import atnl_losses
from olrsearch.encoders.atnl.objectives.vae import vae_losses
from olrsearch.encoders.atnl.objectives.vae_tl import vae_tl_losses
from olrsearch.encoders.atnl.stage import AutoEncoderStage
from olrsearch.encoders.trainer.data import derived_seed, to_planes
from olrsearch.encoders.trainer.run import open_run, trained
from olrsearch.encoders.trainer.runner import run_stage
from olrsearch.encoders.trunks.trunk import channels_last
from olrsearch.encoders.words.learned import fit_learned_words
from olrsearch.encoders.words.vocabulary import Vocabulary

if TYPE_CHECKING:
    from torch import Tensor, nn

    from olrsearch.core.arrays import F32, U8
    from olrsearch.encoders.atnl.config import AutoEncoderConfig
    from olrsearch.encoders.atnl.stage import Objective
    from olrsearch.encoders.trainer.run import Trained, TrainingImages

OBJECTIVES: Final[dict[str, Objective]] = {
    "aae": aae_losses,
    "acai": acai_losses,
    "ae": ae_losses,
    "atnl": atnl_losses,
    "vae": vae_losses,
    "vae-tl": vae_tl_losses,
}
"""What each kind minimises."""

_ENCODED: Final = 500
"""Images encoded at once where words get their Gaussians."""


def train_auto_encoder(
    images: TrainingImages,
    config: AutoEncoderConfig,
    run_dir: Path,
    model_root: Path,
    *,
    source: Path | None = None,
    resume: bool = False,
    progress: bool = True,
) -> Trained:
    """Train and write the model folder.

    A resumed run goes on from the last whole epoch.

    Args:
        images: What to learn from.
        config: What to train; its kind says by which objective.
        run_dir: The run's folder; created when absent.
        model_root: The model is written to `model_root/<fingerprint>/`.
        source: None: these encoders start anew.
        resume: Go on with the run in `run_dir`.
        progress: Show a progress bar on standard error.

    Returns:
        With the metrics of `AutoEncoderStage.evaluate`, and the stage `points`.

    Raises:
        TrainingError: arrays that do not fit; labels without order, or too few examples; no run to
            resume, or one of another configuration or data; a run that is there already; training
            that diverges.
        KeyboardInterrupt: interrupted; the message says how far the run is.
    """
    del source
    run_dir, model_root = Path(run_dir), Path(model_root)
    images.check(config)
    config.check_labels(images.labels[images.train])
    open_run(run_dir, config, images, resume=resume)
    # Callers keep their own random state.
    with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
        torch.manual_seed(derived_seed(config.seed, 0))
        normalisation = images.statistics()
        network = channels_last(AutoEncoder(config, *normalisation, critic_of(config, *normalisation)))
        result = run_stage(
            AutoEncoderStage(config, network, OBJECTIVES[config.kind]),
            images.stage(config, 0),
            run_dir / "points",
            "auto-encoder",
            config.epochs,
            progress=progress,
        )
    network.load_state_dict(result.state)
    path = auto_encoders.save(model_root, config, network, _words(config, network, images))
    metrics = {
        name.removeprefix("selection_"): value
        for name, value in result.best.items()
        if name.startswith("selection_")
    }
    return trained(path, metrics, points=result)


def critic_of(config: AutoEncoderConfig, mean: Tensor, std: Tensor) -> nn.Module | None:
    """What plays against the encoder; None where nothing does."""
    if isinstance(config, AaeConfig):
        return PointCritic(config.size, config.critic_hidden)
    return MixtureCritic(config, mean, std) if isinstance(config, AcaiConfig) else None


def _words(config: AutoEncoderConfig, network: AutoEncoder, images: TrainingImages) -> Vocabulary:
    """The labels as words: Gaussians of the training images that show them, and of those that do not."""
    labels = images.labels[images.train]
    points = np.concatenate(
        [
            _points(config, network, images.pixels[images.train[start : start + _ENCODED]])
            for start in range(0, len(images.train), _ENCODED)
        ]
    )
    learned = fit_learned_words(points, labels, config.labels, absent=several_an_image(labels))
    return Vocabulary.of_learned(config.labels, learned)


def _points(config: AutoEncoderConfig, network: AutoEncoder, pixels: U8) -> F32:
    """The points, or means, of some images: uint8 [n, H, W, 3] → float32 [n, d]."""
    device = next(network.parameters()).device
    with torch.inference_mode():
        planes = to_planes(torch.from_numpy(np.array(pixels)).to(device))
        numbers: F32 = network.eval()(planes).cpu().numpy()
    return auto_encoders.to_posteriors(type(config), numbers).mean
