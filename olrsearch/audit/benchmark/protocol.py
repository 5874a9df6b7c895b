"""P4: whether an audit finds errors that were put into labels, and what each kind of evidence adds.

For every model of noise and seed: errors are injected, everything that sees labels is made from the noisy
ones, every scorer gives its evidence, and a combination, fitted on another seed, ranks the entries. It stands
against each scorer alone, against baselines, and against itself without each scorer.

Notation: N images, L labels, C identities.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Final

import numpy as np

from olrsearch.audit.benchmark.baselines import (
    FILTERS,
    NEIGHBOURS,
    cleanlab_filter,
    cleanlab_scores,
    has_cleanlab,
    random_scores,
    whole_votes,
)
from olrsearch.audit.benchmark.cases import FITTED_ON, NOISES, Kept, settings_of
from olrsearch.audit.benchmark.checks import check_contradictions, check_estimates
from olrsearch.audit.benchmark.entry_ranking import Entries, audit_figures, auprc_influence, resampled
from olrsearch.audit.benchmark.filter_sets import set_figures, set_influence
from olrsearch.audit.benchmark.report import (
    ADJUSTED,
    ANNOTATED,
    COMBINED,
    ESTIMATES,
    RANDOM,
    WHOLE_VOTE,
    WITHOUT,
    AuditBenchReport,
    AuditDifference,
    NoiseRun,
    SetDifference,
)
from olrsearch.audit.benchmark.targets import audit_targets
from olrsearch.audit.evidence.combine import Combination, fit_combination
from olrsearch.audit.evidence.estimates import estimate_errors
from olrsearch.audit.evidence.raising import raise_constants
from olrsearch.audit.evidence.weights import BY_ANNOTATORS
from olrsearch.audit.scorers.protocol import scores
from olrsearch.core.errors import BenchmarkError
from olrsearch.core.groups import cluster_of
from olrsearch.core.progress import silent
from olrsearch.evaluation.bootstrap import RESAMPLES
from olrsearch.evaluation.metrics import finite_mean

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from olrsearch.audit.benchmark.cases import AuditCase, Noise
    from olrsearch.audit.evidence.estimates import LabelErrors
    from olrsearch.audit.scorers.material import Material
    from olrsearch.audit.scorers.protocol import Scorer
    from olrsearch.core.arrays import F32, F64, I8, I64, Bool
    from olrsearch.core.progress import Track

SEEDS: Final = (0, 1, 2)


@dataclass(frozen=True, slots=True, eq=False)
class _Measured:
    """One model of noise and seed.

    Attributes:
        run: The figures.
        auprc: Of each method, what every identity adds to its AUPRC, float64 [2, C].
        sets: Of each filter, what every identity adds to the difference of recalls, float64 [C].
    """

    run: NoiseRun
    auprc: dict[str, F64]
    sets: dict[str, F64]


def run_audit_bench(
    case: AuditCase,
    scorers: Sequence[Scorer],
    *,
    noises: Sequence[str] = tuple(NOISES),
    seeds: Sequence[int] = SEEDS,
    cache: Path | None = None,
    resamples: int = RESAMPLES,
    track: Track = silent,
) -> AuditBenchReport:
    """Measure P4.

    Args:
        case: Labels, and how to look at the images.
        scorers: In the order they run; a scorer's place among the others changes nothing.
        noises: Keys of `NOISES`; N3 is left out, with a note, where the case has no hardness.
        seeds: Of the noise; not `FITTED_ON`.
        cache: Where evidence is kept, so that an interrupted run goes on; None keeps nothing.
        resamples: Bootstrap resamples.
        track: Told how far each scorer is.

    Raises:
        BenchmarkError: no scorer or two of one name, an unknown noise, no seed, a seed twice or the one that
            weights are fitted on.
    """
    _check(scorers, noises, seeds)
    kept = Kept(cache, case)
    notes = [
        *case.notes,
        "Errors that were in the labels before count as false alarms: figures are lower bounds.",
        (
            "Scorers alone: `other-labels` is P4's labels only; `probability` is self-confidence, and orders "
            "entries as cleanlab's three ranking scores do."
        ),
        f"Weights are fitted on N1 5 % with seed {FITTED_ON}, of which no figure is.",
    ]
    if not (cleanlab := has_cleanlab()):
        notes.append("cleanlab is not installed (the extra `audit`): it does not stand beside.")
    used = [NOISES[key] for key in noises]
    if case.hardness is None and any(noise.hard for noise in used):
        used = [noise for noise in used if not noise.hard]
        notes.append("N3 was left out: the case has no probabilities of another architecture.")

    original, first = case.found.given, seeds[0]
    fitted = case.material(NOISES["n1-5"].apply(original, None, FITTED_ON), FITTED_ON)
    evidence = _evidence(scorers, kept, f"fitted-seed{FITTED_ON}", fitted, track)
    combinations = _combinations(evidence, fitted, original)
    clean = case.material(original, first)
    before = _estimated(clean, _evidence(scorers, kept, "original", clean, track))

    cluster = cluster_of(case.found.identity)
    measured: dict[str, list[_Measured]] = {}
    estimates = []
    for noise in used:
        for seed in seeds:
            noisy = case.material(noise.apply(original, case.hardness, seed), seed)
            part = f"{noise.key}-seed{seed}"
            evidence = _evidence(scorers, kept, part, noisy, track)
            voting = f"{WHOLE_VOTE} neighbours={NEIGHBOURS}"
            votes = kept.evidence(part, voting, noisy, partial(whole_votes, track=track))
            after = _estimated(noisy, evidence)
            estimates.append(check_estimates(noise.title, seed, original, noisy.given, before, after))
            weights = _raised(combinations, evidence, noisy, after)
            probability = evidence.get("probability") if cleanlab else None
            ranked = _rankings(weights, evidence, votes, noisy, probability)
            found = _measure(noise, original, noisy, ranked, probability, cluster)
            measured.setdefault(noise.title, []).append(found)

    runs = tuple(one.run for found in measured.values() for one in found)
    rows = _differences(measured, seed=first, resamples=resamples)
    differences = tuple(row for row in rows if not row.other.startswith(WITHOUT))
    sets = _set_differences(measured, seed=first, resamples=resamples)
    contradictions = check_contradictions(clean.names, original, twins=case.found.twins, seed=first)
    return AuditBenchReport(
        protocol="P4",
        title="label audit",
        command="olrsearch bench audit",
        seed=first,
        baseline="chance, labels only, self-confidence, cleanlab, and a vote in the whole embedding",
        data=case.summary(),
        notes=tuple(notes),
        label_names=clean.names,
        scorers=tuple(scorer.name for scorer in scorers),
        combination=combinations[COMBINED].to_dict(),
        figures=audit_targets(runs, differences, sets, estimates, contradictions, seed=first),
        runs=runs,
        differences=differences,
        left_out=tuple(row for row in rows if row.other.startswith(WITHOUT)),
        sets=sets,
        estimates=tuple(estimates),
        contradictions=contradictions,
    )


def _evidence(
    scorers: Sequence[Scorer], kept: Kept, part: str, material: Material, track: Track
) -> dict[str, F32]:
    """Every scorer's evidence by its name, kept or made now."""
    return {
        scorer.name: kept.evidence(part, settings_of(scorer), material, partial(scorer.evidence, track=track))
        for scorer in scorers
    }


