"""Label embeddings on features that lie ready: seconds to train, so that a fold can have its own.

A grouped head of one position: L groups of k numbers, ReLU, a linear readout of each group. It is trained by
the paper's loss on random pairs beside the readout's cross-entropy; the probabilities whose products the
inner products are to be come from the readout itself. Dropout on the features takes the place of occluded
images.

Notation: n images to train on, N images, L labels, k numbers a label, D features, B images in a batch.

Source: paper 001, section 3.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import lightning
import numpy as np
import torch
import torch.nn.functional as nnf
from torch import Tensor, nn
from torch.utils.data import BatchSampler, DataLoader, RandomSampler, TensorDataset

from olrsearch.core.errors import TrainingError
from olrsearch.encoders.olr.losses import draw_partners, label_loss, random_pairs_loss
from olrsearch.encoders.trainer.runner import interruptible, quiet_lightning

if TYPE_CHECKING:
    from olrsearch.core.arrays import F32, I8

EPOCHS: Final = 4
BATCH: Final = 256
LEARNING_RATE: Final = 1e-3
WEIGHT_DECAY: Final = 0.1
DROPOUT: Final = 0.25
PAIRS: Final = 0.2
"""Weight of the paper's loss beside the readout's cross-entropy."""

_READOUT_FASTER: Final = 10.0
_SELF_PRODUCT: Final = 0.25
_SOFTENED: Final = 60
"""The component by which small ones are measured: those below it are not raised to full variance."""


@dataclass(frozen=True, slots=True, eq=False)
class FrozenHeads:
    """A trained head.

    Attributes:
        scale: float32 [D], what features are multiplied by first.
        weight: float32 [D, L, k].
        bias: float32 [L, k].
        readout: float32 [L, k].
        offset: float32 [L].
    """

    scale: F32
    weight: F32
    bias: F32
    readout: F32
    offset: F32

    def embeddings(self, features: F32, label: int) -> F32:
        """e^l of images, float32 [N, k] ≥ 0, from features float32 [N, D]."""
        out: F32 = features @ (self.scale[:, None] * self.weight[:, label]) + self.bias[label]
        return np.maximum(out, np.float32(0), out=out)

    def logits(self, features: F32, label: int) -> F32:
        """The readout of one label, float32 [N]."""
        out: F32 = self.embeddings(features, label) @ self.readout[label] + self.offset[label]
        return out


def train_frozen_heads(
    features: F32, labels: I8, *, size: int = 32, epochs: int = EPOCHS, seed: int = 0
) -> FrozenHeads:
    """Train a head on features and labels of n images.

    Args:
        features: float32 [n, D], components by falling variance; not changed.
        labels: int8 [n, L], −1 absent, 0 unknown, +1 present; unknown ones are no targets.
        size: k.
        epochs: Passes over the images.
        seed: Of weights, order, dropout and pairs.

    Raises:
        TrainingError: fewer than two images, labels of other ones, or features that are not finite.
        KeyboardInterrupt: interrupted.
    """
    if len(features) < 2 or len(features) != len(labels):
        raise TrainingError(
            f"features of {len(features)} images and labels of {len(labels)} to train heads on; expected at "
            "least 2 of both"
        )
    if not np.isfinite(features).all():
        raise TrainingError("features to train heads on hold NaN or infinities: compute them again")
    scale = _soft_whitening(features)
    inputs = torch.from_numpy(features * scale)
    with torch.random.fork_rng(devices=[]), quiet_lightning():
        torch.manual_seed(seed)
        module = _Heads(inputs, labels, size, epochs)
        data = TensorDataset(inputs, torch.tensor(labels))
        batches = BatchSampler(RandomSampler(data), min(BATCH, len(data)), drop_last=True)
        trainer = lightning.Trainer(
            accelerator="cpu",
            max_epochs=epochs,
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
        )
        with interruptible(trainer, lambda: "interrupted while training heads"):
            trainer.fit(module, DataLoader(data, sampler=batches, batch_size=None))
    with torch.inference_mode():
        found = [value.detach().numpy().copy() for value in module.parameters()]
    weight, bias, readout, offset = found
    return FrozenHeads(scale, weight.reshape(len(weight), *readout.shape), bias, readout, offset)


class _Heads(lightning.LightningModule):
    """Weight [D, L·k], bias [L, k], readout [L, k] and offset [L], in this order."""

    def __init__(self, inputs: Tensor, labels: I8, size: int, epochs: int) -> None:
        super().__init__()
        count = labels.shape[1]
        weight = torch.randn(inputs.shape[1], count * size)
        # Start with inner products of the size of joint probabilities, as the grouped head does.
        products = (inputs[:2048] @ weight).relu().square().mean() * size
        self.weight = nn.Parameter(weight * (_SELF_PRODUCT / products.clamp(min=1e-12)).sqrt())
        self.bias = nn.Parameter(torch.zeros(count, size))
        self.readout = nn.Parameter(torch.randn(count, size) * 0.3)
        known = np.maximum(1, (labels != 0).sum(axis=0))
        share = torch.from_numpy(((labels > 0).sum(axis=0) / known).astype(np.float32))
        self.offset = nn.Parameter(torch.logit(share.clamp(1e-3, 1 - 1e-3)))
        self._steps = epochs * (len(inputs) // min(BATCH, len(inputs)))

    def training_step(self, batch: list[Tensor], _: int) -> Tensor:
        """Cross-entropy of the readout and the paper's loss on random pairs."""
        inputs, labels = batch
        inner = nnf.dropout(inputs, DROPOUT) @ self.weight
        embeddings = torch.relu(inner.reshape(len(inputs), *self.bias.shape) + self.bias)
        logits = (embeddings * self.readout).sum(dim=2) + self.offset
        partners = draw_partners(len(inputs), torch.default_generator)
        pairs = random_pairs_loss(embeddings, torch.sigmoid(logits.detach()), partners)
        return label_loss(logits, labels) + PAIRS * pairs

    def configure_optimizers(self) -> Any:  # noqa: ANN401 - as Lightning has it
        """AdamW and one cycle of its rate; only the head's weight decays."""
        fast = LEARNING_RATE * _READOUT_FASTER
        optimizer = torch.optim.AdamW(
            [
                {"params": [self.weight], "lr": LEARNING_RATE, "weight_decay": WEIGHT_DECAY},
                {"params": [self.bias], "lr": LEARNING_RATE, "weight_decay": 0.0},
                {"params": [self.readout, self.offset], "lr": fast, "weight_decay": 0.0},
            ]
        )
        schedule = torch.optim.lr_scheduler.OneCycleLR(
            optimizer, [LEARNING_RATE, LEARNING_RATE, fast], total_steps=max(2, self._steps)
        )
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


def _soft_whitening(features: F32) -> F32:
    """Factors that give large components unit variance and small ones less, float32 [D]."""
    deviation = features.std(axis=0, dtype=np.float64)
    reference = np.sort(deviation)[::-1][min(_SOFTENED, len(deviation) - 1)]
    whole = 1.0 / np.maximum(deviation, 1e-12)
    softened = np.minimum(1.0, np.sqrt(deviation / max(float(reference), 1e-12)))
    return np.where(deviation > 0, whole * softened, 0.0).astype(np.float32)
