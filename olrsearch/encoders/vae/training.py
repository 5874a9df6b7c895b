"""Training a variational encoder: network, learned words, model folder.

A run's folder:

```
<kind>.json               see `trainer.run.open_run`
seen.npy                  what is seen of the images, while it runs; see `seeing`
bound/                    last.ckpt while it runs; metrics.jsonl; weights.safetensors and, when
                          it is finished, result.json
```

Notation: N images, L labels, n numbers that are seen of an image, d dimensions, H × W pixels.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from olrsearch.core.errors import TrainingError
from olrsearch.encoders.trainer.data import PixelBatches, StageData, derived_seed
from olrsearch.encoders.trainer.run import open_run, trained
from olrsearch.encoders.trainer.runner import run_stage
from olrsearch.encoders.trunks.taken import read_trunk, take_trunk
from olrsearch.encoders.vae import encoder as vae_encoder
from olrsearch.encoders.vae.network import Features, VaeNetwork
from olrsearch.encoders.vae.objectives import OBJECTIVES
from olrsearch.encoders.vae.seeing import NAME, see_all
from olrsearch.encoders.vae.stage import VaeStage
from olrsearch.encoders.vae.words import label_inputs, label_map
from olrsearch.encoders.words.learned import LearnedWords, fit_learned_words
from olrsearch.encoders.words.vocabulary import Vocabulary

if TYPE_CHECKING:
    from olrsearch.core.arrays import F32, F64, I8, Bool
    from olrsearch.encoders.trainer.run import Trained, TrainingImages
    from olrsearch.encoders.vae.config import VaeConfig

_CHUNK = 4096


def train_vae(
    images: TrainingImages,
    config: VaeConfig,
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
        config: What to train, and by which objective.
        run_dir: The run's folder; created when absent.
        model_root: The model is written to `model_root/<fingerprint>/`.
        source: A model folder whose trunk sees the images, where the configuration starts from another
            encoder.
        resume: Go on with the run in `run_dir`.
        progress: Show a progress bar on standard error.

    Returns:
        With the metrics `bound` and `map`, of one label an image `accuracy` too, and the stage `bound`.

    Raises:
        TrainingError: arrays that do not fit, or labels that the objective cannot learn; no run to
            resume, or one of another configuration or data; a run that is there already; a trunk that
            does not fit; training that diverges.
        WordVectorsError: see `words.label_inputs`.
        KeyboardInterrupt: interrupted; the message says how far the run is.
    """
    run_dir, model_root = Path(run_dir), Path(model_root)
    images.check(config)
    images.label_frequencies(config)
    one = has_one_label(images, config)
    inputs = label_inputs(config)
    if (source is None) != (not config.start_from):
        raise TrainingError("start_from and the model folder of the trunk belong together: give both or none")
    open_run(run_dir, config, images, resume=resume)
    # Callers keep their own random state.
    with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
        torch.manual_seed(derived_seed(config.seed, 0))
        vectors = torch.tensor(inputs.vectors, dtype=torch.float32)
        network = VaeNetwork(config, vectors, OBJECTIVES[config.kind].parts)
        if isinstance(network.seen, Features) and source is not None:
            take_trunk(network.seen.trunk, network.seen.normalise, read_trunk(Path(source), config))
        seen = see_all(network.seen, images.pixels, images.train, run_dir)
        train, selection = (
            PixelBatches(seen, images.labels, rows) for rows in (images.train, images.selection)
        )
        result = run_stage(
            VaeStage(config, network.train(), one=one),
            StageData(train, selection, config, 0),
            run_dir / "bound",
            "bound",
            config.epochs,
            progress=progress,
        )
    network.load_state_dict(result.state)
    known = label_map(network, config)
    if one and config.label_gaussians == "learned":
        learned = LearnedWords.of_map(known)
    else:
        points = image_means(network, seen[images.train])
        learned = fit_learned_words(
            points, images.labels[images.train], config.labels, absent=not one, label_map=known
        )
    vocabulary = Vocabulary.of_learned(config.labels, learned, words=inputs.table, table=inputs.entries)
    path = vae_encoder.save(model_root, config, network, vocabulary)
    (run_dir / NAME).unlink()
    names = ("bound", "map", "accuracy") if one else ("bound", "map")
    return trained(path, {name: result.best[f"selection_{name}"] for name in names}, bound=result)


def has_one_label(images: TrainingImages, config: VaeConfig) -> bool:
    """Whether each image has exactly one label.

    Raises:
        TrainingError: the configuration says so and it is not so, there is but one label, or no training
            image shows one of them, or of many labels all do.
    """
    if len(config.labels) < 2:
        raise TrainingError(
            f"one label ({config.labels[0]}) alone leaves nothing to tell apart: expected two or more; "
            "import images of another class too"
        )
    shown: Bool = np.any(images.labels[images.train] > 0, axis=0)
    if not shown.all():
        kept = [name for name, found in zip(config.labels, shown, strict=True) if found]
        never = [name for name, found in zip(config.labels, shown, strict=True) if not found]
        advice = f"train with --labels {','.join(kept)}" if len(kept) > 1 else "import images that do"
        raise TrainingError(f"no training image shows {', '.join(never)}: {advice}")
    labels = images.labels[np.concatenate([images.train, images.selection])]
    present: I8 = labels > 0
    counts = present.sum(axis=1)
    one = bool((counts == 1).all())
    if config.answer == "one" and not one:
        odd = int((counts != 1).sum())
        raise TrainingError(
            f"answer = 'one', but {odd} of {len(counts)} images have no present label or several: set "
            "answer=many, or leave it at auto"
        )
    if one and config.answer != "many":
        return True
    lacked: Bool = np.any(images.labels[images.train] < 0, axis=0)
    if not lacked.all():
        everywhere = [name for name, found in zip(config.labels, lacked, strict=True) if not found]
        raise TrainingError(
            f"no training image lacks {', '.join(everywhere)}: leave such labels out with --labels"
        )
    return False


def image_means(network: VaeNetwork, seen: F32) -> F64:
    """Means of images' Gaussians, float64 [N, d], of what is seen of them, float32 [N, n]."""
    with torch.inference_mode():
        parts = [
            network.of_images(torch.from_numpy(np.array(seen[start : start + _CHUNK]))).mean.numpy()
            for start in range(0, len(seen), _CHUNK)
        ]
    return np.concatenate(parts).astype(np.float64)