def _estimated(material: Material, evidence: Mapping[str, F32]) -> tuple[LabelErrors, ...]:
    return estimate_errors(material.names, material.given, evidence, material.identity, seed=material.seed)


def _combinations(evidence: Mapping[str, F32], material: Material, truth: I8) -> dict[str, Combination]:
    """The combination of all scorers, and those without one, where there is more than one."""
    asked = {COMBINED: evidence}
    if len(evidence) > 1:
        for name in evidence:
            asked[WITHOUT + name] = {other: said for other, said in evidence.items() if other != name}
    return {
        name: fit_combination(said, material.given, truth, material.names) for name, said in asked.items()
    }


def _raised(
    combinations: Mapping[str, Combination],
    evidence: Mapping[str, F32],
    material: Material,
    errors: Sequence[LabelErrors],
) -> dict[str, Combination]:
    """The same, the default weights among them, raised to what estimates prove of these labels.

    The combination of all as it was is without the estimates.
    """
    out = dict(combinations)
    weights = dict(zip(BY_ANNOTATORS.scorers, BY_ANNOTATORS.pooled, strict=False))
    if weighed := [name for name in evidence if weights.get(name, 0) > 0]:
        out[ANNOTATED] = BY_ANNOTATORS.restricted(weighed)
    raised = {
        name: raise_constants(one, evidence, material.given, material.names, errors)
        for name, one in out.items()
    }
    return {**raised, WITHOUT + ESTIMATES: combinations[COMBINED]}


