"""P7, encoding: what each engine gains over torch as it is, and what its rounding costs.

All engines encode the same images in turns, A B C A B C, in one process and on one machine, so
that ratios hold on a busy one too. Quality is measured on the whole gallery, through the readout.

Notation: N images, L labels, G images of the gallery, H × W pixels, k numbers a label.
"""

from __future__ import annotations

import logging
import math
import os
import platform
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from olrsearch.core.errors import BenchmarkError
from olrsearch.evaluation.metrics import label_average_precision
from olrsearch.evaluation.report import Report, Table

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from olrsearch.core.arrays import F32, F64, I8, U8, Floats
    from olrsearch.maths.readout import Readout

_log = logging.getLogger(__name__)

TOLERANCE = 0.002
"""How much mAP an engine may differ from the reference and still count as the same."""

_PART = 256
"""Gallery images at once: bounds memory whatever the gallery."""


@dataclass(frozen=True, slots=True)
class EngineSpeed:
    """How an engine did.

    Attributes:
        name: The engine.
        images_a_second: Median over turns.
        ratio: Median over turns of its time by the reference's; below 1 it is faster.
        low: First quartile.
        high: Third quartile.
        error: Root mean square of the difference of its label embeddings from the reference's, in
            units of these embeddings' own standard deviation over the gallery.
        map: Mean average precision over labels on the gallery.
        difference: Its mAP minus the reference's.
        keeps: Whether that is within `TOLERANCE`, either way.
    """

    name: str
    images_a_second: float
    ratio: float
    low: float
    high: float
    error: float
    map: float
    difference: float
    keeps: bool


@dataclass(frozen=True, slots=True)
class PipelineSpeed:
    """Decoding and network, each alone and both at once, with all cores each time.

    Attributes:
        decoding: Images a second, read, decoded and resized.
        network: Images a second, encoded from pixels.
        together: Images a second, from files to embeddings.
        efficiency: Median over turns of the time of both alone by the time together: 1 where no
            core ever waits, more where both alone leave some waiting.
    """

    decoding: float
    network: float
    together: float
    efficiency: float


@dataclass(frozen=True, slots=True, kw_only=True)
class EncodingReport(Report):
    """P7, encoding.

    Attributes:
        engines: One entry an engine that can run here, the reference first.
        missing: Why the others cannot, by name.
        fastest: The fastest engine that keeps the reference's mAP.
        default: The engine that encoding takes by itself.
        pipeline: Decoding and network side by side, by the default engine.
        turns: Turns after one to warm up.
        timed: Images a turn.
        machine: `cores` and `architecture`.
    """

    engines: tuple[EngineSpeed, ...]
    missing: dict[str, str]
    fastest: str
    default: str
    pipeline: PipelineSpeed
    turns: int
    timed: int
    machine: dict[str, Any]

    def tables(self) -> tuple[Table, ...]:
        """Engines, and the pipeline."""
        engines = Table(
            f"Engines, {self.timed} images in {self.turns} turns",
            (
                "engine",
                "images/s",
                "ratio",
                "quartiles",
                "error",
                "mAP",
                "difference",
                f"within {TOLERANCE:g}",
            ),
            tuple(
                (
                    row.name,
                    f"{row.images_a_second:.0f}",
                    f"{row.ratio:.2f}",
                    f"{row.low:.2f}–{row.high:.2f}",
                    f"{row.error:.1e}",
                    row.map,
                    f"{row.difference:+.4f}",
                    row.keeps,
                )
                for row in self.engines
            ),
            note=f"The fastest that keeps the mAP is {self.fastest}; the default is {self.default}.",
        )
        found = self.pipeline
        pipeline = Table(
            f"Decoding beside the network, by {self.default}",
            ("what", "images/s"),
            (
                ("decoding alone", f"{found.decoding:.0f}"),
                ("network alone", f"{found.network:.0f}"),
                ("both at once", f"{found.together:.0f}"),
            ),
            note=f"Efficiency {found.efficiency:.2f}: the time of both alone by the time of both at once.",
        )
        return (engines, pipeline)


@dataclass(frozen=True, slots=True, eq=False)
class Workload:
    """What is encoded.

    Attributes:
        timed: uint8 [n, H, W, 3], images that every engine encodes in every turn.
        gallery: uint8 [G, H, W, 3]; may be memory-mapped.
        truth: int8 [L, G], −1 absent, 0 unknown, +1 present.
        readout: Of the encoder.
        decode: Decodes the timed images, alone.
        together: Decodes and encodes them, by the default engine.
    """

    timed: U8
    gallery: U8
    truth: I8
    readout: Readout
    decode: Callable[[], object]
    together: Callable[[], object]


