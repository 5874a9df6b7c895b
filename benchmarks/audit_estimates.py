"""Whether intervals of the number of wrong labels hold it, and how wide they are, for every kind of noise.

Avatars have exact labels, so the truth is what was put in; on a store, whose own labels are wrong here and
there, the estimate on noisy labels less the one on the labels as they are stands against what was put in.
Images are seen by a trunk that met no label; heads, models and neighbours are made again for every noise.

    python benchmarks/audit_estimates.py avatars --cache estimates-cache
    python benchmarks/audit_estimates.py store --store faces --images 6000 --cache estimates-cache

It takes hours on two cores, most of it for drawing avatars and looking at them; with `--cache` what is there
is not made again.

Notation: N images, L labels, m numbers an image.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click
import numpy as np
from common import Results
from scipy.special import expit

from olrsearch.apps.cli.options import PATH, together
from olrsearch.audit.benchmark.pictures import COMPONENTS, HeadViews
from olrsearch.audit.evidence.estimates import estimate_errors
from olrsearch.audit.evidence.noise import asymmetric, instance_dependent, symmetric
from olrsearch.audit.scorers.material import Material, identity_folds
from olrsearch.audit.scorers.registry import SCORERS, make_scorers
from olrsearch.core.arrays import digest
from olrsearch.core.progress import silent
from olrsearch.datasets import open_celeba
from olrsearch.datasets.generated.avatars import generate_avatars
from olrsearch.datasets.images import load_array
from olrsearch.maths.linear import LinearProblem
from olrsearch.maths.principal import principal_components
from olrsearch.store.backend import Backend

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from olrsearch.audit.evidence.estimates import ErrorEstimate, LabelErrors
    from olrsearch.core.arrays import F32, I8, I64, U8

NOISES: Final = ("none", "N1 1 %", "N1 5 %", "N1 10 %", "N2", "N3", "N3, sure")
"""N3 takes what is hard from a linear model of pixels, N3, sure from one of the trunk's features; both were
trained on other images. The better the model, the more errors lie where nobody can tell."""

ASKED: Final = ("probability", "other-labels", "neighbours", "likelihood")
SIDES: Final = ("false_absent", "false_present", "total")
HELD_OUT: Final = 1000
"""Added to a seed: avatars that the models of what is hard are trained on."""

_STRENGTH: Final = 3e-3
_SMALL: Final = (27, 22)  # pixels, for the model that sees no more
_BLOCK: Final = 128


@dataclass(frozen=True, slots=True, eq=False)
class Pictures:
    """Images, as two kinds of model see them, with their labels.

    Attributes:
        names: L labels.
        labels: int8 [N, L].
        identity: int64 [N].
        features: float32 [N, m], of the frozen trunk.
        small: float32 [N, 3·H·W], a few pixels.
    """

    names: tuple[str, ...]
    labels: I8
    identity: I64
    features: F32
    small: F32

    def part(self, rows: I64) -> Pictures:
        """Some of them."""
        return Pictures(
            self.names, self.labels[rows], self.identity[rows], self.features[rows], self.small[rows]
        )


@click.group()
def main() -> None:
    """Hold estimated numbers of wrong labels against what was put in."""


shared = together(
    click.option(
        "--scorer",
        "scorers",
        multiple=True,
        type=click.Choice(tuple(SCORERS)),
        default=ASKED,
        show_default=True,
    ),
    click.option(
        "--noise", "noises", multiple=True, type=click.Choice(NOISES), help="Some kinds; all by default."
    ),
    click.option("--seeds", default="0,1,2", show_default=True, help="Of the noise."),
    click.option("--out", type=PATH, help="Also write FILE.md and FILE.json."),
    click.option("--cache", type=PATH, required=True, help="Where what is made stays."),
)
"""The options of both commands."""


@main.command("avatars")
@click.option("--count", type=int, default=4000, show_default=True, help="Avatars of each seed.")
@shared
def avatars(
    count: int, seeds: str, noises: tuple[str, ...], scorers: tuple[str, ...], out: Path | None, cache: Path
) -> None:
    """Coverage and width where the truth is known; pooled over labels and seeds."""
    results = Results(
        f"Wrong labels of {count:,} avatars, with 90 % intervals; seeds {seeds}",
        ("noise", "which", "covered", "median width", "median truth", "median off", "not identifiable"),
        out,
        {"count": count, "seeds": seeds, "scorers": scorers},
    )
    found: defaultdict[str, list[tuple[LabelErrors, tuple[int, int, int]]]] = defaultdict(list)
    for seed in map(int, seeds.split(",")):
        case, held = draw(count, seed, cache)
        for noise in noises or NOISES:
            given = noisy(case, held, noise, seed)
            found[noise] += zip(estimated(case, given, scorers, seed, cache), wrong(case, given), strict=True)
    for noise, pairs in found.items():
        blurred = np.mean([not errors.identifiable for errors, _ in pairs])
        for place, side in enumerate(SIDES):
            parts = [getattr(errors, side) for errors, _ in pairs]
            truth = np.array([counts[place] for _, counts in pairs])
            results.add(noise, side, *judged(parts, truth), f"{blurred:.0%}")
    click.echo(results.table())


@main.command("store")
@click.option("--store", type=click.Path(path_type=Path, exists=True), required=True)
@click.option("--images", type=int, default=6000, show_default=True)
@shared
def store_(
    store: Path,
    images: int,
    seeds: str,
    noises: tuple[str, ...],
    scorers: tuple[str, ...],
    out: Path | None,
    cache: Path,
) -> None:
    """What an estimate rises by, where labels were wrong before; pooled over labels and seeds."""
    results = Results(
        f"Estimates on labels with errors put in less those on the labels of the store: {images:,} images",
        (
            "noise",
            "which",
            "injected",
            "rise",
            "mean |rise − injected|",
            "within the interval",
            "median width",
        ),
        out,
        {"images": images, "seeds": seeds, "scorers": scorers},
    )
    everything = read(store, images + images // 4, cache)
    case, held = (
        everything.part(rows)
        for rows in np.split(np.arange(len(everything.labels)), [len(everything.labels) * 4 // 5])
    )
    for noise in noises or NOISES:
        rows: defaultdict[str, list[tuple[float, float, bool, float]]] = defaultdict(list)
        for seed in map(int, seeds.split(",")):
            before = estimated(case, case.labels, scorers, seed, cache)
            given = noisy(case, held, noise, seed)
            after = estimated(case, given, scorers, seed, cache)
            for old, new, counts in zip(before, after, wrong(case, given), strict=True):
                for side, count in zip(SIDES, counts, strict=True):
                    now, base = getattr(new, side), getattr(old, side).count
                    total = new.total.entries
                    within = now.count_low <= base + count <= now.count_high
                    width = (now.count_high - now.count_low) / total
                    rows[side].append((count / total, (now.count - base) / total, within, width))
        for side, values in rows.items():
            injected, rise, within, width = np.array(values).T
            off = np.abs(rise - injected).mean()
            shares = (injected.mean(), rise.mean(), off, within.mean(), np.median(width))
            results.add(noise, side, *(round(float(share), 4) for share in shares))
    click.echo(results.table())


def draw(count: int, seed: int, cache: Path) -> tuple[Pictures, Pictures]:
    """Avatars of a seed, and others to learn from what is hard; drawn where they are not yet."""
    labels, places, identity = [], [], []
    for size, number in ((count, seed), (max(count // 2, 100), seed + HELD_OUT)):
        folder = cache / f"avatars-{size}-{number}"
        if not folder.exists():
            cache.mkdir(parents=True, exist_ok=True)
            generate_avatars(folder, count=size, seed=number)
        dataset = open_celeba(folder)
        for record in dataset:
            labels.append(record.labels)
            places.append((dataset.root, record.uri))
            identity.append(record.identity)
    kept = cache / f"avatars-{count}-{seed}.npz"
    if not kept.exists():
        look(places, kept)  # together: principal components of two sets are not the same numbers
    seen = _seen(kept, dataset.label_names, np.array(labels, np.int8), np.array(identity, np.int64))
    rows = np.arange(len(labels))
    return seen.part(rows[:count]), seen.part(rows[count:])


def read(store: Path, count: int, cache: Path) -> Pictures:
    """Images of whole identities of a store, in random order of these."""
    with Backend.open(store, read_only=True) as backend:
        snapshot = backend.snapshot()
        ids = snapshot.image_ids()
        identity = snapshot.columns(ids, ("identity",))["identity"].astype(np.int64)
        place = np.random.default_rng([0, 0x57]).permutation(len(ids))
        _, first, of = np.unique(
            np.where(identity < 0, -1 - np.arange(len(ids)), identity), return_index=True, return_inverse=True
        )
        rows = np.argsort(place[first[of]], kind="stable")[:count]
        names = snapshot.label_names
        labels = snapshot.labels(ids[rows], names)
        places = [(row.root, row.uri) for row in snapshot.images(ids[rows])]
    kept = cache / f"store-{digest(ids[rows])[:12]}.npz"
    if not kept.exists():
        cache.mkdir(parents=True, exist_ok=True)
        look(places, kept)
    return _seen(kept, names, labels, identity[rows])


def look(places: Sequence[tuple[Path, str]], kept: Path) -> None:
    """See images as the trunk does, and as a few pixels; both are written to `kept`."""
    from olrsearch.encoders.trunks.frozen import FrozenTrunk

    trunk = FrozenTrunk()
    maps = np.empty((len(places), sum(trunk.blocks)), np.float16)
    small = []
    with click.progressbar(range(0, len(places), _BLOCK), label=kept.stem) as starts:
        for start in starts:
            block = places[start : start + _BLOCK]
            pixels = np.stack([load_array(root, uri, trunk.input_size, "none") for root, uri in block])
            maps[start : start + len(block)] = trunk.features(pixels)
            small.append(_few(pixels))
    features = principal_components(maps, COMPONENTS, groups=trunk.blocks)
    np.savez(kept, features=features, small=np.concatenate(small))


def noisy(case: Pictures, held: Pictures, noise: str, seed: int) -> I8:
    """The labels with errors of a kind, int8 [N, L]."""
    kind, _, rate = noise.partition(" ")
    if kind == "none":
        return case.labels
    if kind == "N1":
        return symmetric(case.labels, int(rate.split()[0]) / 100, seed)
    if kind == "N2":
        return asymmetric(case.labels, seed=seed)
    name = "small" if noise == "N3" else "features"
    model = LinearProblem(getattr(held, name), held.labels).solve(_STRENGTH)
    return instance_dependent(case.labels, expit(model.decision(getattr(case, name))).T, seed=seed)


def estimated(
    case: Pictures, given: I8, scorers: Sequence[str], seed: int, cache: Path
) -> tuple[LabelErrors, ...]:
    """Evidence about given labels, kept, and what it comes to."""
    fold = identity_folds(case.identity, seed=seed)
    views = HeadViews(case.features, given, fold, seed=seed)
    material = Material(case.names, given, fold, case.identity, views, seed=seed)
    evidence = {}
    for scorer in make_scorers(scorers):
        key = digest(case.features, given, fold)[:16]
        place = cache / f"evidence-{key}-{scorer.name}.npy"
        if not place.exists():
            np.save(place, scorer.evidence(material, track=silent))
        evidence[scorer.name] = np.load(place)
    return estimate_errors(case.names, given, evidence, case.identity, seed=seed)


def wrong(case: Pictures, given: I8) -> list[tuple[int, int, int]]:
    """False absent, false present and both of every label."""
    off = given != case.labels
    absent, present = ((off & (given == value)).sum(axis=0).tolist() for value in (-1, 1))
    return [(a, b, a + b) for a, b in zip(absent, present, strict=True)]


def judged(parts: Iterable[ErrorEstimate], truth: I64) -> tuple[float, float, float, float]:
    """Share of intervals that hold the truth; medians of width, truth, and estimate less truth, as shares."""
    values = [(part.count_low, part.count, part.count_high, part.entries) for part in parts]
    low, middle, high, entries = np.array(values).T
    covered = ((low <= truth) & (truth <= high)).mean()
    medians = (np.median(part / entries) for part in (high - low, truth, middle - truth))
    return round(float(covered), 3), *(round(float(value), 4) for value in medians)


def _few(pixels: U8) -> F32:
    """Means of blocks of pixels, float32 [B, 3·H·W]."""
    count, height, width, _ = pixels.shape
    high, wide = height // _SMALL[0], width // _SMALL[1]
    cut = pixels[:, : high * _SMALL[0], : wide * _SMALL[1]].reshape(
        count, _SMALL[0], high, _SMALL[1], wide, 3
    )
    out: F32 = cut.mean(axis=(2, 4), dtype=np.float32).reshape(count, -1)
    return out


def _seen(kept: Path, names: Sequence[str], labels: I8, identity: I64) -> Pictures:
    with np.load(kept) as arrays:
        return Pictures(tuple(names), labels, identity, arrays["features"], arrays["small"])


if __name__ == "__main__":
    main()
