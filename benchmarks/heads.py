"""Compare heads and losses of label embeddings on one teacher's frozen trunk, by P1, P2, P3 and P6.

The trunk's features are computed once, of all images and of some occlusions of each training
image; then every variant takes a minute, and all of them see the same.

    python benchmarks/heads.py --store faces --teacher RUN --seeds 3

Notation: N images, L labels, k numbers a label, B images in a batch, C channels of the trunk.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import numpy as np
import torch
from common import Results, open_faces, shared_options
from olrsearch_benchmarks.richness import run_richness
from safetensors.torch import load_file

from olrsearch.encoders.olr.config import OlrConfig
from olrsearch.encoders.olr.network import OlrNetwork, TeacherNetwork
from olrsearch.encoders.olr.occlusion import draw_rectangles, occlude
from olrsearch.encoders.olr.readout_fit import fit_readout
from olrsearch.encoders.olr.stages import SiameseStage, start_readout
from olrsearch.encoders.trainer.data import (
    PixelBatches,
    StageData,
    augment,
    derived_seed,
    pixel_statistics,
    to_planes,
)
from olrsearch.encoders.trainer.runner import run_stage
from olrsearch.encoders.trunks.trunk import channels_last
from olrsearch.evaluation.attributes import run_attributes
from olrsearch.evaluation.data import BenchData
from olrsearch.evaluation.queries import run_queries
from olrsearch.evaluation.query_set import read_queries
from olrsearch.evaluation.similar import run_similar
from olrsearch.maths.calibration import fit_calibration
from olrsearch.maths.metric import choose_metric, metric_name
from olrsearch.maths.readout import Readout
from olrsearch.store.backend import Backend

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from torch import Tensor

    from olrsearch.core.arrays import I8, I64, U8
    from olrsearch.evaluation.query_set import QuerySet

HEADS: dict[str, dict[str, str]] = {
    "grouped, the paper's loss": {"readout_weight": "0"},
    "grouped, temperature 2 for occlusion": {"readout_weight": "0", "temperature": "2"},
    "grouped, neither": {"readout_weight": "0"},
    "grouped, readout": {},
    "grouped, readout, norms": {"norm_weight": "1"},
    "grouped, readout, manner": {"manner": "0.3"},
    "grouped, readout, norms, manner": {"norm_weight": "1", "manner": "0.3"},
    "query, the paper's loss": {"head": "query", "readout_weight": "0"},
    "query, readout": {"head": "query"},
    "query, readout, manner": {"head": "query", "manner": "0.3"},
}
"""On one teacher, whose trunk stays frozen: the same images, steps and features for all."""

NOT_OCCLUDED = ("grouped, temperature 2 for occlusion", "grouped, neither")
"""Heads trained on the images as they are: what occlusion is worth, and temperature instead of it."""


@click.command()
@shared_options
@click.option(
    "--teacher", required=True, help="Folder name of the run whose teacher all variants learn from."
)
@click.option("--seeds", type=int, default=3, show_default=True)
@click.option("--epochs", type=int, default=2, show_default=True, help="Passes over all views.")
@click.option("--views", type=int, default=2, show_default=True, help="Occlusions an image.")
@click.option("--queries", type=click.Path(path_type=Path), default=Path("benchmarks/queries/celeba.tsv"))
@click.option("--only", multiple=True, help="Some of the variants.")
def main(
    store: Path,
    out: Path | None,
    seed: int,
    teacher: str,
    seeds: int,
    epochs: int,
    views: int,
    queries: Path,
    only: tuple[str, ...],
) -> None:
    """Heads and losses on one teacher's frozen trunk: P1, P2, P3 and P6 side by side."""
    results = Results(
        f"Heads and losses on one frozen trunk: {views} occlusions an image, {epochs} epochs",
        COLUMNS,
        out,
        {"epochs": epochs, "views": views, "teacher": teacher},
    )
    asked = read_queries(queries)
    with tempfile.TemporaryDirectory(prefix="heads-") as scratch:
        frozen = frozen_trunk(store, teacher, views, Path(scratch))
        for name in only or HEADS:
            for each in range(seed, seed + seeds):
                settings = {**HEADS[name], "siamese_epochs": str(epochs), "seed": str(each)}
                occluded = name not in NOT_OCCLUDED
                data = train_head(frozen, settings, Path(scratch), occluded=occluded)
                results.add(name, each, *measure_head(data, asked, each))
    click.echo(results.table())


