"""Pixels to batches: order and augmentation are functions of seed, stage, epoch and batch alone.

So a resumed run sees exactly what the uninterrupted one would have seen, and no
state of a random generator needs to be saved.

Notation: N images, L labels, B images in a batch, H × W pixels.
"""

from __future__ import annotations

import mmap
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from lightning.pytorch import LightningDataModule
from torch.utils.data import DataLoader, Dataset, Sampler

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from torch import Generator, Tensor

    from olrsearch.core.arrays import F32, I8, I64, U8
    from olrsearch.encoders.trainer.config import TrainerConfig

Batch = tuple["Tensor", "Tensor"]
"""uint8 [B, H, W, 3] pixels, int8 [B, L] labels, or what else images are learnt with."""

_ORDER, _STEP = 0, 1
_EVALUATION_BATCH = 256
_STATISTICS_IMAGES = 4096


def derived_seed(*parts: int) -> int:
    """One 63-bit seed from several numbers, without the collisions of sums."""
    high, low = np.random.SeedSequence(parts).generate_state(2, np.uint32)
    return ((int(high) << 32) | int(low)) >> 1


def step_generator(seed: int, stage: int, epoch: int, step: int, rank: int) -> Generator:
    """The generator of everything random in one training step; seeds the global one for dropout too."""
    value = derived_seed(seed, stage, _STEP, epoch, step, rank)
    if torch.cuda.is_available():
        torch.manual_seed(value)
    else:  # the same, without milliseconds of preparation for devices that are not there
        torch.default_generator.manual_seed(value)
    return torch.Generator().manual_seed(value)


class PixelBatches(Dataset[Batch]):
    """Batches by their positions: an item is a whole batch, gathered in one go.

    Args:
        pixels: uint8 [N, H, W, 3], perhaps memory-mapped, or float32 [N, n], what is seen of images where
            a stage takes that; not changed.
        labels: int8 [N, L], or what else images are learnt with: float32 [N, D].
        rows: int64, the rows of both that this data set consists of.
    """

    def __init__(self, pixels: U8 | F32, labels: I8 | F32, rows: I64) -> None:
        self.pixels, self.labels, self.rows = pixels, labels, rows

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, positions: I64) -> Batch:
        rows = self.rows[positions]
        return torch.from_numpy(np.array(self.pixels[rows])), torch.from_numpy(np.array(self.labels[rows]))

    def __getstate__(self) -> dict[str, Any]:
        """What another process needs; a memory map goes by its file, not by its gigabytes."""
        state = dict(self.__dict__)
        pixels = self.pixels
        base: object = pixels.base
        if isinstance(pixels, np.memmap) and isinstance(base, mmap.mmap):
            state["pixels"] = None
            state["mapped"] = (str(pixels.filename), pixels.dtype.str, pixels.offset, pixels.shape)
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        mapped = state.pop("mapped", None)
        if mapped is not None:
            filename, kind, offset, shape = mapped
            state["pixels"] = np.memmap(filename, kind, mode="r", offset=offset, shape=shape)
        self.__dict__.update(state)


