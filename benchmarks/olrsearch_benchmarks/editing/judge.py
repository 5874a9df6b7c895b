"""Who says what a made picture shows: a network of its own that has seen neither encoder nor decoder.

It learns the labels of real training images alone, at the decoder's size. Decoders blur, so it learns from
blurred images as well: at random, each batch is smoothed by a Gaussian of up to `BLUR` of the picture's side.

Notation: B images in a batch, H × W pixels, L labels.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
import torch
import torch.nn.functional as nnf
from torch import Tensor, nn

from olrsearch.core.arrays import blocks_of
from olrsearch.core.errors import BenchmarkError
from olrsearch.encoders.trainer.distortion import jitter_colour
from olrsearch.encoders.trunks.trunk import channels_last

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from olrsearch.core.arrays import F32, I8, I64, U8

BLUR: Final = 0.04
"""Standard deviation of the strongest smoothing, of the picture's height: 3.5 of 88 pixels."""

READS: Final = 64
"""Pixels of height that it looks at: what is finer, decoders blur anyway."""

_SHIFT: Final = 0.05
_COLOUR: Final = 0.2
_RATE: Final = 4e-3
_BATCH: Final = 64
_READ: Final = 256


class JudgeNetwork(nn.Module):
    """Pixels 0–255 [B, 3, H, W] → logits [B, L]: convolutions, each with a batch normalisation and a ReLU.

    Args:
        count: L.
        width: Channels of the first.
    """

    def __init__(self, count: int, width: int = 24) -> None:
        super().__init__()
        sizes = [(3, width, 2), (width, 2 * width, 2), (2 * width, 2 * width, 1), (2 * width, 4 * width, 2)]
        sizes += [(4 * width, 4 * width, 1), (4 * width, 8 * width, 2)]
        layers: list[nn.Module] = []
        for before, after, stride in sizes:
            layers += [nn.Conv2d(before, after, 3, stride, 1, bias=False), nn.BatchNorm2d(after), nn.ReLU()]
        self.layers = nn.Sequential(*layers)
        # Where in the face something is matters: the last map is read place by place, on a grid of 3 × 3.
        self.places = nn.AdaptiveAvgPool2d(3)
        self.dropout = nn.Dropout(0.3)
        self.linear = nn.Linear(8 * width * 9, count)

    def forward(self, pixels: Tensor) -> Tensor:
        """Logits."""
        if pixels.shape[2] > READS:
            width = max(1, round(READS * pixels.shape[3] / pixels.shape[2]))
            pixels = nnf.interpolate(pixels, size=(READS, width), mode="bilinear", antialias=True)
        found = self.places(self.layers((pixels - 127.5) / 64.0))
        logits: Tensor = self.linear(self.dropout(found.flatten(1)))
        return logits


@dataclass(frozen=True, slots=True, eq=False)
class Judge:
    """A trained network, and where it says yes.

    Attributes:
        network: In its state for use.
        threshold: float32 [L], logits above which a label counts as there.
        size: (H, W) of the pictures it reads.
    """

    network: JudgeNetwork
    threshold: F32
    size: tuple[int, int]

    def logits(self, pictures: U8) -> F32:
        """Logits above the thresholds, float32 [m, L], of pictures uint8 [m, H, W, 3].

        Raises:
            BenchmarkError: pictures of another size.
        """
        if pictures.shape[1:] != (*self.size, 3):
            raise BenchmarkError(
                f"the judge reads pictures of {self.size} pixels, found {pictures.shape[1:3]}"
            )
        with torch.inference_mode():
            parts = [self.network(_planes(block)).numpy() for block in blocks_of(pictures, _READ)]
        return np.concatenate(parts) - self.threshold

    def save(self, path: Path) -> None:
        """Keep it, so that another run need not train it again."""
        torch.save(
            {"weights": self.network.state_dict(), "threshold": self.threshold.tolist(), "size": self.size},
            path,
        )

    @classmethod
    def read(cls, path: Path) -> Judge:
        """One that was kept."""
        kept = torch.load(path, weights_only=True)
        network = JudgeNetwork(len(kept["threshold"]))
        network.load_state_dict(kept["weights"])
        return cls(network.eval(), np.asarray(kept["threshold"], np.float32), tuple(kept["size"]))