COLUMNS = (
    "variant",
    "seed",
    "mAP from e^l",
    "mAP from ‖e^l‖",
    "probe − teacher, mAP",
    "P2 − teacher, AP, worst class",
    "others − p·v, mAP",
    "triplets",
    "triplets − p·v",
    "nDCG@20",
    "nDCG@20 − p·v",
    "exemplar AP",
    "exemplars − p·v",
    "eff. rank",
    "R² of norm on p",
    "norm r within .15",
    "metric",
)


def measure_head(data: BenchData, asked: QuerySet, seed: int) -> tuple[Any, ...]:
    """The cells of a variant's row, in the order of `COLUMNS`, without name and seed."""
    metric = choose_metric(data.embeddings[:, data.selection], data.labels[data.selection])
    probed = run_attributes(data, seed=seed)
    answered = run_queries(data, queries=asked, seed=seed)
    similar = run_similar(data, metric=metric, queries=asked, seed=seed)
    rich = run_richness(data, metric=metric, queries=asked, seed=seed)
    worst = min(
        (item.ap for kind, item in answered.against_teacher.items() if kind != "all"),
        key=lambda found: found.estimate,
    )
    return (
        *(float(np.nanmean(probed.methods[by].label_ap)) for by in ("encoder", "norm")),
        probed.differences["probe - teacher"].map,
        worst,
        rich.others_gain,
        similar.triplets["ours"],
        rich.against_surrogate["triplet accuracy"],
        similar.ndcg20["ours"],
        rich.against_surrogate["similar nDCG@20"],
        similar.exemplars["ours"]["ap"],
        rich.against_surrogate["exemplar AP"],
        rich.mean["effective_rank"],
        rich.mean["norm_r2"],
        f"{sum(pair.reached for pair in rich.correlations)} of {len(rich.correlations)}",
        metric_name(metric.kind, metric.form),
    )


@dataclass(frozen=True, slots=True, eq=False)
class Frozen:
    """A teacher's trunk, asked once.

    Attributes:
        config: The teacher's.
        network: The teacher itself.
        names, labels, partition, identity, ids: Of the N images, as `BenchData` has them.
        clean: float16 [N, h, w, C], features of the images as they are.
        occluded: float16 [views · n, h, w, C], of the n training images with a rectangle filled.
        train, selection, gallery: int64, rows.
    """

    config: OlrConfig
    network: TeacherNetwork
    names: tuple[str, ...]
    labels: I8
    partition: Any
    identity: I64
    ids: I64
    clean: Any
    occluded: Any
    train: I64
    selection: I64
    gallery: I64


class FrozenStage(SiameseStage):
    """The second stage on features that lie ready, in the place of pixels."""

    def losses(self, planes: Tensor, labels: Tensor, generator: torch.Generator) -> dict[str, Tensor]:
        """See `Stage.losses`."""
        return self.compare(self.network.head(planes), planes, labels, generator)

    def scores(self, planes: Tensor) -> Tensor:
        """See `SiameseStage.scores`."""
        embeddings = self.network.head(planes)
        if self.config.readout_weight > 0:
            return self.network.readout(embeddings)
        return embeddings.square().sum(dim=2).sqrt() - 0.5


def frozen_trunk(store: Path, teacher: str, views: int, scratch: Path) -> Frozen:
    """Load a run's teacher and compute its features, of all images and of occluded training images."""
    run = store / "runs" / teacher
    config = OlrConfig.from_dict(json.loads((run / "olr.json").read_text("utf-8"))["config"])
    network = channels_last(TeacherNetwork(config, torch.zeros(3), torch.ones(3)))
    network.load_state_dict(load_file(run / "teacher" / "weights.safetensors"))
    network.eval().requires_grad_(requires_grad=False)
    size = ",".join(map(str, config.image_size))
    faces, _ = open_faces(store, {"image_size": size}, scratch)
    with Backend.open(store, read_only=True) as backend:
        snapshot = backend.snapshot()
        ids = snapshot.image_ids()
        columns = snapshot.columns(ids, ("partition", "identity"))
    fill = pixel_statistics(faces.pixels, faces.train)[0]
    generator = torch.Generator().manual_seed(derived_seed(0, views))

    def occluded(pixels: Tensor) -> Tensor:
        planes = to_planes(augment(pixels, flip=True, shift=0, generator=generator))
        rectangles = draw_rectangles(len(planes), config.image_size, config.occlusion, 1.0, generator)
        return occlude(planes, rectangles, fill)

    return Frozen(
        config,
        network,
        faces.names,
        faces.labels,
        columns["partition"],
        columns["identity"],
        ids,
        _features(network, faces.pixels, np.arange(len(ids)), to_planes, scratch / "clean.npy"),
        _features(network, faces.pixels, np.tile(faces.train, views), occluded, scratch / "occluded.npy"),
        faces.train,
        faces.selection,
        faces.gallery,
    )


