"""Train informed-prior encoders on a store's images, with several seeds and settings: P5 as mean ± sd.

Finished runs stay in the JSON file of `--out` and are not trained again. What it prints stands in
docs/results.md.

    python benchmarks/informed_prior.py seeds --store mnist --profile digits --seeds 3 --out digits
    python benchmarks/informed_prior.py seeds --store cifar --profile digits --set image_size=32,32 \
        --compare words=glove --compare words=one-hot --out cifar
    python benchmarks/informed_prior.py shrinkage --store pairs --profile pairs --out shrinkage

Notation: N images, L labels, H × W pixels, d dimensions.
"""

from __future__ import annotations

import json
import shutil
import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import numpy as np
from common import held_back, shared_options
from olrsearch_benchmarks.papers.drawing import draw_pair_figures
from olrsearch_benchmarks.papers.informed_prior import run_informed_prior_paper
from olrsearch_benchmarks.papers.informed_prior_figures import pair_figures
from olrsearch_benchmarks.words.posterior_data import PosteriorData

from olrsearch import Store
from olrsearch.apps.cli.options import PATH, POSITIVE, together
from olrsearch.core.errors import OlrsearchError
from olrsearch.encoders.informed_prior.config import InformedPriorConfig
from olrsearch.encoders.informed_prior.encoder import InformedPriorEncoder
from olrsearch.encoders.informed_prior.training import train_informed_prior
from olrsearch.encoders.trainer.run import TrainingImages
from olrsearch.encoders.words.label_words import read_label_words
from olrsearch.evaluation.query_set import read_queries
from olrsearch.evaluation.report import Table, jsonable
from olrsearch.pipeline.known_encoders import find_encoder
from olrsearch.pipeline.reading_pixels import cache_pixels
from olrsearch.store.backend import Backend

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from olrsearch.core.arrays import F32, I8, I64, U8
    from olrsearch.evaluation.data import BenchData
    from olrsearch.evaluation.query_set import QuerySet

SHRINKAGES = ("0.01", "0.1", "0.5", "0.99")
"""λ: that of the paper's figures, and up to the other end."""

_TOGETHER = 512


@dataclass(frozen=True, slots=True, eq=False)
class Images:
    """A store's images at one size, decoded once.

    Attributes:
        pixels: uint8 [N, H, W, 3], memory-mapped.
        ids: int64 [N].
        keys: N keys.
        labels: int8 [N, L], in the order of the configuration.
        train: int64, rows to train on.
        selection: int64, training rows of other identities, the same for all seeds.
        gallery: int64, val and test.
    """

    pixels: U8
    ids: I64
    keys: list[str]
    labels: I8
    train: I64
    selection: I64
    gallery: I64


@dataclass(slots=True)
class Runs:
    """Finished runs by setting and seed, written after each.

    Attributes:
        title: Of the table.
        basis: What all runs have in common; runs of another basis are not taken for these.
        out: Base of the files; None keeps nothing.
        done: Setting → seed → figures as `InformedPriorReport.lines` has them.
    """

    title: str
    basis: dict[str, Any]
    out: Path | None
    done: dict[str, dict[str, list[dict[str, Any]]]] = field(default_factory=dict)

    @classmethod
    def open(cls, title: str, basis: dict[str, Any], out: Path | None) -> Runs:
        """What the file of an earlier call holds, if it was of the same basis."""
        runs = cls(title, basis, out)
        file = None if out is None else _file(out, ".json")
        if file is not None and file.exists():
            kept = json.loads(file.read_text("utf-8"))
            if kept["basis"] != json.loads(json.dumps(basis)):
                raise click.ClickException(
                    f"{file} holds runs of {kept['basis']}, these are of {basis}: name another --out"
                )
            runs.done = kept["runs"]
        return runs

    def has(self, setting: str, seed: int) -> bool:
        """Whether a run is finished."""
        return str(seed) in self.done.get(setting, {})

    def add(self, setting: str, seed: int, lines: list[dict[str, Any]]) -> None:
        """One more run."""
        self.done.setdefault(setting, {})[str(seed)] = jsonable(lines)
        if self.out is not None:
            self.out.parent.mkdir(parents=True, exist_ok=True)
            content = {"title": self.title, "basis": self.basis, "runs": self.done}
            _file(self.out, ".json").write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n")
            _file(self.out, ".md").write_text(self.table() + "\n")

    def table(self) -> str:
        """Mean ± sd over seeds, a row a figure and a column a setting, as markdown."""
        metrics: dict[str, dict[str, Any]] = {}
        for seeds in self.done.values():
            for lines in seeds.values():
                metrics |= {line["metric"]: line for line in lines}
        rows = []
        for metric, line in metrics.items():
            cells = [_spread(seeds, metric) for seeds in self.done.values()]
            rows.append((metric, *cells, line["target"], line["paper"]))
        columns = ("metric", *(setting or "as the profile" for setting in self.done), "target", "paper")
        counts = ", ".join(str(len(seeds)) for seeds in self.done.values())
        return Table(self.title, columns, tuple(rows), note=f"Mean ± sd; seeds: {counts}.").to_markdown()