class EpochBatches(Sampler["I64"]):
    """Positions of each batch of an epoch, shuffled by (seed, stage, epoch).

    A last partial batch is left out.

    Args:
        count: Images.
        batch_size: B, cut down to what one device has where there are fewer images.
        seed: Of the run.
        stage: Which stage of its run; stages see different orders.
        rank: This process of `world`; it gets every `world`-th batch.
        world: Processes.
    """

    def __init__(
        self, count: int, batch_size: int, seed: int, stage: int, rank: int = 0, world: int = 1
    ) -> None:
        self.count, self.batch_size = count, max(1, min(batch_size, count // world))
        self.seed, self.stage, self.rank, self.world = seed, stage, rank, world
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Called by the trainer at the start of each epoch."""
        self.epoch = epoch

    def __len__(self) -> int:
        return self.count // (self.batch_size * self.world)

    def __iter__(self) -> Iterator[I64]:
        order = np.random.default_rng([self.seed, self.stage, _ORDER, self.epoch]).permutation(self.count)
        for step in range(len(self)):
            start = (step * self.world + self.rank) * self.batch_size
            yield order[start : start + self.batch_size]


class StageData(LightningDataModule):
    """Training and selection batches of one stage.

    Every process validates on all selection images: their figures need no gathering.

    Args:
        training: The training images.
        selection: The selection images.
        config: Batch size, seed and workers.
        stage: Which stage of its run; stages see different orders.
    """

    def __init__(
        self, training: PixelBatches, selection: PixelBatches, config: TrainerConfig, stage: int
    ) -> None:
        super().__init__()
        self.training, self.selection = training, selection
        self.config, self.stage = config, stage

    def train_dataloader(self) -> DataLoader[Batch]:
        """Batches of the current epoch."""
        rank, world = (self.trainer.global_rank, self.trainer.world_size) if self.trainer else (0, 1)
        sampler = EpochBatches(
            len(self.training), self.config.batch_size, self.config.seed, self.stage, rank, world
        )
        return self._loader(self.training, sampler)

    def val_dataloader(self) -> DataLoader[Batch]:
        """The selection images in order."""
        count = len(self.selection)
        return self._loader(
            self.selection, np.split(np.arange(count), range(_EVALUATION_BATCH, count, _EVALUATION_BATCH))
        )

    def _loader(self, dataset: PixelBatches, sampler: Iterable[I64]) -> DataLoader[Batch]:
        workers = self.config.num_workers
        return DataLoader(
            dataset,
            sampler=sampler,
            batch_size=None,
            num_workers=workers,
            persistent_workers=workers > 0,
            pin_memory=torch.cuda.is_available(),
        )


def augment(pixels: Tensor, *, flip: bool, shift: int, generator: Generator) -> Tensor:
    """Mirrored and shifted images, one gather for the whole batch; edges are repeated.

    Args:
        pixels: uint8 [B, H, W, 3]; not changed.
        flip: Mirror each image with probability ½.
        shift: Largest shift in pixels, both directions apart.
        generator: On CPU; the only source of chance.

    Returns:
        uint8 [B, H, W, 3].
    """
    count, height, width = pixels.shape[:3]
    mirrored = torch.rand(count, 1, generator=generator) < 0.5
    offsets = torch.randint(-shift, shift + 1, (count, 2), generator=generator)
    rows = (torch.arange(height) + offsets[:, :1]).clamp(0, height - 1)
    columns = (torch.arange(width) + offsets[:, 1:]).clamp(0, width - 1)
    if flip:
        columns = torch.where(mirrored, width - 1 - columns, columns)
    images = torch.arange(count)
    at = (images[:, None, None], rows[:, :, None], columns[:, None, :])
    return pixels[tuple(index.to(pixels.device) for index in at)]


def to_planes(pixels: Tensor) -> Tensor:
    """uint8 [B, H, W, 3] → float32 [B, 3, H, W], 0–255, channels last in memory: no copy but the cast."""
    return pixels.permute(0, 3, 1, 2).float()


def pixel_statistics(pixels: U8, rows: I64) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of each channel over some thousand evenly chosen images.

    Args:
        pixels: uint8 [N, H, W, 3].
        rows: int64, the images that may be used.

    Returns:
        float32 [3] twice, in units of 0–255; the deviation is at least 1.
    """
    chosen = np.sort(rows)[:: max(1, len(rows) // _STATISTICS_IMAGES)]
    total, squares, count = np.zeros(3), np.zeros(3), 0
    for start in range(0, len(chosen), _EVALUATION_BATCH):
        part = pixels[chosen[start : start + _EVALUATION_BATCH]].reshape(-1, 3).astype(np.float64)
        total += part.sum(axis=0)
        squares += (part**2).sum(axis=0)
        count += len(part)
    mean = total / count
    std = np.sqrt(np.maximum(squares / count - mean**2, 1.0))
    return torch.tensor(mean, dtype=torch.float32), torch.tensor(std, dtype=torch.float32)
