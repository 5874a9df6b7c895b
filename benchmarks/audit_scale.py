"""What an audit costs on as many images as CelebA has, and how near votes among cells come to exact ones.

A store's label space is drawn from with replacement until there are as many images as wanted, with a little
noise on every embedding and with flipped labels; copies of one image stay in one fold.

    python benchmarks/audit_scale.py --store faces --images 202599 --scorer neighbours --scorer likelihood

Seconds are those of this process on all its cores (`cpu`) and of the clock (`wall`); memory is what the
process has allocated at most beyond what it had before, memory maps of embeddings not counted.

Notation: N images, L labels, k numbers a label, D = L·k.
"""

from __future__ import annotations

import tempfile
import threading
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click
import numpy as np
from common import Results, shared_options
from scipy.stats import spearmanr

from olrsearch.audit.evidence.estimates import estimate_errors
from olrsearch.audit.evidence.noise import symmetric
from olrsearch.audit.evidence.raising import raise_constants
from olrsearch.audit.evidence.weights import BY_ANNOTATORS
from olrsearch.audit.runs.ranking import combine, find_suspects
from olrsearch.audit.scorers.material import Material, identity_folds
from olrsearch.audit.scorers.neighbours import NeighbourVote, exact_votes
from olrsearch.audit.scorers.registry import SCORERS, make_scorers
from olrsearch.core.groups import told_apart
from olrsearch.core.progress import silent
from olrsearch.search.spaces.labels import OpenSpace
from olrsearch.store.backend import Backend

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType
    from typing import Self

    from olrsearch.core.arrays import F32, I64

_BLOCK: Final = 8192


@click.command()
@shared_options
@click.option("--images", type=int, default=202_599, show_default=True, help="Images to make up.")
@click.option("--noise", default=0.15, show_default=True, help="Added to embeddings, in their deviations.")
@click.option("--flips", default=0.05, show_default=True, help="Share of labels that are flipped.")
@click.option("--sample", type=int, default=2000, show_default=True, help="Images that are voted on exactly.")
@click.option(
    "--scorer",
    "names",
    multiple=True,
    type=click.Choice(tuple(SCORERS)),
    help="Some of them; all by default.",
)
@click.option(
    "--scratch",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="Where 4·N·L·k bytes of embeddings are put while this runs; the system's own folder by default.",
)
def main(
    store: Path,
    out: Path | None,
    seed: int,
    images: int,
    noise: float,
    flips: float,
    sample: int,
    names: tuple[str, ...],
    scratch: Path | None,
) -> None:
    """Seconds, memory and agreement with exact votes of an audit's scorers at scale."""
    wanted = names or tuple(SCORERS)
    results = Results(
        f"An audit of {images:,} images",
        ("scorer", "seconds, cpu", "seconds, wall", "memory, MB", "entries without evidence"),
        out,
        {"images": images, "noise": noise, "flips": flips, "sample": sample, "seed": seed},
    )
    with tempfile.TemporaryDirectory(prefix="audit-scale-", dir=scratch) as folder:
        material = resample(store, images, noise, flips, seed, Path(folder) / "embeddings.npy")
        said: dict[str, F32] = {}

        def timed(name: str, work: Callable[[], F32]) -> F32:
            clock, cpu = time.perf_counter(), time.process_time()
            with PeakMemory() as memory:
                found = work()
            spent = (round(time.process_time() - cpu, 1), round(time.perf_counter() - clock, 1))
            results.add(name, *spent, round(memory.peak / 1e6, 0), int(np.isnan(found).sum()))
            return found

        for scorer in make_scorers(wanted):
            said[scorer.name] = timed(scorer.name, partial(scorer.evidence, material, track=silent))
        timed("estimates, weights and ranks", partial(ranked, material, said))
        click.echo(results.table())
        if NeighbourVote.name in wanted:
            click.echo(agreement(material, said[NeighbourVote.name], sample, seed))


