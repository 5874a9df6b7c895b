"""A deterministic encoder in numpy, for tests.

Each image is reduced to the mean colours of a coarse grid and their differences
between neighbouring cells; fixed random directions per label and a ReLU make the
label embeddings, and a ridge regression may fit the readout to labels. It knows
nothing of faces, but its embeddings depend on the pixels alone and similar images
have similar embeddings.

Notation: L labels, B images, k numbers a label, G = rows × columns of the grid.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from olrsearch.core.errors import TrainingError
from olrsearch.encoders.folder.model_config import read_config
from olrsearch.encoders.folder.model_files import read_tensors, save_model
from olrsearch.encoders.protocol import check_pixels
from olrsearch.encoders.registry import Kind
from olrsearch.maths.readout import Readout

if TYPE_CHECKING:
    from collections.abc import Sequence

    from olrsearch.core.arrays import F32, F64, I8, U8

_GRID = (4, 4)

KIND = Kind("tiny_encoders.labels:load")
"""What the entry point of this kind names."""


@dataclass(frozen=True, eq=False)
class TinyEncoder:
    """The encoder; build one with `create`, `load` or `fit`.

    Attributes:
        labels: The L label names.
        k: Numbers a label.
        input_size: (H, W), both at least 4.
        crop: 'none' or 'center'.
        directions: float32 [L, k, features], fixed random directions.
        readout: From label embeddings to raw logits.
        fingerprint: sha256 of configuration and weights.
    """

    kind: ClassVar[str] = "tiny"

    labels: tuple[str, ...]
    k: int
    input_size: tuple[int, int]
    crop: str
    directions: F32
    readout: Readout
    fingerprint: str

    def encode(self, pixels: U8) -> F32:
        """See `Encoder.encode`: uint8 [B, H, W, 3] → float32 [L, B, k]."""
        check_pixels(pixels, self.input_size)
        return _embed(pixels, self.directions)

    @classmethod
    def create(
        cls,
        root: Path,
        labels: Sequence[str],
        *,
        k: int = 8,
        input_size: tuple[int, int] = (32, 32),
        crop: str = "none",
        seed: int = 0,
    ) -> TinyEncoder:
        """Write an untrained encoder to `root/<fingerprint>/` and open it.

        Its readout is a fixed random direction: logits depend on the pixels, but mean nothing.

        Args:
            root: The folder that holds models.
            labels: Label names; their number is L.
            k: Numbers a label.
            input_size: (H, W).
            crop: 'none' or 'center'.
            seed: Another seed, another encoder.
        """
        directions = _directions(len(labels), k, seed)
        rng = np.random.default_rng([seed, 1])
        readout = Readout(
            weight=rng.standard_normal((len(labels), k)).astype(np.float32),
            bias=np.zeros(len(labels), np.float32),
        )
        return _store(root, labels, input_size, crop, directions, readout)

    @classmethod
    def fit(
        cls,
        root: Path,
        labels: Sequence[str],
        pixels: U8,
        targets: I8,
        *,
        k: int = 8,
        crop: str = "none",
        seed: int = 0,
        ridge: float = 1e-3,
    ) -> TinyEncoder:
        """Write an encoder whose readout is a ridge regression to labels, and open it.

        Args:
            root: The folder that holds models.
            labels: The L label names.
            pixels: uint8 [N, H, W, 3]; H and W become the input size.
            targets: int8 [N, L], −1 absent, 0 unknown (left out), +1 present.
            k: Numbers a label.
            crop: 'none' or 'center', recorded for whoever prepares pixels.
            seed: Of the random directions.
            ridge: Penalty on the readout's weights, as a share of the number of images.

        Raises:
            TrainingError: pixels and targets do not fit each other and the labels.
        """
        if targets.shape != (len(pixels), len(labels)) or len(pixels) == 0:
            raise TrainingError(
                f"targets of shape {targets.shape} for {len(pixels)} images and {len(labels)} labels; "
                "expected one row an image, one column a label, and one image at least"
            )
        size = (int(pixels.shape[1]), int(pixels.shape[2]))
        check_pixels(pixels, size)
        directions = _directions(len(labels), k, seed)
        embeddings = _embed(pixels, directions).astype(np.float64)
        weight = np.zeros((len(labels), k), np.float32)
        bias = np.zeros(len(labels), np.float32)
        for label in range(len(labels)):
            known = targets[:, label] != 0
            if not known.any():
                continue
            vectors, wanted = embeddings[label, known], targets[known, label].astype(np.float64)
            centre, mean = vectors.mean(axis=0), wanted.mean()
            gram = (vectors - centre).T @ (vectors - centre) + ridge * len(wanted) * np.eye(k)
            solved = np.linalg.solve(gram, (vectors - centre).T @ (wanted - mean))
            # ±1 regression values lie within about ±1; logits should reach a few units.
            weight[label] = 4 * solved
            bias[label] = 4 * (mean - centre @ solved)
        return _store(root, labels, size, crop, directions, Readout(weight=weight, bias=bias))

    @classmethod
    def load(cls, path: Path) -> TinyEncoder:
        """Open a model folder.

        Raises:
            ModelFileError: missing or damaged files.
        """
        config, tensors = read_config(path), read_tensors(path)
        return cls(
            labels=tuple(config["labels"]),
            k=int(config["k"]),
            input_size=(int(config["input_size"][0]), int(config["input_size"][1])),
            crop=str(config["crop"]),
            directions=tensors["directions"],
            readout=Readout(weight=tensors["readout.weight"], bias=tensors["readout.bias"]),
            fingerprint=str(config["fingerprint"]),
        )


def load(path: Path) -> TinyEncoder:
    """The registry's entry: open a model folder of kind 'tiny'."""
    return TinyEncoder.load(path)