@dataclass(slots=True)
class Bench:
    """A store opened for many runs.

    Attributes:
        store: Read-only.
        path: Of the store.
        scratch: For pixels and checkpoints.
        most: Training images at most; all when None.
        queries: P2's, of many labels; drawn from the gallery when None.
        decoded: Pixels by size and crop.
        beside: Label embeddings of the store, once they were asked for.
    """

    store: Store
    path: Path
    scratch: Path
    most: int | None
    queries: QuerySet | None
    decoded: dict[tuple[Any, ...], Images] = field(default_factory=dict)
    beside: tuple[BenchData | None, ...] = ()

    @property
    def label_names(self) -> tuple[str, ...]:
        """Of the store."""
        with Backend.open(self.path, read_only=True) as backend:
            return backend.snapshot().label_names

    def images(self, config: InformedPriorConfig) -> Images:
        """The images as a configuration wants them, decoded once for each size."""
        key = (config.image_size, config.crop, config.selection_size)
        if key not in self.decoded:
            self.decoded[key] = self._decode(config, self.scratch / f"pixels-{len(self.decoded)}.npy")
        return self.decoded[key]

    def _decode(self, config: InformedPriorConfig, file: Path) -> Images:
        with Backend.open(self.path, read_only=True) as backend:
            snapshot = backend.snapshot()
            ids = snapshot.image_ids()
            partition = snapshot.columns(ids, ("partition",))["partition"]
            gallery, train = ids[np.isin(partition, ("val", "test"))], ids[partition == "train"]
            if self.most is not None:
                train = np.sort(np.random.default_rng(0).permutation(train)[: self.most])
            kept, failures = cache_pixels(
                snapshot.images(np.sort(np.concatenate([train, gallery])).tolist()),
                config.image_size,
                config.crop,
                file,
            )
            if failures:
                click.echo(f"{len(failures)} images cannot be read and are left out", err=True)
            columns = snapshot.columns(kept, ("partition", "identity", "key", "dataset"))
            labels = snapshot.labels(kept, config.labels)
        rows = np.flatnonzero(columns["partition"] == "train")
        held = held_back(columns, rows, min(config.selection_size, max(1, len(rows) * 15 // 100)))
        others = np.flatnonzero(np.isin(columns["partition"], ("val", "test")))
        keys = [str(one) for one in columns["key"]]
        return Images(np.load(file, mmap_mode="r"), kept, keys, labels, rows[~held], rows[held], others)

    def train(self, config: InformedPriorConfig) -> InformedPriorEncoder:
        """Train one encoder; its checkpoints are gone afterwards."""
        images = self.images(config)
        trunk = None
        if config.start_from:
            with Backend.open(self.path, read_only=True) as backend:
                trunk = find_encoder(config.start_from, backend.snapshot()).path
        run = Path(tempfile.mkdtemp(prefix="run-", dir=self.scratch))
        made = train_informed_prior(
            TrainingImages(images.pixels, images.labels, images.train, images.selection),
            config,
            run,
            run / "models",
            source=trunk,
            progress=False,
        )
        encoder = InformedPriorEncoder(made.path)
        shutil.rmtree(run)
        return encoder

    def measure(
        self, encoder: InformedPriorEncoder, config: InformedPriorConfig
    ) -> tuple[PosteriorData, list[dict[str, Any]]]:
        """P5 of one encoder on the gallery."""
        images = self.images(config)
        kept = np.sort(np.concatenate([images.selection, images.gallery]))
        mean, factor = encode(encoder, images.pixels, kept)
        table = encoder.vocabulary.open_table(None if config.words == "glove" else config.words)
        data = PosteriorData(
            name=self.path.name,
            space=encoder.fingerprint[:12],
            vocabulary=encoder.vocabulary,
            shrinkage=encoder.shrinkage,
            image_ids=images.ids[kept],
            keys=[images.keys[row] for row in kept],
            labels=images.labels[kept],
            mean=mean,
            factor=factor,
            selection=np.searchsorted(kept, images.selection),
            gallery=np.searchsorted(kept, images.gallery),
            images=len(images.ids),
            train=len(images.train),
            table=table,
            label_words={} if table is None else read_label_words(config.label_words or None),
        )
        labels = None
        if data.kind == "many":
            if not self.beside:
                self.beside = (self.store.labels_beside(),)
            (labels,) = self.beside
        report = run_informed_prior_paper(data, queries=self.queries, labels=labels, seed=config.seed)
        return data, report.lines()

    def draw(
        self, data: PosteriorData, encoder: InformedPriorEncoder, config: InformedPriorConfig, to: Path
    ) -> None:
        """The paper's figures of one encoder of pairs."""
        images = self.images(config)
        draw_pair_figures(
            pair_figures(data, seed=config.seed),
            lambda ids: np.asarray(images.pixels[np.searchsorted(images.ids, ids)]),
            encoder.decode if encoder.has_decoder else None,
            to,
        )


def encode(encoder: InformedPriorEncoder, pixels: U8, rows: I64) -> tuple[F32, F32]:
    """Means float32 [n, d] and packed factors float32 [n, T] of some images."""
    made = [
        encoder.encode(np.ascontiguousarray(pixels[rows[start : start + _TOGETHER]]))
        for start in range(0, len(rows), _TOGETHER)
    ]
    return np.concatenate([one.mean for one in made]), np.concatenate([one.factor for one in made])


@click.group()
def main() -> None:
    """Informed-prior encoders trained with several seeds and settings on a store's labelled images."""


_options = together(
    shared_options,
    click.option("--figures", type=PATH, help="Draw the paper's figures of the first seed."),
    click.option("--scratch", type=PATH, help="Where pixels and checkpoints lie meanwhile."),
    click.option(
        "--queries", type=click.Path(path_type=Path, exists=True), help="P2's query file, for faces."
    ),
    click.option("--images", type=POSITIVE, help="Training images at most; all by default."),
    click.option(
        "--set", "settings", multiple=True, metavar="KEY=VALUE", help="Of all runs; may be repeated."
    ),
    click.option("--seeds", type=POSITIVE, default=3, show_default=True),
    click.option(
        "--profile",
        "name",
        type=click.Choice(sorted(InformedPriorConfig.profiles)),
        default="digits",
        show_default=True,
    ),
)


@main.command("seeds")
@_options
@click.option(
    "--compare",
    multiple=True,
    metavar="'KEY=VALUE …'",
    help="One of several settings, whose keys are separated by blanks; may be repeated.",
)
def seeds(compare: tuple[str, ...], **options: Any) -> None:  # noqa: ANN401 - click's values
    """One setting or several, each with several seeds."""
    title = f"Informed priors, profile {options['name']}"
    _run(title, compare or ("",), **options)


@main.command("shrinkage")
@_options
@click.option("--values", default=",".join(SHRINKAGES), show_default=True, help="λ, separated by commas.")
def shrinkage(values: str, **options: Any) -> None:  # noqa: ANN401 - click's values
    """The shrinkage λ of the priors."""
    title = f"Shrinkage of the priors, profile {options['name']}"
    _run(title, tuple(f"shrinkage={value.strip()}" for value in values.split(",")), **options)


def _run(
    title: str,
    compared: tuple[str, ...],
    *,
    store: Path,
    out: Path | None,
    seed: int,
    name: str,
    seeds: int,
    settings: tuple[str, ...],
    images: int | None,
    queries: Path | None,
    scratch: Path | None,
    figures: Path | None,
) -> None:
    """Train and measure what is not finished, and print the table."""
    common = _pairs(settings)
    # What the profile says, too: a profile that has changed since makes other encoders.
    basis = {"profile": name, "of": InformedPriorConfig.profiles[name], "set": common, "images": images}
    runs = Runs.open(title, basis, out)
    asked = None if queries is None else read_queries(queries)
    if scratch is not None:
        scratch.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        opened = stack.enter_context(Store.open(store, read_only=True))
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="informed-prior-", dir=scratch)))
        bench = Bench(opened, store, folder, images, asked)
        labels = bench.label_names
        for setting in compared:
            for number in range(seed, seed + seeds):
                if runs.has(setting, number):
                    click.echo(f"{setting or name}, seed {number}: finished before", err=True)
                    continue
                try:
                    chosen = {**common, **_pairs(setting.split()), "seed": str(number)}
                    config = InformedPriorConfig.of_profile(name, labels).with_overrides(chosen)
                    encoder = bench.train(config)
                    data, lines = bench.measure(encoder, config)
                    if figures is not None and number == seed:
                        bench.draw(data, encoder, config, figures / (setting.replace(" ", "-") or name))
                except OlrsearchError as error:
                    raise click.ClickException(str(error)) from error
                runs.add(setting, number, lines)
                first = lines[0]
                click.echo(
                    f"{time.strftime('%H:%M')} {setting or name}, seed {number}: {first['metric']} "
                    f"{first['value']:.4f}",
                    err=True,
                )
    click.echo(runs.table())


def _pairs(settings: Sequence[str]) -> dict[str, str]:
    """`KEY=VALUE` as a dict."""
    found = {}
    for one in settings:
        key, equals, value = one.partition("=")
        if not equals or not key:
            raise click.UsageError(f"settings have the form KEY=VALUE, found {one!r}")
        found[key] = value
    return found


def _spread(seeds: Mapping[str, list[dict[str, Any]]], metric: str) -> str:
    """Mean ± sd (of a sample) of a figure over seeds."""
    values = [
        line["value"]
        for lines in seeds.values()
        for line in lines
        if line["metric"] == metric and line["value"] is not None
    ]
    if not values:
        return "–"
    if len(values) == 1:
        return f"{values[0]:.4f}"
    return f"{np.mean(values):.4f} ± {np.std(values, ddof=1):.4f}"


def _file(out: Path, suffix: str) -> Path:
    return out.with_name(out.name + suffix)


if __name__ == "__main__":
    main()
