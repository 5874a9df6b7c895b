"""P4: what is audited, the noise that is put into it, and evidence that is kept so that a long run resumes.

Notation: N images, L labels.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from hashlib import sha256
from inspect import signature
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from olrsearch._version import __version__
from olrsearch.audit.evidence.checks import check_evidence
from olrsearch.audit.evidence.noise import asymmetric, instance_dependent, symmetric
from olrsearch.core.arrays import digest, npy
from olrsearch.core.errors import BenchmarkError
from olrsearch.core.files import write_whole

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from olrsearch.audit.scorers.material import Material, Views
    from olrsearch.core.arrays import F32, I8

_log = logging.getLogger(__name__)

FITTED_ON: Final = 100
"""The noise seed that weights of a combination are fitted on; no figure is of it."""


@dataclass(frozen=True, slots=True, eq=False)
class AuditCase:
    """Labels to put errors into, and how to look at the images once they are there.

    Attributes:
        name: Whose figures these are, as reports print it.
        found: The images with their labels as they are stored.
        source: What they look like, in words: evidence of another source is not taken for this one's.
        views: How images look, for some labels and a seed, to models that are trained on these labels; where
            None, as they look in `found`, whatever the labels.
        hardness: float32 [L, N], probabilities of a model of another architecture that was trained on other
            images, for N3; None where there is none.
        notes: What a reader must know of them.

    Raises:
        BenchmarkError: no label is known, or hardness of another shape.
    """

    name: str
    found: Material
    source: str
    views: Callable[[I8, int], Views] | None = None
    hardness: F32 | None = None
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        given = self.found.given
        if not given.any():
            raise BenchmarkError("of labels to audit some must be known")
        shape = given.T.shape
        if self.hardness is not None and self.hardness.shape != shape:
            raise BenchmarkError(f"hardness has shape {self.hardness.shape}, expected {shape}")

    def material(self, given: I8, seed: int) -> Material:
        """The images with other labels, int8 [N, L], and another seed."""
        views = self.found.views if self.views is None else self.views(given, seed)
        return replace(self.found, given=given, views=views, seed=seed)

    def summary(self) -> dict[str, Any]:
        """What a report says of its data: `name`, `images`, `labels`, `entries`, `source`."""
        return {
            "name": self.name,
            "images": self.found.images,
            "labels": self.found.labels,
            "entries": int(np.count_nonzero(self.found.given)),
            "source": self.source,
        }


@dataclass(frozen=True, slots=True)
class Noise:
    """A model of errors.

    Attributes:
        key: What options and folders call it.
        title: What tables call it.
        apply: Labels with errors: from labels, the case's hardness and a seed.
        hard: Whether it needs the hardness.
    """

    key: str
    title: str
    apply: Callable[[I8, F32 | None, int], I8]
    hard: bool = False


def _symmetric(rate: float) -> Callable[[I8, F32 | None, int], I8]:
    return lambda given, _, seed: symmetric(given, rate, seed)


def _dependent(given: I8, hardness: F32 | None, seed: int) -> I8:
    if hardness is None:
        raise BenchmarkError("N3 needs probabilities of a model of another architecture: give the case some")
    return instance_dependent(given, hardness, seed=seed)


NOISES: Final = {
    noise.key: noise
    for noise in (
        Noise("n1-1", "N1 1 %", _symmetric(0.01)),
        Noise("n1-5", "N1 5 %", _symmetric(0.05)),
        Noise("n1-10", "N1 10 %", _symmetric(0.10)),
        Noise("n2", "N2", lambda given, _, seed: asymmetric(given, seed=seed)),
        Noise("n3", "N3", _dependent, hard=True),
    )
}
"""P4's models of noise by their keys."""


@dataclass(frozen=True, slots=True, eq=False)
class Kept:
    """Evidence in files, so that an interrupted run goes on where it was.

    A file is named by everything its content follows from: labels, identities, seed, source, the scorer with
    its settings, and the version of this package. What does not fit is not found, and what is damaged is
    computed again. After changing a scorer's code, take another folder.

    Attributes:
        folder: Where; None keeps nothing.
        case: What is audited.
    """

    folder: Path | None
    case: AuditCase

    def evidence(self, part: str, what: str, material: Material, compute: Callable[[Material], F32]) -> F32:
        """Evidence [L, N]: what was kept, or what is computed now, and kept.

        Args:
            part: Name of the noise and seed, for the folder.
            what: The scorer with its settings (`settings_of`); its first word names the file.
            material: What it is of.
            compute: Computes it.

        Raises:
            AuditError: evidence of another shape, or no probabilities.
        """
        if self.folder is None:
            return self._checked(compute(material), what)
        place = self.folder / part / f"{what.split(maxsplit=1)[0]}-{self._key(what, material)}.npy"
        found = self._read(place)
        if found is None:
            found = self._checked(compute(material), what)
            write_whole(place, npy(found))
        return found

    def _read(self, place: Path) -> F32 | None:
        if not place.exists():
            return None
        try:
            found: F32 = np.load(place, allow_pickle=False)
        except (OSError, ValueError, EOFError) as error:
            _log.warning("%s is damaged (%s): it is computed again", place, error)
            return None
        fits = found.dtype == np.float32 and found.shape == self.case.found.given.T.shape
        return found if fits else None

    def _key(self, what: str, material: Material) -> str:
        labels = digest(material.given, material.identity)
        parts = (what, str(material.seed), self.case.source, __version__, labels)
        return sha256("\n".join(parts).encode()).hexdigest()[:16]

    def _checked(self, evidence: F32, what: str) -> F32:
        check_evidence({what: evidence}, self.case.found.given)
        return evidence.astype(np.float32, copy=False)


def settings_of(scorer: Any) -> str:  # noqa: ANN401 - a scorer of any class
    """A scorer with its settings, in words: its name, its class, and what it was made with.

    Settings are the arguments of its class, found as attributes of these names or with `_` before them; equal
    settings give equal words in every process.
    """
    told = [scorer.name, type(scorer).__qualname__]
    for name in signature(type(scorer)).parameters:
        for attribute in (name, f"_{name}"):
            if hasattr(scorer, attribute):
                told.append(f"{name}={getattr(scorer, attribute)!r}")
                break
    return " ".join(told)
