"""Judges: classifiers trained apart, which say what a generated image shows.

MNIST: an MLP of 784-512-64-10 units, trained by whole epochs until it reads the validation images as
well as the paper's. Fashion-MNIST: a residual network, small enough for a CPU, in place of the paper's
ResNet-18.

Source: paper 003, sections 4.1 (98.09 % on training and 96.86 % on validation images) and 4.2 (94.5 %
and 92.4 %).
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
import torch
import torch.nn.functional as nnf
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from olrsearch.core.files import write_whole
from olrsearch.encoders.trunks.trunk import ResidualTrunk, channels_last
from olrsearch.encoders.vae.network import layers
from olrsearch_benchmarks.papers.pse.digits import SIDE, flat

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from olrsearch.core.arrays import F32, I64
    from olrsearch_benchmarks.papers.pse.digits import Digits

_SEED: Final = 7
_MLP_ENOUGH: Final = 0.966
_MLP_EPOCHS: Final = 12
_RESIDUAL_EPOCHS: Final = 6
_RATE: Final = 1e-3
_PEAK: Final = 6e-3
_BATCH: Final = 200
_CHUNK: Final = 2000
_WIDTH: Final = 20


class Residual(nn.Module):
    """Pixels [B, 784] → logits [B, 10]: a residual trunk of two stages, and the mean of its maps."""

    def __init__(self) -> None:
        super().__init__()
        self.trunk = ResidualTrunk("tiny", _WIDTH)
        self.last = nn.Linear(self.trunk.channels, 10)

    def forward(self, pixels: Tensor) -> Tensor:
        """See the class."""
        maps = self.trunk(pixels.reshape(-1, 1, SIDE, SIDE).expand(-1, 3, -1, -1))
        logits: Tensor = self.last(maps.mean(dim=(2, 3)))
        return logits


@dataclass(frozen=True, slots=True, eq=False)
class Judge:
    """A trained judge.

    Attributes:
        network: Pixels [B, 784], 0–1 → logits [B, 10].
        title: What it is.
        training: Its accuracy on the training images.
        validation: And on the validation images.
    """

    network: nn.Module
    title: str
    training: float
    validation: float

    def classes(self, pixels: Tensor) -> Tensor:
        """What it reads, int64 [B]."""
        with torch.inference_mode():
            return torch.cat([self.network(part).argmax(dim=1) for part in torch.split(pixels, _CHUNK)])


def open_judge(digits: Digits, folder: Path) -> Judge:
    """The judge of a data set: read from a folder, or trained into it.

    Args:
        digits: The data set.
        folder: Made when it is not there.
    """
    weights, said = folder / f"judge-{digits.name}.safetensors", folder / f"judge-{digits.name}.json"
    fashion = digits.name == "fashion"
    with torch.random.fork_rng():
        torch.manual_seed(_SEED)
        network: nn.Module = channels_last(Residual()) if fashion else layers(SIDE * SIDE, 512, 64, 10)
    title = "a residual network of two stages" if fashion else "an MLP of 784-512-64-10 units"
    if said.exists():
        network.load_state_dict(load_file(weights))
        found = json.loads(said.read_text(encoding="utf-8"))
        return Judge(network.eval(), title, found["training"], found["validation"])
    folder.mkdir(parents=True, exist_ok=True)
    images, train = digits.training(), len(digits.training().train)
    pixels, classes = flat(digits.images), digits.classes
    with torch.random.fork_rng():
        torch.manual_seed(_SEED + 1)
        epochs = (
            _fit_residual(network, pixels[:train], classes[:train])
            if fashion
            else _fit_mlp(network, pixels[:train], classes[:train])
        )
        for _ in epochs:
            judge = Judge(
                network.eval(),
                title,
                _accuracy(network, pixels[images.train], classes[images.train]),
                _accuracy(network, pixels[images.selection], classes[images.selection]),
            )
            if not fashion and judge.validation >= _MLP_ENOUGH:
                break
    save_file({name: value.contiguous() for name, value in network.state_dict().items()}, weights)
    figures = {"training": judge.training, "validation": judge.validation}
    write_whole(said, json.dumps(figures).encode())
    return judge


def _accuracy(network: nn.Module, pixels: F32, classes: I64) -> float:
    found = Judge(network, "", 0, 0).classes(torch.from_numpy(pixels))
    return float((found.numpy() == classes).mean())


def _fit_mlp(network: nn.Module, pixels: F32, classes: I64) -> Iterator[None]:
    """Adam at one rate, an epoch at a time."""
    optimizer = torch.optim.Adam(network.parameters(), lr=_RATE, fused=True)
    for _ in range(_MLP_EPOCHS):
        for rows in torch.split(torch.randperm(len(pixels)), _BATCH):
            _step(network, optimizer, torch.from_numpy(pixels[rows.numpy()]), classes[rows.numpy()])
        yield


def _fit_residual(network: nn.Module, pixels: F32, classes: I64) -> Iterator[None]:
    """AdamW on a one-cycle schedule, mirrored images among them; one turn after the last epoch."""
    network.train()
    optimizer = torch.optim.AdamW(network.parameters(), lr=_PEAK, weight_decay=0.05, fused=True)
    steps = -(-len(pixels) // _BATCH) * _RESIDUAL_EPOCHS
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, _PEAK, total_steps=steps + 1)
    for _ in range(_RESIDUAL_EPOCHS):
        for rows in torch.split(torch.randperm(len(pixels)), _BATCH):
            seen = torch.from_numpy(pixels[rows.numpy()]).reshape(-1, SIDE, SIDE)
            mirrored = torch.rand(len(rows), 1, 1) < 0.5
            seen = torch.where(mirrored, seen.flip(2), seen).flatten(1)
            _step(network, optimizer, seen, classes[rows.numpy()])
            schedule.step()
    yield


def _step(network: nn.Module, optimizer: torch.optim.Optimizer, pixels: Tensor, classes: I64) -> None:
    loss = nnf.cross_entropy(network(pixels), torch.from_numpy(np.asarray(classes)))
    optimizer.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]  # torch's
    optimizer.step()
