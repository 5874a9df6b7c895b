"""Compare ways of training a face encoder: recipes, amounts of data, heads and losses.

Each command trains on the store's `train` partition less the selection images, whole identities
apart, and measures on val + test. What it prints stands in docs/results.md.

    python benchmarks/encoders.py --store faces recipes --images 4000 --epochs 5 --size 112,92
    python benchmarks/encoders.py --store faces curve --epochs 6 --size 112,92
    python benchmarks/encoders.py --store faces heads --teacher RUN --seeds 3

Notation: N images, L labels.
"""

from __future__ import annotations

import json
import shutil
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import numpy as np

from olrsearch import Store
from olrsearch.bench.attributes import run_attributes
from olrsearch.bench.queries import run_queries
from olrsearch.bench.query_set import read_queries
from olrsearch.bench.report import Table, jsonable
from olrsearch.bench.richness import run_richness
from olrsearch.datasets.selection import selection_split
from olrsearch.encoders.olr.config import OlrConfig, profile, with_overrides
from olrsearch.ingest import cache_pixels
from olrsearch.store.backend import Backend

if TYPE_CHECKING:
    from collections.abc import Mapping

    from olrsearch.arrays import I8, I64, U8

RECIPES: dict[str, dict[str, str]] = {
    "the profile `faces`": {},
    "random initial weights": {"pretrained": "false"},
    "no mirroring": {"flip": "false"},
    "no shifts, turns or zoom": {"shift": "0", "zoom": "0", "rotation": "0"},
    "no changes of colour": {"colour": "0"},
    "no occlusion": {"teacher_occlusion": "0"},
    "label smoothing 0.05": {"label_smoothing": "0.05"},
    "asymmetric loss, γ = 1": {"negative_focus": "1"},
    "no average of the weights": {"ema_decay": "0"},
    "learning rate halved": {"learning_rate": "7.5e-4"},
    "learning rate doubled": {"learning_rate": "3e-3"},
}
"""One thing changed at a time."""

HEADS: dict[str, dict[str, str]] = {
    "grouped, the paper's loss": {"readout_weight": "0"},
    "grouped, temperature 2 for occlusion": {
        "readout_weight": "0",
        "occlusion_probability": "0",
        "temperature": "2",
    },
    "grouped, neither": {"readout_weight": "0", "occlusion_probability": "0"},
    "grouped, readout": {},
    "grouped, readout, manner": {"manner": "0.3"},
    "query, readout": {"head": "query"},
    "query, readout, manner": {"head": "query", "manner": "0.3"},
}
"""On one teacher, whose trunk stays frozen: the same images, steps and features for all."""


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


@click.group()
@click.option("--store", "store_path", type=click.Path(path_type=Path, exists=True), required=True)
@click.option("--out", type=click.Path(path_type=Path), help="Also write FILE.md and FILE.json.")
@click.option("--seed", type=int, default=0, show_default=True)
@click.pass_context
def main(ctx: click.Context, store_path: Path, out: Path | None, seed: int) -> None:
    """Compare ways of training an encoder on a store's labelled images."""
    ctx.obj = {"store": store_path, "out": out, "seed": seed}


@main.command("recipes")
@click.option("--images", type=int, default=4000, show_default=True, help="Training images.")
@click.option("--epochs", type=int, default=5, show_default=True)
@click.option("--size", default="112,92", show_default=True, help="Height and width, pixels.")
@click.option("--only", multiple=True, help="Some of the recipes.")
@click.pass_obj
def recipes(shared: dict[str, Any], images: int, epochs: int, size: str, only: tuple[str, ...]) -> None:
    """The teacher's recipe, one thing changed at a time."""
    results = Results(
        f"The teacher's recipe: {images:,} images, {epochs} epochs, {size.replace(',', ' × ')} pixels",
        ("recipe", "mAP", "accuracy", "seconds"),
        shared["out"],
        {"images": images, "epochs": epochs, "size": size, "seed": shared["seed"]},
    )
    basis = {"image_size": size, "teacher_epochs": str(epochs), "seed": str(shared["seed"])}
    with tempfile.TemporaryDirectory(prefix="recipes-") as scratch:
        faces, config = open_faces(shared["store"], basis, Path(scratch))
        for name in only or RECIPES:
            results.add(name, *teach(faces, with_overrides(config, RECIPES[name]), images, Path(scratch)))
    click.echo(results.table())


@main.command("curve")
@click.option("--images", default="2000,5000,10000,all", show_default=True, help="Training images.")
@click.option("--epochs", type=int, default=6, show_default=True)
@click.option("--size", default="112,92", show_default=True, help="Height and width, pixels.")
@click.pass_obj
def curve(shared: dict[str, Any], images: str, epochs: int, size: str) -> None:
    """What the teacher gains from more images."""
    results = Results(
        f"Learning curve of the teacher: {epochs} epochs, {size.replace(',', ' × ')} pixels",
        ("training images", "mAP", "accuracy", "seconds"),
        shared["out"],
        {"epochs": epochs, "size": size, "seed": shared["seed"]},
    )
    basis = {"image_size": size, "teacher_epochs": str(epochs), "seed": str(shared["seed"])}
    with tempfile.TemporaryDirectory(prefix="curve-") as scratch:
        faces, config = open_faces(shared["store"], basis, Path(scratch))
        for part in images.split(","):
            count = len(faces.train) if part == "all" else int(part)
            results.add(f"{count:,}", *teach(faces, config, count, Path(scratch)))
    click.echo(results.table())


