"""Compare ways of training a teacher: recipes, one thing changed at a time, and amounts of data.

Each trains on the store's `train` partition less the selection images, whole identities
apart, and is measured on val + test. What it prints stands in docs/results.md.

    python benchmarks/teachers.py recipes --store faces --images 4000 --epochs 5 --size 112,92
    python benchmarks/teachers.py curve --store faces --epochs 6 --size 112,92
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import click
import numpy as np
from common import Faces, Results, open_faces, shared_options

from olrsearch.encoders.olr.training import teacher_probabilities, train_teacher
from olrsearch.encoders.trainer.metrics import average_precision
from olrsearch.encoders.trainer.run import TrainingImages

if TYPE_CHECKING:
    from olrsearch.encoders.olr.config import OlrConfig

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


@click.group()
def main() -> None:
    """Compare ways of training a teacher on a store's labelled images."""


@main.command("recipes")
@shared_options
@click.option("--images", type=int, default=4000, show_default=True, help="Training images.")
@click.option("--epochs", type=int, default=5, show_default=True)
@click.option("--size", default="112,92", show_default=True, help="Height and width, pixels.")
@click.option("--only", multiple=True, help="Some of the recipes.")
def recipes(
    store: Path, out: Path | None, seed: int, images: int, epochs: int, size: str, only: tuple[str, ...]
) -> None:
    """The teacher's recipe, one thing changed at a time."""
    results = Results(
        f"The teacher's recipe: {images:,} images, {epochs} epochs, {size.replace(',', ' × ')} pixels",
        ("recipe", "mAP", "accuracy", "seconds"),
        out,
        {"images": images, "epochs": epochs, "size": size, "seed": seed},
    )
    basis = {"image_size": size, "teacher_epochs": str(epochs), "seed": str(seed)}
    with tempfile.TemporaryDirectory(prefix="recipes-") as scratch:
        faces, config = open_faces(store, basis, Path(scratch))
        for name in only or RECIPES:
            results.add(name, *teach(faces, config.with_overrides(RECIPES[name]), images, Path(scratch)))
    click.echo(results.table())


@main.command("curve")
@shared_options
@click.option("--images", default="2000,5000,10000,all", show_default=True, help="Training images.")
@click.option("--epochs", type=int, default=6, show_default=True)
@click.option("--size", default="112,92", show_default=True, help="Height and width, pixels.")
def curve(store: Path, out: Path | None, seed: int, images: str, epochs: int, size: str) -> None:
    """What the teacher gains from more images."""
    results = Results(
        f"Learning curve of the teacher: {epochs} epochs, {size.replace(',', ' × ')} pixels",
        ("training images", "mAP", "accuracy", "seconds"),
        out,
        {"epochs": epochs, "size": size, "seed": seed},
    )
    basis = {"image_size": size, "teacher_epochs": str(epochs), "seed": str(seed)}
    with tempfile.TemporaryDirectory(prefix="curve-") as scratch:
        faces, config = open_faces(store, basis, Path(scratch))
        for part in images.split(","):
            count = len(faces.train) if part == "all" else int(part)
            results.add(f"{count:,}", *teach(faces, config, count, Path(scratch)))
    click.echo(results.table())


def teach(faces: Faces, config: OlrConfig, images: int, scratch: Path) -> tuple[float, float, float]:
    """Train a teacher on some of the images: mAP and accuracy on the gallery, and seconds."""
    rng = np.random.default_rng([config.seed, images])
    chosen = np.sort(rng.permutation(faces.train)[:images])
    run = scratch / "run"
    learnt = TrainingImages(faces.pixels, faces.labels, chosen, faces.selection)
    result = train_teacher(learnt, config, run)
    found = teacher_probabilities(run, faces.pixels[faces.gallery]).T
    shutil.rmtree(run)
    truth = faces.labels[faces.gallery]
    known = truth != 0
    accuracy = ((found > 0.5) == (truth > 0))[known].mean()
    return float(np.nanmean(average_precision(found, truth))), float(accuracy), round(result.seconds, 0)


if __name__ == "__main__":
    main()
