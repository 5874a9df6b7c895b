"""Networks trained end to end for each fold, beside models on a frozen trunk: what P4's shortcut costs.

P4 looks at images through a trunk that met no label, and fits models for every fold, noise and seed. Here
the whole network is trained, from ImageNet's weights, on the labels of the other folds with the errors in
them, and asked about the fold it has not seen. What each says of the given labels is ranked alone
(self-confidence), and so is the mean of their log-odds.

    python benchmarks/audit_networks.py --store celeba-store --cache audit-cache --noise n1-5 --only 0
    python benchmarks/audit_networks.py --store celeba-store --cache audit-cache --noise none --folds 2

Notation: N images, L labels, F folds.
"""

from __future__ import annotations

import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click
import numpy as np
from common import Results, shared_options
from scipy.special import expit, logit

from olrsearch.audit.benchmark.cases import NOISES
from olrsearch.audit.benchmark.entry_ranking import Entries, audit_figures
from olrsearch.audit.benchmark.on_a_store import picture_case
from olrsearch.audit.scorers.material import identity_folds
from olrsearch.audit.scorers.probability import Probability
from olrsearch.core.arrays import npy
from olrsearch.core.files import write_whole
from olrsearch.core.progress import silent
from olrsearch.datasets.selection import selection_split
from olrsearch.encoders.olr.config import OlrConfig
from olrsearch.encoders.olr.training import teacher_probabilities, train_teacher
from olrsearch.encoders.trainer.metrics import average_precision
from olrsearch.encoders.trainer.run import TrainingImages
from olrsearch.pipeline.reading_pixels import cache_pixels
from olrsearch.search.spaces.labels import OpenSpace
from olrsearch.store.backend import Backend
from olrsearch.store.vectors.layout import LABELS

if TYPE_CHECKING:
    from olrsearch.core.arrays import F32, F64, I8, I64, U8, Bool

CLIP = 1e-6


@click.command()
@shared_options
@click.option("--noise", type=click.Choice(["none", *NOISES]), default="n1-5", show_default=True)
@click.option("--folds", type=click.IntRange(2), default=5, show_default=True)
@click.option("--only", help="Some of the folds, comma-separated; all by default.")
@click.option("--epochs", type=int, default=5, show_default=True)
@click.option("--size", default="112,92", show_default=True, help="Height and width, pixels.")
@click.option("--cache", type=click.Path(path_type=Path), help="Where features and probabilities are kept.")
def main(
    store: Path,
    out: Path | None,
    seed: int,
    noise: str,
    folds: int,
    only: str | None,
    epochs: int,
    size: str,
    cache: Path | None,
) -> None:
    """Train a network for each fold and compare what it finds with what frozen features do."""
    wanted = range(folds) if only is None else [int(part) for part in only.split(",")]
    results = Results(
        f"Trained for the fold against frozen: {noise}, {folds} folds, {epochs} epochs, {size} pixels",
        ("folds", "how images look", "AUPRC", "macro", "P@100", "mAP of the given labels"),
        out,
        {"noise": noise, "folds": folds, "epochs": epochs, "size": size, "seed": seed},
    )
    if cache is not None:
        cache.mkdir(parents=True, exist_ok=True)
    with Backend.open(store, read_only=True) as backend, tempfile.TemporaryDirectory(dir=cache) as scratch:
        snapshot = backend.snapshot()
        case = picture_case(backend, OpenSpace(snapshot, snapshot.space(None, LABELS)), cache=cache)
        clean = case.found.given
        given = clean if noise == "none" else NOISES[noise].apply(clean, case.hardness, seed)
        config = OlrConfig.of_profile("faces", case.found.names).with_overrides(
            {"image_size": size, "teacher_epochs": str(epochs), "seed": str(seed)}
        )
        rows = snapshot.images(snapshot.image_ids().tolist())
        pixels = Path(scratch) / "pixels.npy"
        if cache_pixels(rows, config.image_size, config.crop, pixels)[1] or len(rows) != len(given):
            raise click.ClickException("every image must have an embedding, and be readable")
        fold = identity_folds(case.found.identity, folds=folds, seed=seed)
        material = replace(case.material(given, seed), fold=fold)
        frozen = Probability().evidence(material, track=silent)
        trained = np.full_like(frozen, np.nan)
        for number in wanted:
            here = fold == number
            kept = (cache or Path(scratch)) / f"network-{noise}-{folds}-{number}-{epochs}-{size}-{seed}.npy"
            if not kept.exists():
                started = time.perf_counter()
                found = learn(
                    np.load(pixels, mmap_mode="r"),
                    given,
                    ~here,
                    here,
                    case.found.identity,
                    config,
                    Path(scratch),
                )
                click.echo(f"fold {number}: {time.perf_counter() - started:.0f} s", err=True)
                write_whole(kept, npy(found))
            trained[:, here] = np.load(kept)
    asked = np.isin(fold, wanted)
    both = expit((odds(frozen) + odds(trained)) / 2)
    for name, present in (("frozen", frozen), ("trained", trained), ("both", both)):
        results.add(",".join(map(str, wanted)), name, *figures(present[:, asked], given[asked], clean[asked]))
    click.echo(results.table())


def learn(
    pixels: U8, given: I8, others: Bool, here: Bool, identity: I64, config: OlrConfig, scratch: Path
) -> F32:
    """What a network that was trained on the other folds says of a fold, float32 [L, n]."""
    rows = np.flatnonzero(others)
    people = [None if value < 0 else int(value) for value in identity[rows].tolist()]
    held = selection_split(people, [str(row) for row in rows], size=config.selection_size, seed=0)
    with tempfile.TemporaryDirectory(dir=scratch) as folder:
        run = Path(folder) / "run"
        train_teacher(TrainingImages(pixels, given, rows[~held], rows[held]), config, run)
        return teacher_probabilities(run, pixels[np.flatnonzero(here)])


def odds(present: F32) -> F64:
    """Log-odds, away from certainty."""
    out: F64 = logit(np.clip(present.astype(np.float64), CLIP, 1 - CLIP))
    return out


def figures(present: F32 | F64, given: I8, clean: I8) -> tuple[float, ...]:
    """AUPRC over all entries and over labels, P@100; mAP of the labels as they are given."""
    agreed = float(np.nanmean(average_precision(present.T.astype(np.float32), given)))
    if (given == clean).all():
        return (float("nan"),) * 3 + (agreed,)
    score = np.where(given.T > 0, present, 1 - present)
    found = audit_figures(score, Entries.of(given != clean, given))
    return found.auprc, found.macro_auprc, found.precision_100, agreed


if __name__ == "__main__":
    main()
