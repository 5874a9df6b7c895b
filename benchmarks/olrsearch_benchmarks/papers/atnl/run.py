"""The whole of `bench papers atnl`, from the files of MNIST to a report; encoders stay in a folder."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from olrsearch_benchmarks.papers.atnl.few_shot import GROUPS, find_shots, measure_few_shots
from olrsearch_benchmarks.papers.atnl.judge import judge_of
from olrsearch_benchmarks.papers.atnl.models import KINDS, trained_encoder
from olrsearch_benchmarks.papers.atnl.report import make_report, shots_note
from olrsearch_benchmarks.papers.atnl.table1 import measure

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from olrsearch_benchmarks.papers.atnl.digits import SplitDigits
    from olrsearch_benchmarks.papers.atnl.few_shot import Classifier, FewShots
    from olrsearch_benchmarks.papers.atnl.report import AtnlPaperReport
    from olrsearch_benchmarks.papers.atnl.table1 import Measures

_SEVERAL: Final = ("vae-tl", "atnl")
"""Kinds that are trained with several seeds, for they are compared."""

_ASKED: Final = 2000
"""Selection images that the number of shots is found on."""

_CLASSIFIERS: Final[tuple[tuple[Classifier, int], ...]] = (("kNN", 5), ("kNN", 1), ("CNN", 0))
_DRAWS: Final[dict[Classifier, int]] = {"kNN": 10, "CNN": 5}

_NOTES: Final = (
    "The first 50,000 training images teach, the last 10,000 choose, the official test set is measured.",
    "The votes are those of the images that taught; the poster does not say what its accuracy is of.",
    "Few shots: the poster gives neither their number nor its networks.",
)


def run_atnl_paper(
    digits: SplitDigits,
    folder: Path,
    *,
    seeds: int = 3,
    settings: Mapping[str, str] | None = None,
    judge_steps: int = 1500,
    draws: Mapping[Classifier, int] = _DRAWS,
    say: Callable[[str], None] = lambda _: None,
    command: str = "olrsearch bench papers atnl",
) -> AtnlPaperReport:
    """Train what is not trained yet, and measure tables 1 and 2.

    Args:
        digits: The three parts.
        folder: Keeps judge and encoders; one that was interrupted goes on.
        seeds: Of ATNL and VAE-TL; the others have seed 0.
        settings: Changes of every encoder's profile.
        judge_steps: Batches that teach the judge.
        draws: Of shots, by classifier.
        say: Told what is done.
        command: What the report says to run.
    """
    judge = judge_of(digits.train, folder, steps=judge_steps)
    read = float((judge.read(digits.test.pixels) == digits.test.classes).mean())
    say(f"the judge reads {read:.4f} of the test images")
    measured: dict[str, list[Measures]] = {}
    for kind in KINDS:
        for seed in range(seeds if kind in _SEVERAL else 1):
            encoder = trained_encoder(kind, digits, folder, seed, settings=settings)
            found = measure(encoder, digits.train, digits.test, judge, seed=seed)
            measured.setdefault(kind, []).append(found)
            say(f"{kind}, seed {seed}: 5-NN {found.neighbours:.4f}, midpoint {found.midpoint:.4f}")
    few_shots = measure_table2(digits, folder, settings=settings, draws=draws, say=say)
    data: dict[str, Any] = {
        "name": "MNIST",
        "images": len(digits.train) + len(digits.selection) + len(digits.test),
        "train": len(digits.train),
        "selection": len(digits.selection),
        "gallery": len(digits.test),
    }
    return make_report(
        measured,
        few_shots,
        data=data,
        command=command,
        notes=[
            f"The judge, a small convolutional network trained apart, reads {read:.4f} of the test images.",
            *_NOTES,
            f"{shots_note(few_shots)}.",
        ],
    )


def measure_table2(
    digits: SplitDigits,
    folder: Path,
    *,
    settings: Mapping[str, str] | None = None,
    draws: Mapping[Classifier, int] = _DRAWS,
    say: Callable[[str], None] = lambda _: None,
) -> list[FewShots]:
    """Both protocols of table 2 with every classifier; see `run_atnl_paper` for the arguments."""
    told_all = trained_encoder("atnl", digits, folder, 0, settings=settings)
    told_half = [
        trained_encoder("atnl", digits, folder, 0, settings=settings, seen=seen, name=f"atnl-told-{seen[0]}")
        for seen in GROUPS
    ]
    found = []
    for classifier, neighbours in _CLASSIFIERS:
        few = digits.selection[slice(-_ASKED, None)]
        shots = find_shots(digits.train, few, classifier, neighbours=neighbours)
        for encoders in ([told_all], told_half):
            one = measure_few_shots(
                digits.train,
                digits.test,
                classifier,
                encoders,
                shots=shots,
                neighbours=neighbours,
                draws=draws[classifier],
            )
            found.append(one)
            means = ", ".join(f"{extra} {values.mean():.4f}" for extra, values in one.accuracy.items())
            say(f"{classifier} {neighbours}, {shots} shots, {len(encoders)} encoder(s): {means}")
    return found
