"""A small learnable data set, and a program that trains on it and may kill itself on the way."""

import os
import signal
import sys
from pathlib import Path

import numpy as np

LABELS = ("Red", "Green", "Bright_Top")


def data(count: int = 192, size: int = 16, seed: int = 0):
    """uint8 [N, size, size, 3] and int8 [N, 3]: labels are read off the pixels, some are unknown."""
    rng = np.random.default_rng(seed)
    colour = rng.integers(40, 216, (count, 1, 1, 3))
    top = rng.choice([-30, 30], count)
    pixels = colour + rng.integers(-30, 30, (count, size, size, 3))
    pixels[:, : size // 2] += top[:, None, None, None]
    labels = np.where(np.stack([colour[:, 0, 0, 0] > 128, colour[:, 0, 0, 1] > 128, top > 0], axis=1), 1, -1)
    labels[rng.random(labels.shape) < 0.1] = 0
    return np.clip(pixels, 0, 255).astype(np.uint8), labels.astype(np.int8)


def config(**changes: str):
    from olrsearch.encoders.olr.config import OlrConfig

    return OlrConfig.of_profile("tiny", LABELS).with_overrides(
        {"teacher_epochs": "3", "siamese_epochs": "3", **changes}
    )


def images(count: int = 160, held: int = 32):
    """The same as what a run learns from: the last ones are selected on."""
    from olrsearch.encoders.trainer.run import TrainingImages

    return TrainingImages(*data(count + held), np.arange(count), np.arange(count, count + held))


def train(run: Path, *, resume: bool = False, **changes: str):
    from olrsearch.encoders.olr.training import train_olr

    return train_olr(images(), config(**changes), run, run / "models", resume=resume, progress=False)


def _die(*_: object, **__: object) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _arm(spot: str) -> None:
    """Make this process kill itself at a named place."""
    from lightning.pytorch import Trainer

    from olrsearch.encoders.trainer import runner, stage

    where, _, number = spot.partition(":")
    if where == "step":  # in the middle of the second epoch of a stage
        inner = stage.Stage.training_step

        def training_step(self, batch, batch_idx):
            if (self.number, self.current_epoch, batch_idx) == (int(number), 1, 4):
                _die()
            return inner(self, batch, batch_idx)

        stage.Stage.training_step = training_step
    elif where == "checkpoint":  # with the next checkpoint half written
        save = Trainer.save_checkpoint

        def save_checkpoint(self, path, *args, **kwargs):
            save(self, path, *args, **kwargs)
            if self.current_epoch == 1:
                Path(path).write_bytes(Path(path).read_bytes()[:1000])
                _die()

        Trainer.save_checkpoint = save_checkpoint
    else:  # with all epochs done and no result written
        runner.save_file = _die


if __name__ == "__main__":
    import torch

    torch.set_num_threads(1)
    _arm(sys.argv[2])
    train(Path(sys.argv[1]), **dict(part.split("=") for part in sys.argv[3:]))