def _features(
    network: TeacherNetwork, pixels: U8, rows: I64, prepare: Callable[[Tensor], Tensor], path: Path
) -> Any:  # noqa: ANN401 - a memory map
    """Features float16 [n, h, w, C] of some images, on disk."""
    target = None
    with torch.inference_mode():
        for start in range(0, len(rows), 128):
            chosen = torch.from_numpy(np.array(pixels[rows[start : start + 128]]))
            found = network.trunk(network.normalise(prepare(chosen))).permute(0, 2, 3, 1).numpy()
            if target is None:
                shape = (len(rows), *found.shape[1:])
                target = np.lib.format.open_memmap(path, "w+", np.float16, shape)
            target[start : start + len(found)] = found
    return target


def train_head(frozen: Frozen, settings: Mapping[str, str], scratch: Path, *, occluded: bool) -> BenchData:
    """Train a head by the second stage's losses and give what it makes of all images."""
    config = frozen.config.with_overrides({"freeze_trunk": "true", "flip": "false", "shift": "0", **settings})
    config = config.with_overrides({"zoom": "0", "rotation": "0", "colour": "0"})
    torch.manual_seed(derived_seed(config.seed, 1))
    network = OlrNetwork(config, torch.zeros(3), torch.ones(3))
    learnt = frozen.labels[frozen.train]
    start_readout(network, (learnt > 0).sum(0) / (learnt != 0).sum(0))
    images = frozen.occluded if occluded else frozen.clean
    views = len(frozen.occluded) // len(frozen.train)
    labels, rows = np.tile(learnt, (views, 1)), np.arange(len(frozen.occluded))
    if not occluded:
        labels, rows = frozen.labels, np.tile(frozen.train, views)
    folder = scratch / "head"
    result = run_stage(
        FrozenStage(config, network, frozen.network, torch.zeros(3)),
        StageData(
            PixelBatches(images, labels, rows),
            PixelBatches(frozen.clean, frozen.labels, frozen.selection),
            config,
            1,
        ),
        folder,
        "head",
        config.siamese_epochs,
        progress=False,
    )
    shutil.rmtree(folder)
    network.load_state_dict(result.state)
    count = len(frozen.ids)
    embeddings = np.empty((len(frozen.names), count, config.k), np.float32)
    teacher = np.empty((len(frozen.names), count), np.float32)
    with torch.inference_mode():
        for start in range(0, count, 256):
            part = slice(start, start + 256)
            planes = to_planes(torch.from_numpy(np.array(frozen.clean[part])))
            embeddings[:, part] = network.eval().head(planes).transpose(0, 1).numpy()
            teacher[:, part] = torch.sigmoid(frozen.network.classify(planes)).T.numpy()
    readout = Readout(network.readout.weight.detach().numpy(), network.readout.bias.detach().numpy())
    if config.readout_weight == 0:
        readout = fit_readout(embeddings[:, frozen.train], learnt)
    raw = readout.logits(embeddings)
    calibration = fit_calibration(
        raw[:, frozen.selection],
        frozen.labels[frozen.selection],
        frozen.names,
        label_revision=1,
        split="selection",
    )
    return BenchData(
        name="frozen trunk",
        label_names=frozen.names,
        image_ids=frozen.ids,
        keys=[str(number) for number in frozen.ids],
        labels=frozen.labels,
        partition=frozen.partition,
        identity=frozen.identity,
        embeddings=embeddings,
        log_p=calibration.log_probability(raw, range(len(frozen.names))),
        log_not_p=calibration.log_probability(raw, range(len(frozen.names)), negate=True),
        teacher_p=teacher,
        train=frozen.train,
        selection=frozen.selection,
        gallery=frozen.gallery,
    )


if __name__ == "__main__":
    main()