def _store(
    root: Path,
    labels: Sequence[str],
    input_size: tuple[int, int],
    crop: str,
    directions: F32,
    readout: Readout,
) -> TinyEncoder:
    config = {
        "kind": TinyEncoder.kind,
        "labels": list(labels),
        "k": int(directions.shape[1]),
        "input_size": list(input_size),
        "crop": crop,
    }
    tensors = {"directions": directions, "readout.weight": readout.weight, "readout.bias": readout.bias}
    return TinyEncoder.load(save_model(Path(root), config, tensors))


def _directions(count: int, k: int, seed: int) -> F32:
    """Fixed unit directions, float32 [L, k, features]."""
    rng = np.random.default_rng([seed, 0])
    drawn = rng.standard_normal((count, k, _feature_count()))
    unit: F32 = (drawn / np.linalg.norm(drawn, axis=2, keepdims=True)).astype(np.float32)
    return unit


def _feature_count() -> int:
    rows, columns = _GRID
    return 3 * (rows * columns + (rows - 1) * columns + rows * (columns - 1))


def grid_features(pixels: U8) -> F64:
    """Mean colours of the grid's cells and their differences, float64 [B, features] about −1 … 1."""
    _, height, width, _ = pixels.shape
    rows, columns = _GRID
    sums = np.add.reduceat(pixels, np.arange(rows) * height // rows, axis=1, dtype=np.float64)
    sums = np.add.reduceat(sums, np.arange(columns) * width // columns, axis=2)
    tall = np.diff(np.arange(rows + 1) * height // rows)
    wide = np.diff(np.arange(columns + 1) * width // columns)
    cells = sums / (tall[:, None, None] * wide[None, :, None]) / 127.5 - 1
    parts = (cells, 2 * np.diff(cells, axis=1), 2 * np.diff(cells, axis=2))
    return np.concatenate([part.reshape(len(pixels), math.prod(part.shape[1:])) for part in parts], axis=1)


def _embed(pixels: U8, directions: F32) -> F32:
    """uint8 [B, H, W, 3] → float32 [L, B, k]; float64 inside, so batches do not matter."""
    projected = np.matmul(grid_features(pixels), directions.astype(np.float64).transpose(0, 2, 1))
    rectified: F32 = np.maximum(projected, 0).astype(np.float32)
    return rectified