def ranked(material: Material, evidence: dict[str, F32]) -> F32:
    """What `audit run` makes of the evidence by its default weights, float32 [L, N]."""
    names, given = material.names, material.given
    errors = estimate_errors(names, given, evidence, material.identity, seed=material.seed)
    weights = BY_ANNOTATORS.restricted(list(evidence))
    present: F32 = combine(raise_constants(weights, evidence, given, names, errors), evidence, given, names)
    find_suspects(present, given, np.arange(material.images), range(material.labels))
    return present


class Drawn:
    """Views of a made-up gallery: one encoder's for all folds."""

    def __init__(self, embeddings: F32) -> None:
        self._embeddings = embeddings

    def features(self, fold: int, rows: I64) -> F32:
        """See `Views.features`."""
        del fold
        return np.concatenate([plane[rows] for plane in self._embeddings], axis=1)

    def embeddings(self, fold: int, label: int) -> F32:
        """See `Views.embeddings`."""
        del fold
        return self._embeddings[label]


def resample(store: Path, images: int, noise: float, flips: float, seed: int, path: Path) -> Material:
    """Draw images from the newest label space of a store, the embeddings into a file."""
    rng = np.random.default_rng(seed)
    with Backend.open(store, read_only=True) as backend:
        snapshot = backend.snapshot()
        opened = OpenSpace(snapshot, snapshot.space(None, "labels"))
        view, stored = opened.view, opened.stored_labels()
        drawn = np.sort(rng.integers(len(view), size=images))
        identity = told_apart(snapshot.columns(view.ids, ("identity",))["identity"])[drawn]
        made = np.lib.format.open_memmap(path, "w+", np.float32, (view.labels, images, view.size))
        for label in range(view.labels):
            vectors = view.vectors(label)
            spread = vectors.std(axis=0) * np.float32(noise)
            for start in range(0, images, _BLOCK):
                rows = drawn[start : start + _BLOCK]
                shift = rng.standard_normal((len(rows), view.size), np.float32) * spread
                made[label, start : start + _BLOCK] = vectors[rows] + shift
        made.flush()
        given = symmetric(stored[drawn], flips, seed)
        names = opened.info.labels
    fold = identity_folds(identity, seed=seed)
    return Material(tuple(names), given, fold, identity, Drawn(np.load(path, mmap_mode="r")), seed=seed)


def agreement(material: Material, votes: F32, sample: int, seed: int) -> str:
    """Spearman's correlation of votes with exact ones, label by label, in words."""
    count = min(sample, material.images)
    rows = np.sort(np.random.default_rng([seed, 1]).choice(material.images, count, replace=False))
    exact = exact_votes(material, rows, track=silent)
    found = np.array(
        [float(spearmanr(mine, theirs)[0]) for mine, theirs in zip(votes[:, rows], exact, strict=True)]
    )
    worst = np.argsort(found)[:5]
    listed = ", ".join(f"{material.names[label]} {found[label]:.4f}" for label in worst.tolist())
    gap = np.abs(votes[:, rows] - exact)
    return (
        f"Votes among cells against exact votes of {len(rows):,} images: Spearman {np.nanmean(found):.4f} on "
        f"average, least {listed}; difference {np.nanmean(gap):.4f} on average, "
        f"{np.nanquantile(gap, 0.99):.4f} at the 99th percentile."
    )


class PeakMemory:
    """Bytes a process allocates at most while a block of code runs, beyond what it had; Linux, else NaN."""

    _STATUS: Final = Path("/proc/self/status")

    def __init__(self) -> None:
        self.peak = float("nan")
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._done.set()
        self._thread.join()

    def _watch(self) -> None:
        if not self._STATUS.is_file():
            return
        before = self.peak = self._allocated()
        while not self._done.wait(0.02):
            self.peak = max(self.peak, self._allocated())
        self.peak -= before

    def _allocated(self) -> float:
        """Memory in use that is no mapped file, bytes."""
        lines = self._STATUS.read_text().splitlines()
        return next(1024.0 * int(line.split()[1]) for line in lines if line.startswith("RssAnon:"))


if __name__ == "__main__":
    main()