def train_judge(
    pixels: U8,
    labels: I8,
    selection: I64,
    train: I64,
    *,
    epochs: int = 6,
    seed: int = 0,
    say: Callable[[str], None] = lambda _: None,
) -> Judge:
    """Train a judge on real images.

    Its thresholds are those at which as many selection images are found to have a label as have it: a label
    that is rare would hardly ever reach a probability of ½.

    Args:
        pixels: uint8 [N, H, W, 3], perhaps memory-mapped.
        labels: int8 [N, L], −1, 0 unknown, +1.
        selection: Rows that set the thresholds.
        train: Rows to learn from.
        epochs: How many.
        seed: Of weights, order and changes.
        say: Called with a line an epoch.

    Raises:
        BenchmarkError: no images to learn from.
    """
    if not len(train) or not len(selection):
        raise BenchmarkError("a judge learns from training images with labels, and none are there")
    torch.manual_seed(seed)
    network = channels_last(JudgeNetwork(labels.shape[1]))
    steps = epochs * math.ceil(len(train) / _BATCH)
    optimiser = torch.optim.AdamW(network.parameters(), lr=_RATE, weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, _RATE, steps, pct_start=0.2)
    rng, chance = np.random.default_rng([seed, 0x1D6E]), torch.Generator().manual_seed(seed)
    for epoch in range(epochs):
        began, total = time.perf_counter(), 0.0
        network.train()
        for rows in blocks_of(rng.permutation(train), _BATCH):
            planes = _changed(_planes(pixels[np.sort(rows)]), chance)
            asked = torch.from_numpy(labels[np.sort(rows)].astype(np.float32))
            losses = nnf.binary_cross_entropy_with_logits(network(planes), (asked + 1) / 2, reduction="none")
            loss = (losses * asked.abs()).mean()
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]  # torch does not say
            optimiser.step()
            schedule.step()
            total += loss.item() * len(rows)
        took = time.perf_counter() - began
        say(f"judge: epoch {epoch + 1} of {epochs}, loss {total / len(train):.4f}, {took:.0f} s")
    judge = Judge(network.eval(), np.zeros(labels.shape[1], np.float32), pixels.shape[1:3])
    found = judge.logits(np.asarray(pixels[selection]))
    return Judge(network, _thresholds(found, labels[selection]), judge.size)


def balanced_accuracy(logits: F32, labels: I8) -> F32:
    """Mean of the shares right among images with a label and without it, float32 [L]; NaN without either."""
    out = np.full(labels.shape[1], np.nan, np.float32)
    for label in range(labels.shape[1]):
        present, absent = labels[:, label] > 0, labels[:, label] < 0
        if present.any() and absent.any():
            right = (logits[present, label] > 0).mean() + (logits[absent, label] <= 0).mean()
            out[label] = right / 2
    return out


def _thresholds(logits: F32, labels: I8) -> F32:
    """Where as many images lie above as have the label, float32 [L]; 0 for a label that all or none have."""
    out = np.zeros(labels.shape[1], np.float32)
    for label in range(labels.shape[1]):
        known = labels[:, label] != 0
        share = float((labels[known, label] > 0).mean()) if known.any() else 0.0
        if 0 < share < 1:
            out[label] = np.quantile(logits[known, label], 1 - share)
    return out


def _planes(pictures: U8) -> Tensor:
    planes: Tensor = torch.from_numpy(np.ascontiguousarray(pictures)).permute(0, 3, 1, 2).float()
    return planes


def _changed(planes: Tensor, chance: torch.Generator) -> Tensor:
    """A batch mirrored, shifted, coloured and smoothed at random."""
    height, width = planes.shape[2:]
    mirrored = torch.rand(len(planes), 1, 1, 1, generator=chance) < 0.5
    planes = torch.where(mirrored, planes.flip(3), planes)
    most = max(1, round(_SHIFT * height))
    padded = nnf.pad(planes, (most, most, most, most), mode="replicate")
    top, left = torch.randint(0, 2 * most + 1, (2,), generator=chance).tolist()
    planes = padded[:, :, top : top + height, left : left + width]
    planes = jitter_colour(planes, strength=_COLOUR, generator=chance)
    deviation = float(torch.rand(1, generator=chance)) * BLUR * height
    return smoothed(planes, deviation).contiguous(memory_format=torch.channels_last)


def smoothed(planes: Tensor, deviation: float) -> Tensor:
    """Images under a Gaussian, float [B, 3, H, W]; edges are repeated.

    Args:
        planes: Not changed.
        deviation: Of the Gaussian, pixels; below a third of one nothing changes.
    """
    if deviation < 1 / 3:
        return planes
    reach = math.ceil(3 * deviation)
    weights = torch.exp(-0.5 * (torch.arange(-reach, reach + 1) / deviation) ** 2)
    weights = (weights / weights.sum()).to(planes).expand(3, 1, 1, -1)
    padded = nnf.pad(planes, (reach, reach, reach, reach), mode="replicate")
    across = nnf.conv2d(padded, weights, groups=3)
    return nnf.conv2d(across, weights.transpose(2, 3), groups=3)
