"""What comparisons of training share: images of a store, and tables that grow row by row.

Notation: N images, L labels, H × W pixels.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import numpy as np

from olrsearch.apps.cli.options import PATH, together
from olrsearch.datasets.selection import selection_split
from olrsearch.encoders.olr.config import OlrConfig
from olrsearch.evaluation.report import Table, jsonable
from olrsearch.pipeline.reading_pixels import cache_pixels
from olrsearch.store.backend import Backend

if TYPE_CHECKING:
    from collections.abc import Mapping

    from olrsearch.core.arrays import I8, I64, U8, Bool


@dataclass(frozen=True, slots=True, eq=False)
class Faces:
    """Decoded images of a store and the rows that serve each purpose.

    Attributes:
        pixels: uint8 [N, H, W, 3], memory-mapped.
        labels: int8 [N, L].
        names: L label names.
        train: int64, rows to train on.
        selection: int64, training rows of other identities.
        gallery: int64, val and test.
    """

    pixels: U8
    labels: I8
    names: tuple[str, ...]
    train: I64
    selection: I64
    gallery: I64


@dataclass(slots=True)
class Results:
    """Rows as they come: printed when done, written after each, so that nothing measured is lost."""

    title: str
    columns: tuple[str, ...]
    out: Path | None
    settings: dict[str, Any]
    rows: list[tuple[Any, ...]] = field(default_factory=list)

    def add(self, *row: Any) -> None:  # noqa: ANN401 - a table's cells
        """One more row."""
        self.rows.append(row)
        click.echo(f"{time.strftime('%H:%M')} {' | '.join(str(cell) for cell in row)}", err=True)
        if self.out is not None:
            self.out.parent.mkdir(parents=True, exist_ok=True)
            content = {"title": self.title, "settings": self.settings, "columns": self.columns}
            rows = [jsonable(list(row)) for row in self.rows]
            self.out.with_suffix(".json").write_text(json.dumps({**content, "rows": rows}, indent=1))
            self.out.with_suffix(".md").write_text(self.table() + "\n")

    def table(self) -> str:
        """As markdown."""
        return Table(self.title, self.columns, tuple(self.rows)).to_markdown()


shared_options = together(
    click.option("--store", type=click.Path(path_type=Path, exists=True), required=True),
    click.option("--out", type=PATH, help="Also write FILE.md and FILE.json."),
    click.option("--seed", type=int, default=0, show_default=True),
)
"""The options that every comparison has."""


def held_back(columns: Mapping[str, Any], rows: I64, size: int) -> Bool:
    """Which of some rows are selection images: whole identities, the same for all seeds of training.

    Args:
        columns: `identity`, `dataset` and `key` of all images.
        rows: int64, those to train on.
        size: How many, about.
    """
    return selection_split(
        [None if value < 0 else int(value) for value in columns["identity"][rows].tolist()],
        [f"{a}/{b}" for a, b in zip(columns["dataset"][rows], columns["key"][rows], strict=True)],
        size=size,
        seed=0,
    )


def open_faces(store: Path, basis: Mapping[str, str], scratch: Path) -> tuple[Faces, OlrConfig]:
    """Decode a store's images at the size asked for, and split them as training does."""
    with Backend.open(store, read_only=True) as backend:
        snapshot = backend.snapshot()
        config = OlrConfig.of_profile("faces", snapshot.label_names).with_overrides(basis)
        ids = snapshot.image_ids()
        pixels = scratch / "pixels.npy"
        kept, failures = cache_pixels(snapshot.images(ids.tolist()), config.image_size, config.crop, pixels)
        if failures:
            click.echo(f"{len(failures)} images cannot be read and are left out", err=True)
        columns = snapshot.columns(kept, ("partition", "identity", "key", "dataset"))
        labels = snapshot.labels(kept, config.labels)
    rows = np.flatnonzero(columns["partition"] == "train")
    held = held_back(columns, rows, config.selection_size)
    gallery = np.flatnonzero(np.isin(columns["partition"], ("val", "test")))
    faces = Faces(np.load(pixels, mmap_mode="r"), labels, config.labels, rows[~held], rows[held], gallery)
    return faces, config
