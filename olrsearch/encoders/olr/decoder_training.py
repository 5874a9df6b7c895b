"""Training a decoder of label embeddings: standardisation, linear reconstruction, network.

A run's folder:

```
decoder.json              see `trainer.run.open_run`
decoder/                  last.ckpt while it runs; metrics.jsonl; weights.safetensors and, when it
                          is finished, result.json
```

Notation: N images, D = L · k numbers of an embedding, r components, H × W pixels.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from olrsearch.core.errors import TrainingError
from olrsearch.encoders.olr.decoder_file import DecoderFile, stored
from olrsearch.encoders.olr.decoder_network import DecoderNetwork
from olrsearch.encoders.olr.decoder_stage import DecoderStage
from olrsearch.encoders.trainer.data import PixelBatches, StageData, derived_seed
from olrsearch.encoders.trainer.run import open_run
from olrsearch.encoders.trainer.runner import run_stage
from olrsearch.encoders.trunks.trunk import channels_last
from olrsearch.maths.pictures import fit_ridge, principal_pictures, unseen_ridge

if TYPE_CHECKING:
    from pathlib import Path

    from olrsearch.core.arrays import F32, I64, U8
    from olrsearch.encoders.olr.decoder_config import DecoderConfig
    from olrsearch.encoders.olr.decoder_network import Prepare
    from olrsearch.encoders.trainer.runner import StageResult

_DIGEST_IMAGES = 64
_LEAST_DEVIATION = 0.1
"""Of the median deviation: numbers that hardly vary are not blown up to noise."""

_LEAST_SPREAD = 1e-6

METRICS = ("ssim", "psnr", "mse")


@dataclass(frozen=True, slots=True, eq=False)
class DecoderImages:
    """What a decoder learns from; nothing of it is changed.

    Attributes:
        pixels: uint8 [N, H, W, 3] of the configured size, perhaps memory-mapped.
        embeddings: float32 [N, D], theirs.
        train: int64 [n], rows to train on.
        selection: int64 [m], rows that choose the weights; none of them in `train`.
    """

    pixels: U8
    embeddings: F32
    train: I64
    selection: I64

    def check(self, config: DecoderConfig) -> None:
        """Refuse arrays that do not fit each other or the configuration.

        Raises:
            TrainingError: what does not fit, and what was expected.
        """
        shape = (len(self.pixels), len(config.labels) * config.k)
        if self.pixels.dtype != np.uint8 or self.pixels.shape[1:] != (*config.image_size, 3):
            raise TrainingError(
                f"pixels of type {self.pixels.dtype} and shape {self.pixels.shape}: expected uint8 [images, "
                f"{config.image_size[0]}, {config.image_size[1]}, 3]"
            )
        if self.embeddings.dtype != np.float32 or self.embeddings.shape != shape:
            raise TrainingError(
                f"embeddings of type {self.embeddings.dtype} and shape {self.embeddings.shape}: expected "
                f"float32 {shape}, those of the images by one encoder"
            )
        for name, rows, least in (("training", self.train, 2), ("selection", self.selection, 1)):
            if len(rows) < least:
                raise TrainingError(
                    f"{len(rows)} {name} images: expected {least} or more; import more images"
                )
        if len(np.intersect1d(self.train, self.selection)):
            raise TrainingError("images are both training and selection images: keep the two apart")

    def digest(self) -> str:
        """sha256 of what a run learns from: all rows, some evenly chosen images with their embeddings."""
        digest = hashlib.sha256(repr((self.pixels.shape, self.embeddings.shape)).encode())
        for rows in (self.train, self.selection):
            digest.update(np.ascontiguousarray(rows, np.int64).tobytes())
        chosen = self.train[:: max(1, len(self.train) // _DIGEST_IMAGES)]
        for array in (self.pixels, self.embeddings):
            digest.update(np.ascontiguousarray(array[chosen]).tobytes())
        return digest.hexdigest()


@dataclass(frozen=True, slots=True, eq=False)
class TrainedDecoder:
    """What a run made.

    Attributes:
        file: The decoder, to be written beside its encoder's model.
        metrics: Selection figures of the weights kept.
        seconds: Wall time of training, resumed parts added.
        history: One entry an epoch.
    """

    file: DecoderFile
    metrics: dict[str, float]
    seconds: float
    history: list[dict[str, float]]


def train_decoder_network(
    images: DecoderImages,
    config: DecoderConfig,
    run_dir: Path,
    *,
    resume: bool = False,
    progress: bool = True,
) -> TrainedDecoder:
    """Train a decoder.

    A resumed run goes on from the last whole epoch.

    Args:
        images: What to learn from.
        config: What to train.
        run_dir: The run's folder; created when absent.
        resume: Go on with the run in `run_dir`.
        progress: Show a progress bar on standard error.

    Raises:
        TrainingError: arrays that do not fit; no run to resume, or one of another configuration or data; a
            run that is there already; training that diverges.
        KeyboardInterrupt: interrupted; the message says how far the run is.
    """
    images.check(config)
    open_run(run_dir, config, images, resume=resume)
    # Callers keep their own random state.
    with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
        torch.manual_seed(derived_seed(config.seed, 0))
        network, weights = _begun(images, config)
        numbers = np.concatenate((images.embeddings, weights), axis=1)
        training, selection = (
            PixelBatches(images.pixels, numbers, rows) for rows in (images.train, images.selection)
        )
        result = run_stage(
            DecoderStage(config, channels_last(network)),
            StageData(training, selection, config, 0),
            run_dir / "decoder",
            "decoder",
            config.epochs,
            progress=progress,
        )
    return _made(result, images, config)


def _begun(images: DecoderImages, config: DecoderConfig) -> tuple[DecoderNetwork, F32]:
    """A network that knows the numbers' spread and the linear reconstruction, and the images' weights in it.

    Of training images the weights are by ridges that have not seen them: by the one that has they are
    better than of any other image, and a network would rely on that.

    Returns:
        The network, and float32 [N, r].
    """
    known, held = images.embeddings[images.train], images.embeddings[images.selection]
    basis = principal_pictures(images.pixels, images.train, config.rank, seed=config.seed)
    wanted = basis.coordinates(images.pixels[images.train])
    ridge = fit_ridge(known, wanted, held, basis.coordinates(images.pixels[images.selection]))
    network = DecoderNetwork(config, known.shape[1], len(basis.axes))
    with torch.no_grad():
        linear = network.linear
        for buffer, values in (
            (linear.weight, ridge.weight),
            (linear.bias, ridge.bias),
            (linear.mean, basis.mean),
            (linear.axes, basis.axes),
            (linear.spread, np.maximum(wanted.std(axis=0), _LEAST_SPREAD)),
        ):
            buffer.copy_(torch.from_numpy(values))
        if config.inputs != "plain":
            _prepare(network.prepare, known, ridge.strength)
    weights = ridge(images.embeddings)
    weights[images.train] = unseen_ridge(known, wanted, ridge.strength, seed=config.seed)
    return network, weights


def _prepare(prepare: Prepare, known: F32, damping: float) -> None:
    """Set how numbers are prepared.

    Args:
        prepare: Is changed.
        known: float32 [n, D], embeddings of training images.
        damping: What the ridge thinks too faint to use is not blown up.
    """
    deviation = known.std(axis=0, dtype=np.float64)
    varying = deviation[deviation > 0]
    floor = _LEAST_DEVIATION * float(np.median(varying)) if len(varying) else 1.0
    centre, scale = known.mean(axis=0, dtype=np.float64), 1 / np.maximum(deviation, floor)
    prepare.centre.copy_(torch.from_numpy(centre))
    prepare.scale.copy_(torch.from_numpy(scale))
    if prepare.turn is not None:
        standard = ((known - centre) * scale).astype(np.float32)
        variances, axes = np.linalg.eigh(standard.T @ standard / np.float32(len(standard)))
        prepare.turn.copy_(torch.from_numpy(axes / np.sqrt(np.maximum(variances, 0) + damping)))


def _made(result: StageResult, images: DecoderImages, config: DecoderConfig) -> TrainedDecoder:
    metrics = {name: result.best[f"selection_{name}"] for name in METRICS}
    tensors = stored({name: value.numpy() for name, value in result.state.items()})
    file = DecoderFile(config, tensors, len(images.train), len(images.selection), metrics)
    return TrainedDecoder(file, metrics, result.seconds, result.history)
