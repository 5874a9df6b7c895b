"""Training an informed-prior encoder: network, model folder.

A run's folder:

```
informed-prior.json       see `trainer.run.open_run`
posterior/                last.ckpt while it runs; metrics.jsonl; weights.safetensors and, when
                          it is finished, result.json
```

Notation: N images, L labels, d dimensions, H × W pixels.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, cast

import torch

from olrsearch.core.errors import TrainingError
from olrsearch.encoders.informed_prior import encoder as informed_prior_encoder
from olrsearch.encoders.informed_prior.config import ONE_HOT
from olrsearch.encoders.informed_prior.network import InformedPriorNetwork
from olrsearch.encoders.informed_prior.stage import InformedPriorStage
from olrsearch.encoders.trainer.data import derived_seed
from olrsearch.encoders.trainer.run import open_run, trained
from olrsearch.encoders.trainer.runner import run_stage
from olrsearch.encoders.trunks.taken import read_trunk, take_trunk
from olrsearch.encoders.trunks.trunk import channels_last, expected_colours, start_trunk
from olrsearch.encoders.words.label_words import read_label_words
from olrsearch.encoders.words.vectors import WordVectors
from olrsearch.encoders.words.vocabulary import Vocabulary

if TYPE_CHECKING:
    from olrsearch.encoders.informed_prior.config import InformedPriorConfig
    from olrsearch.encoders.trainer.run import Trained, TrainingImages
    from olrsearch.encoders.words.lift import Transform


def make_vocabulary(config: InformedPriorConfig) -> Vocabulary:
    """The vectors of a configuration's labels.

    Raises:
        WordVectorsError: the table of word vectors cannot be read, or knows no word of a label.
        TrainingError: another dimension is asked for than words can have.
    """
    if config.words == ONE_HOT:
        if config.size not in {0, len(config.labels)}:
            raise TrainingError(
                f"size = {config.size}: one-hot words have a dimension each, here {len(config.labels)}; "
                "leave size at 0"
            )
        return Vocabulary.one_hot(config.labels)
    table = WordVectors.open(config.words)
    return Vocabulary.of_table(
        config.labels,
        table,
        table=read_label_words(config.label_words) if config.label_words else None,
        kind=cast("Transform", config.transform),
        size=config.size or None,
    )


def train_informed_prior(
    images: TrainingImages,
    config: InformedPriorConfig,
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
        images: What to learn from: an image's words are its present labels.
        config: What to train.
        run_dir: The run's folder; created when absent.
        model_root: The model is written to `model_root/<fingerprint>/`.
        source: A model folder whose trunk and normalisation are taken, where the configuration
            starts from another encoder.
        resume: Go on with the run in `run_dir`.
        progress: Show a progress bar on standard error.

    Returns:
        With the metrics `map` of describing and `set_match`, and the stage `posterior`.

    Raises:
        TrainingError: arrays that do not fit; no run to resume, or one of another configuration or
            data; a run that is there already; a trunk that does not fit; training that diverges.
        WordVectorsError: see `make_vocabulary`.
        KeyboardInterrupt: interrupted; the message says how far the run is.
    """
    run_dir, model_root = Path(run_dir), Path(model_root)
    images.check(config)
    images.label_frequencies(config)
    vocabulary = make_vocabulary(config)
    started = None if source is None else read_trunk(Path(source), config)
    if (source is None) != (not config.start_from):
        raise TrainingError("start_from and the model folder of the trunk belong together: give both or none")
    open_run(run_dir, config, images, resume=resume)
    # Callers keep their own random state.
    with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
        torch.manual_seed(derived_seed(config.seed, 0))
        normalisation = expected_colours() if config.pretrained else images.statistics()
        network = channels_last(InformedPriorNetwork(config, vocabulary.size, *normalisation))
        start_trunk(network.encoder.trunk, pretrained=config.pretrained)
        if started is not None:
            take_trunk(network.encoder.trunk, network.encoder.normalise, started)
        result = run_stage(
            InformedPriorStage(config, network, vocabulary.vectors),
            images.stage(config, 0),
            run_dir / "posterior",
            "posteriors",
            config.epochs,
            progress=progress,
        )
    network.load_state_dict(result.state)
    if started is not None and config.freeze_trunk:
        # The moving average keeps its values, but not the sign of zeros: tensors are shared bit by bit.
        take_trunk(network.encoder.trunk, network.encoder.normalise, started)
    path = informed_prior_encoder.save(model_root, config, network, vocabulary)
    metrics = {name: result.best[f"selection_{name}"] for name in ("map", "set_match")}
    return trained(path, metrics, posterior=result)