def _rankings(
    combinations: Mapping[str, Combination],
    evidence: Mapping[str, F32],
    votes: F32,
    material: Material,
    probability: F32 | None,
) -> dict[str, F32]:
    """Scores of every method, float32 [L, N], smaller = more suspicious; cleanlab's of probabilities."""
    given = material.given
    out = {
        name: scores(one.present(evidence, given, material.names), given)
        for name, one in combinations.items()
    }
    out |= {name: scores(values, given) for name, values in evidence.items()}
    out[WHOLE_VOTE] = scores(votes, given)
    if probability is not None:
        out[ADJUSTED] = cleanlab_scores(given, probability, adjusted=True)
    out[RANDOM] = random_scores(given, seed=material.seed)
    return out


def _measure(
    noise: Noise,
    original: I8,
    material: Material,
    ranked: Mapping[str, F32],
    probability: F32 | None,
    cluster: I64,
) -> _Measured:
    given = material.given
    entries = Entries.of(given != original, given)
    sets: dict[str, Bool] = {}
    if probability is not None:
        sets = {by: cleanlab_filter(given, probability, by=by) for by in FILTERS}
    ours = ranked[COMBINED]
    return _Measured(
        NoiseRun(
            noise=noise.title,
            seed=material.seed,
            entries=len(entries.wrong),
            errors=int(entries.wrong.sum()),
            rankings={name: audit_figures(values, entries) for name, values in ranked.items()},
            sets={by: set_figures(chosen, ours, entries) for by, chosen in sets.items()},
        ),
        {name: auprc_influence(values, entries, cluster) for name, values in ranked.items()},
        {by: set_influence(chosen, ours, entries, cluster) for by, chosen in sets.items()},
    )


def _differences(
    measured: Mapping[str, Sequence[_Measured]], *, seed: int, resamples: int
) -> tuple[AuditDifference, ...]:
    """The combination minus every other method, by noise: means over seeds."""
    out = []
    for noise, found in measured.items():
        for other in found[0].auprc:
            if other == COMBINED:
                continue
            influence = np.mean([one.auprc[COMBINED] - one.auprc[other] for one in found], axis=0)
            pairs = [(one.run.rankings[COMBINED], one.run.rankings[other]) for one in found]
            micro = finite_mean(ours.auprc - theirs.auprc for ours, theirs in pairs)
            macro = finite_mean(ours.macro_auprc - theirs.macro_auprc for ours, theirs in pairs)
            out.append(
                AuditDifference(
                    noise,
                    other,
                    resampled(influence[0], micro, seed=seed, resamples=resamples),
                    resampled(influence[1], macro, seed=seed, resamples=resamples),
                )
            )
    return tuple(out)


def _set_differences(
    measured: Mapping[str, Sequence[_Measured]], *, seed: int, resamples: int
) -> tuple[SetDifference, ...]:
    """The combination against every filter, by noise: means over seeds."""
    out = []
    for noise, found in measured.items():
        for by in found[0].sets:
            figures = [one.run.sets[by] for one in found]
            influence = np.mean([one.sets[by] for one in found], axis=0)
            estimate = finite_mean(one.ranked_recall - one.recall for one in figures)
            out.append(
                SetDifference(
                    noise,
                    by,
                    finite_mean(one.size for one in figures),
                    resampled(influence, estimate, seed=seed, resamples=resamples),
                    finite_mean(one.more for one in figures),
                )
            )
    return tuple(out)


def _check(scorers: Sequence[Scorer], noises: Sequence[str], seeds: Sequence[int]) -> None:
    names = [scorer.name for scorer in scorers]
    if not names or len(set(names)) < len(names):
        raise BenchmarkError(f"scorers {', '.join(names) or 'none'}: expected at least one, each once")
    if unknown := [key for key in noises if key not in NOISES]:
        raise BenchmarkError(f"unknown noise {', '.join(unknown)}: expected some of {', '.join(NOISES)}")
    if not noises or not seeds or len(set(seeds)) < len(seeds) or FITTED_ON in seeds:
        raise BenchmarkError(
            f"noises {list(noises)} and seeds {list(seeds)}: expected some of both, each seed once and none "
            f"of them {FITTED_ON}, which weights are fitted on"
        )