def run_encoding(
    engines: Mapping[str, Callable[[U8], F32]],
    work: Workload,
    *,
    default: str,
    missing: Mapping[str, str],
    data: dict[str, Any],
    seed: int = 0,
    turns: int = 9,
    command: str = "olrsearch bench speed encoding",
) -> EncodingReport:
    """Time all engines in turns, and rank the gallery by each.

    Args:
        engines: uint8 [n, H, W, 3] → float32 [L, n, k] by name, the reference first.
        work: What is encoded.
        default: The engine that encoding takes by itself.
        missing: Why other engines cannot run here, by name.
        data: What is encoded, as reports say it: `name` and sizes.
        seed: That the timed images were drawn with.
        turns: Turns after one to warm up.
        command: What the report says to run.

    Raises:
        BenchmarkError: no turns, no images, no label that any of them has, or a default that is
            not among the engines.
    """
    if turns < 1 or not len(work.timed) or not work.truth.size or default not in engines:
        raise BenchmarkError(
            f"{len(work.timed)} images in {turns} turns, {work.truth.shape[1]} gallery images and engines "
            f"{', '.join(engines)}: expected one or more of each and {default} among the engines"
        )
    if not (work.truth > 0).any():
        raise BenchmarkError(
            f"none of the {work.truth.shape[1]} gallery images has a label that the encoder knows, so there "
            "is no ranking to judge: import labels of val and test images"
        )
    steps: dict[str, Callable[[], object]] = {
        name: _encoding(encode, work.timed) for name, encode in engines.items()
    }
    seconds = _in_turns([*steps.values(), work.decode, steps[default], work.together], turns)
    errors, quality = _judged(engines, work)
    reference = next(iter(engines))
    rows = tuple(
        _row(name, spent / seconds[0], _speed(spent, work), errors[name], quality[name], quality[reference])
        for name, spent in zip(engines, seconds, strict=False)  # decoding follows the engines
    )
    decoding, network, together = seconds[-3:]
    return EncodingReport(
        protocol="P7",
        title="speed of encoding, as ratios in one run",
        command=command,
        seed=seed,
        baseline=f"the engine {reference}",
        data=data,
        notes=tuple(f"{name} was left out: {reason}" for name, reason in missing.items()),
        engines=rows,
        missing=dict(missing),
        fastest=min((row for row in rows if row.keeps), key=lambda row: row.ratio).name,
        default=default,
        pipeline=PipelineSpeed(
            decoding=_speed(decoding, work),
            network=_speed(network, work),
            together=_speed(together, work),
            efficiency=float(np.median((decoding + network) / together)),
        ),
        turns=turns,
        timed=len(work.timed),
        machine={"cores": os.cpu_count(), "architecture": platform.machine()},
    )


def _speed(seconds: F64, work: Workload) -> float:
    """Images a second, the median over turns."""
    return len(work.timed) / float(np.median(seconds))


def _encoding(encode: Callable[[U8], F32], pixels: U8) -> Callable[[], object]:
    return lambda: encode(pixels)


def _in_turns(steps: list[Callable[[], object]], turns: int) -> F64:
    """Seconds of each step in each turn, float64 [steps, turns]; one turn before does not count."""
    found = np.empty((len(steps), turns + 1))
    for turn in range(turns + 1):
        for place, step in enumerate(steps):
            start = time.perf_counter()
            step()
            found[place, turn] = max(time.perf_counter() - start, 1e-9)
    return found[:, 1:]


def _judged(
    engines: Mapping[str, Callable[[U8], F32]], work: Workload
) -> tuple[dict[str, float], dict[str, float]]:
    """Each engine's error, and its mean average precision of the gallery's rankings by raw logit."""
    logits: dict[str, list[Floats]] = {name: [] for name in engines}
    gaps = dict.fromkeys(engines, 0.0)
    total = squares = np.zeros(())
    for start in range(0, len(work.gallery), _PART):
        pixels = np.asarray(work.gallery[start : start + _PART])
        expected: F32 | None = None
        for name, encode in engines.items():
            found = encode(pixels)
            logits[name].append(work.readout.logits(found))
            if expected is None:
                expected = found
                total = total + found.sum(axis=1, dtype=np.float64)
                squares = squares + np.square(found, dtype=np.float64).sum(axis=1)
            gaps[name] += float(np.square(found - expected, dtype=np.float64).sum())
    # Of each number of the embedding by itself: what all images share tells none from another.
    spread = float((squares - np.square(total) / len(work.gallery)).sum())
    errors = {name: math.sqrt(gap / spread) if spread else math.nan for name, gap in gaps.items()}
    quality = {
        name: float(np.nanmean(label_average_precision(np.concatenate(parts, axis=1), work.truth)))
        for name, parts in logits.items()
    }
    return errors, quality


def _row(name: str, ratios: F64, speed: float, error: float, quality: float, expected: float) -> EngineSpeed:
    low, ratio, high = (float(value) for value in np.quantile(ratios, [0.25, 0.5, 0.75]))
    _log.info("%s: %.0f images a second, mAP %.4f", name, speed, quality)
    keeps = abs(quality - expected) <= TOLERANCE
    return EngineSpeed(name, speed, ratio, low, high, error, quality, quality - expected, keeps)
