"""A classifier of digits that is trained apart: it reads what encoders decode.

Notation: n pictures.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
import torch
import torch.nn.functional as nnf
from safetensors.torch import load_file, save_file

from olrsearch.encoders.atnl.config import AeConfig
from olrsearch.encoders.atnl.network import PointNetwork
from olrsearch.encoders.trainer.data import augment, to_planes

if TYPE_CHECKING:
    from pathlib import Path

    from olrsearch.core.arrays import F32, I64, U8
    from olrsearch_benchmarks.papers.atnl.digits import Digits

_CLASSES: Final = 10
_BATCH: Final = 128
_RATE: Final = 3e-3
_READ: Final = 500
_WHITE: Final = 255.0


class Judge:
    """A small convolutional network on 28 × 28 pixels, the same that encoders begin with.

    Args:
        seed: Of its weights, order and shifts.
        width: Channels of its first layer.
    """

    def __init__(self, seed: int = 0, width: int = 12) -> None:
        self.seed = seed
        config = AeConfig.of_profile("digits", ["any"]).with_overrides({"width": str(width)})
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.network = PointNetwork(
                config, _CLASSES, torch.full((3,), _WHITE / 2), torch.full((3,), _WHITE / 2)
            )

    def fit(self, digits: Digits, *, steps: int, shift: int = 2, weight_decay: float = 0.01) -> Judge:
        """Train for some steps, on a one-cycle schedule; epochs as they come.

        Args:
            digits: Any number of images.
            steps: Batches.
            shift: Largest random shift, pixels.
            weight_decay: Of AdamW.
        """
        optimizer = torch.optim.AdamW(self.network.parameters(), lr=_RATE, weight_decay=weight_decay)
        schedule = torch.optim.lr_scheduler.OneCycleLR(
            optimizer, _RATE, total_steps=max(steps, 10), pct_start=0.2
        )
        rng = np.random.default_rng(self.seed)
        generator = torch.Generator().manual_seed(self.seed)
        order = np.empty(0, np.int64)
        self.network.train()
        for _ in range(steps):
            while len(order) < _BATCH:
                order = np.concatenate([order, rng.permutation(len(digits))])
            rows, order = order[:_BATCH], order[_BATCH:]
            pixels = torch.from_numpy(digits.pixels[rows])
            planes = to_planes(augment(pixels, flip=False, shift=shift, generator=generator))
            loss = nnf.cross_entropy(self.network(planes), torch.from_numpy(digits.classes[rows]))
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]  # torch's
            optimizer.step()
            schedule.step()
        self.network.eval()
        return self

    def probabilities(self, pixels: U8) -> F32:
        """Of each digit, float32 [n, 10]."""
        parts = []
        with torch.inference_mode():
            for start in range(0, len(pixels), _READ):
                planes = to_planes(torch.from_numpy(np.array(pixels[start : start + _READ])))
                parts.append(torch.softmax(self.network(planes), dim=1).numpy())
        return np.concatenate(parts) if parts else np.empty((0, _CLASSES), np.float32)

    def read(self, pixels: U8) -> I64:
        """The digit read in each picture, int64 [n]."""
        found: I64 = self.probabilities(pixels).argmax(axis=1).astype(np.int64)
        return found

    def save(self, file: Path) -> None:
        """Keep its weights."""
        save_file({name: value.contiguous() for name, value in self.network.state_dict().items()}, file)

    def load(self, file: Path) -> Judge:
        """Take weights that were kept."""
        self.network.load_state_dict(load_file(file))
        self.network.eval()
        return self


def judge_of(digits: Digits, folder: Path, *, steps: int) -> Judge:
    """The judge that a folder keeps; trained, and kept there, where it has none."""
    judge, file = Judge(seed=1000), folder / "judge.safetensors"
    if file.is_file():
        return judge.load(file)
    folder.mkdir(parents=True, exist_ok=True)
    judge.fit(digits, steps=steps).save(file)
    return judge