@main.command("heads")
@click.option("--teacher", required=True, help="A run or space whose teacher all variants learn from.")
@click.option("--seeds", type=int, default=3, show_default=True)
@click.option("--epochs", type=int, default=4, show_default=True)
@click.option("--queries", type=click.Path(path_type=Path), default=Path("benchmarks/queries/celeba.tsv"))
@click.option("--only", multiple=True, help="Some of the variants.")
@click.pass_obj
def heads(
    shared: dict[str, Any], teacher: str, seeds: int, epochs: int, queries: Path, only: tuple[str, ...]
) -> None:
    """Heads and losses on one teacher: P1, P2, P3 and P6 side by side."""
    results = Results(
        f"Heads and losses on one frozen trunk, {epochs} epochs",
        (
            "variant",
            "seed",
            "encoder mAP",
            "probe mAP",
            "probe − teacher",
            "P2 AP − teacher, worst class",
            "others mAP − p·v",
            "triplets − p·v",
            "nDCG@20 − p·v",
            "exemplars − p·v",
            "eff. rank",
            "R² norm",
            "norm r",
        ),
        shared["out"],
        {"epochs": epochs, "teacher": teacher},
    )
    asked = read_queries(queries)
    with Store.open(shared["store"]) as store:
        for name in only or HEADS:
            for seed in range(shared["seed"], shared["seed"] + seeds):
                settings = {"freeze_trunk": "true", "siamese_epochs": str(epochs), "seed": str(seed)}
                trained = store.train_olr(
                    "faces",
                    settings={**_shape_of(store, teacher), **settings, **HEADS[name]},
                    teacher=teacher,
                )
                store.encode(trained.space)
                data = store.bench_data(space=trained.space)
                metric = store.metric(space=trained.space)
                probed = run_attributes(data, seed=seed)
                answered = run_queries(data, queries=asked, seed=seed)
                rich = run_richness(data, metric=metric, queries=asked, seed=seed)
                worst = min(
                    (item.ap for kind, item in answered.against_teacher.items() if kind != "all"),
                    key=lambda found: found.estimate,
                )
                results.add(
                    name,
                    seed,
                    *(float(np.nanmean(probed.methods[by].label_ap)) for by in ("encoder", "probe")),
                    probed.differences["probe - teacher"].map,
                    worst,
                    rich.others_gain,
                    *(
                        rich.against_surrogate[key]
                        for key in ("triplet accuracy", "similar nDCG@20", "exemplar AP")
                    ),
                    rich.mean["effective_rank"],
                    rich.mean["norm_r2"],
                    sum(pair.reached for pair in rich.correlations),
                )
    click.echo(results.table())


def open_faces(store: Path, basis: Mapping[str, str], scratch: Path) -> tuple[Faces, OlrConfig]:
    """Decode a store's images at the size asked for, and split them as training does."""
    with Backend.open(store, read_only=True) as backend:
        snapshot = backend.snapshot()
        config = with_overrides(profile("faces", snapshot.label_names), basis)
        ids = snapshot.image_ids()
        pixels = scratch / "pixels.npy"
        kept, failures = cache_pixels(snapshot.images(ids.tolist()), config.image_size, config.crop, pixels)
        if failures:
            click.echo(f"{len(failures)} images cannot be read and are left out", err=True)
        columns = snapshot.columns(kept, ("partition", "identity", "key", "dataset"))
        labels = snapshot.labels(kept, config.labels)
    rows = np.flatnonzero(columns["partition"] == "train")
    held = selection_split(
        [None if value < 0 else int(value) for value in columns["identity"][rows].tolist()],
        [f"{a}/{b}" for a, b in zip(columns["dataset"][rows], columns["key"][rows], strict=True)],
        size=config.selection_size,
        seed=0,  # the same for all seeds of training
    )
    gallery = np.flatnonzero(np.isin(columns["partition"], ("val", "test")))
    faces = Faces(np.load(pixels, mmap_mode="r"), labels, config.labels, rows[~held], rows[held], gallery)
    return faces, config


def teach(faces: Faces, config: OlrConfig, images: int, scratch: Path) -> tuple[float, float, float]:
    """Train a teacher on some of the images: mAP and accuracy on the gallery, and seconds."""
    from olrsearch.encoders.olr.metrics import average_precision
    from olrsearch.encoders.olr.training import teacher_probabilities, train_teacher

    rng = np.random.default_rng([config.seed, images])
    chosen = np.sort(rng.permutation(faces.train)[:images])
    run = scratch / "run"
    result = train_teacher(faces.pixels, faces.labels, chosen, faces.selection, config, run)
    found = teacher_probabilities(run, faces.pixels[faces.gallery]).T
    shutil.rmtree(run)
    truth = faces.labels[faces.gallery]
    known = truth != 0
    accuracy = ((found > 0.5) == (truth > 0))[known].mean()
    return float(np.nanmean(average_precision(found, truth))), float(accuracy), round(result.seconds, 0)


def _shape_of(store: Store, teacher: str) -> dict[str, str]:
    """The settings that a teacher's shape demands, as text."""
    record = store.path / "runs" / teacher / "run.json"
    config = json.loads(record.read_text("utf-8"))["config"] if record.exists() else {}
    return {
        key: _text(config[key]) for key in ("image_size", "backbone", "width", "pretrained") if key in config
    }


def _text(value: object) -> str:
    if isinstance(value, list):
        return ",".join(str(item) for item in value)
    return str(value).lower() if isinstance(value, bool) else str(value)


if __name__ == "__main__":
    main()
