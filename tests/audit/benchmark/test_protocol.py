from __future__ import annotations

import json
import math
import sys
from dataclasses import dataclass, replace

import numpy as np
import pytest
from scipy.special import expit

from olrsearch.audit.benchmark.cases import FITTED_ON, NOISES, AuditCase, Kept, settings_of
from olrsearch.audit.benchmark.checks import EXPECTED, check_contradictions, check_estimates
from olrsearch.audit.benchmark.protocol import run_audit_bench
from olrsearch.audit.benchmark.report import ANNOTATED, COMBINED, AuditDifference, SetDifference
from olrsearch.audit.benchmark.targets import audit_targets
from olrsearch.audit.evidence.combine import fit_combination
from olrsearch.audit.evidence.noise import symmetric
from olrsearch.audit.scorers.contradictions import Contradictions
from olrsearch.audit.scorers.material import Material, identity_folds
from olrsearch.audit.scorers.rules import never
from olrsearch.core.errors import AuditError, BenchmarkError
from olrsearch.core.progress import silent
from olrsearch.evaluation.bootstrap import Interval

IMAGES, LABELS = 600, 8
NAMES = tuple(f"label {letter}" for letter in "abcdefgh")


class Views:
    def __init__(self, features):
        self.all = features

    def features(self, fold, rows):
        del fold
        return self.all[rows]


class Linear:
    """Ridge regression on the features of other folds, as a probability; counts how often it is asked."""

    name = "probability"
    summary = "ridge regression"

    def __init__(self, ridge=5.0):
        self.ridge = ridge

    def evidence(self, material, *, track):
        out = np.empty((material.labels, material.images), np.float32)
        for fold in track(range(material.folds), total=material.folds, what=self.name, unit="folds"):
            outside, inside = material.outside(fold), material.inside(fold)
            known = material.views.features(fold, outside).astype(np.float64)
            weight = np.linalg.solve(
                known.T @ known + self.ridge * np.eye(known.shape[1]), known.T @ material.given[outside]
            )
            out[:, inside] = expit(3 * material.views.features(fold, inside) @ weight).T
        return out

    def explain(self, material, row, label, present):
        raise NotImplementedError


class Chance:
    """A scorer that knows nothing."""

    name = "chance"
    summary = "nothing"

    def evidence(self, material, *, track):
        del track
        return np.random.default_rng(material.seed).random((material.labels, material.images), np.float32)

    def explain(self, material, row, label, present):
        raise NotImplementedError


@dataclass(frozen=True)
class Rate:
    rate: float
    low: float
    high: float
    count_low: float = 0.0
    count_high: float = 0.0


@dataclass(frozen=True)
class Errors:
    false_absent: Rate
    false_present: Rate
    total: Rate


def estimate(names, given, evidence, identity, *, seed):
    """Share of entries that the first scorer is against."""
    del identity, seed
    (said, *_) = evidence.values()
    out = []
    for label in range(len(names)):
        against = np.where(given[:, label] > 0, said[label] < 0.5, False)
        share = float(against.mean())
        count = share * len(given)
        rate = Rate(share, share - 0.05, share + 0.05, 0.8 * count, 1.2 * count)
        out.append(Errors(rate, rate, rate))
    return tuple(out)


class Made:
    """How images look, and to models of which labels that was asked."""

    def __init__(self, features):
        self.features = features
        self.asked = []

    def __call__(self, given, seed):
        self.asked.append((given.copy(), seed))
        return Views(self.features)


def make_case(*, hard=True, seed=0):
    rng = np.random.default_rng(seed)
    identity = rng.integers(0, IMAGES // 3, IMAGES)
    latent = rng.normal(size=(IMAGES, 6))
    logits = latent @ rng.normal(size=(6, LABELS)) - 0.5
    original = np.where(logits > 0, 1, -1).astype(np.int8)
    original[rng.random(original.shape) < 0.02] = 0
    features = np.column_stack([latent + 0.2 * rng.normal(size=latent.shape), np.ones(IMAGES)])
    made = Made(features.astype(np.float32))
    hardness = expit(2 * logits).T.astype(np.float32) if hard else None
    found = Material(NAMES, original, identity_folds(identity), identity, Views(made.features))
    return AuditCase("made up", found, "six latent numbers", made, hardness), made


def run(case, scorers=None, **options):
    options = {"seeds": (0, 1), "resamples": 200, **options}
    return run_audit_bench(case, (Linear(), Chance()) if scorers is None else scorers, **options)


@pytest.fixture(scope="module", autouse=True)
def two_filters():
    """Filters take cleanlab long to say little of 600 images; test_audit_baselines.py asks them all."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            "olrsearch.audit.benchmark.protocol.FILTERS", ("prune_by_noise_rate", "low_self_confidence")
        )
        yield


@pytest.fixture(scope="module", autouse=True)
def quick_estimates():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("olrsearch.audit.benchmark.protocol.estimate_errors", estimate)
        yield


@pytest.fixture
def no_cleanlab(monkeypatch):
    monkeypatch.setitem(sys.modules, "cleanlab", None)


@pytest.fixture(scope="module")
def measured():
    case, made = make_case()
    scorers = (Linear(), Chance())
    report = run(replace(case, found=replace(case.found, twins=np.array([[0, 1], [2, 5]]))), scorers)
    return case, made, report


@pytest.mark.slow
def test_every_noise_and_seed_is_measured_by_every_method(measured):
    case, _, report = measured
    assert [(one.noise, one.seed) for one in report.runs] == [
        (noise.title, seed) for noise in NOISES.values() for seed in (0, 1)
    ]
    names = {
        COMBINED,
        ANNOTATED,
        "probability",
        "chance",
        "whole-vote",
        "cleanlab, adjusted",
        "random",
        "without probability",
        "without chance",
        "without estimates",
    }
    for one in report.runs:
        assert set(one.rankings) == names
        assert len(one.sets) == 2
        assert one.entries == np.count_nonzero(case.found.given)
        found = one.rankings
        assert found["random"].auprc == pytest.approx(one.base_rate, abs=0.05)
        assert found[COMBINED].auprc > 2 * one.base_rate
        assert found[COMBINED].lift_t == pytest.approx(found[COMBINED].precision_t / one.base_rate)
    rate = {one.noise: one.base_rate for one in report.runs if one.seed == 0}
    assert rate["N1 1 %"] < rate["N1 5 %"] < rate["N1 10 %"]
    assert rate["N3"] == pytest.approx(0.05, abs=0.01)


@pytest.mark.slow
def test_everything_is_made_from_noisy_labels_and_weights_from_a_seed_of_their_own(measured):
    case, made, report = measured
    fitted = symmetric(case.found.given, 0.05, FITTED_ON)
    assert any(np.array_equal(given, fitted) and seed == FITTED_ON for given, seed in made.asked)
    noisy = [given for given, seed in made.asked if seed != FITTED_ON]
    clean = [given for given in noisy if np.array_equal(given, case.found.given)]
    # Clean labels serve the estimates on the original alone.
    assert len(clean) == 1
    pooled = dict(zip(report.combination["scorers"], report.combination["pooled"], strict=False))
    assert pooled["probability"] > 0.3 > abs(pooled["chance"])


@pytest.mark.slow
def test_what_helps_is_told_from_what_does_not(measured):
    _, _, report = measured
    by = {(row.noise, row.other): row.auprc for row in report.differences}
    left = {(row.noise, row.other): row.auprc for row in report.left_out}
    assert by["N1 5 %", "random"].low > 0
    assert left["N1 5 %", "without probability"].estimate > -0.02
    assert abs(left["N1 5 %", "without chance"].estimate) < 0.02
    assert {row.other for row in report.left_out} == {
        "without probability",
        "without chance",
        "without estimates",
    }
    for row in report.differences:
        assert row.auprc.low <= row.auprc.estimate <= row.auprc.high
        runs = [one.rankings for one in report.runs if one.noise == row.noise]
        difference = np.mean([one[COMBINED].auprc - one[row.other].auprc for one in runs])
        assert row.auprc.estimate == pytest.approx(difference)


@pytest.mark.slow
def test_figures_have_targets_and_are_lines(measured):
    _, _, report = measured
    lines = {line["metric"]: line for line in report.lines()}
    assert set(next(iter(lines.values()))) == {"metric", "value", "target", "passed", "unit", "seed", "paper"}
    mean = lines["N1 5 %: AUPRC, mean over seeds"]
    values = [one.rankings[COMBINED].auprc for one in report.runs if one.noise == "N1 5 %"]
    assert mean["value"] == pytest.approx(np.mean(values))
    assert (mean["target"], mean["passed"]) == (0.70, bool(np.mean(values) >= 0.70))
    assert lines["N1 5 %: P@100, mean over seeds"]["target"] == 0.97
    assert lines["N1 1 %: AUPRC, mean over seeds"]["target"] is None
    for noise in ("N1 5 %", "N2", "N3"):
        line = lines[f"{noise}: AUPRC above random, low end"]
        assert (line["target"], line["passed"], line["unit"]) == (0.0, line["value"] > 0, "difference")
    assert lines["N1 10 %: AUPRC above random, high end"]["passed"]
    assert lines["N5: the same rules after renaming"]["passed"]
    assert [line["seed"] for line in report.lines() if line["metric"] == "N2: AUPRC"] == [0, 1]


@pytest.mark.slow
def test_the_report_is_json_and_tables(measured):
    _, _, report = measured
    told = json.loads(json.dumps(report.to_dict(), allow_nan=False))
    assert told["protocol"] == "P4"
    assert told["data"]["source"] == "six latent numbers"
    assert told["results"]["scorers"] == ["probability", "chance"]
    assert set(told["results"]["left_out"][0]["auprc"]) == {"estimate", "low", "high", "excludes_zero"}
    text = report.to_markdown()
    for title in (
        "**Figures**",
        "**N1 5 %: rankings of all entries, mean of seeds 0, 1**",
        "**All together minus another method",
        "**All together minus the same without one scorer",
        "**All together against cleanlab's filter",
        "**Estimated error rates",
        "**N5: contradictions",
    ):
        assert title in text
    assert "finding every wrong entry has precision 0.8" in text
    rankings = next(table for table in report.tables() if table.title.startswith("N2: rankings"))
    assert [row[0] for row in rankings.rows][:3] == [COMBINED, ANNOTATED, "probability"]
    assert not any(row[0].startswith("without") for row in rankings.rows)


class Counted(Linear):
    def evidence(self, material, *, track):
        COUNTED.append(material.seed)
        return super().evidence(material, track=track)


COUNTED: list[int] = []


@pytest.mark.slow
@pytest.mark.usefixtures("no_cleanlab")
def test_a_run_goes_on_where_it_was_interrupted(tmp_path):
    case, _ = make_case(hard=False)
    options = {"noises": ("n1-5",), "cache": tmp_path}

    class Interrupting(Chance):
        def evidence(self, material, *, track):
            if material.seed == 1:
                raise KeyboardInterrupt
            return super().evidence(material, track=track)

    COUNTED.clear()
    with pytest.raises(KeyboardInterrupt):
        run(case, (Counted(), Interrupting()), **options)
    assert COUNTED == [FITTED_ON, 0, 0, 1]  # the second for the labels as they are
    first = run(case, (Counted(), Chance()), **options)
    assert COUNTED == [FITTED_ON, 0, 0, 1]  # nothing of it again
    again = run(case, (Counted(), Chance()), **options)
    assert COUNTED == [FITTED_ON, 0, 0, 1]
    assert again == first
    assert again.runs == run(case, (Counted(), Chance()), noises=("n1-5",)).runs

    files = sorted(tmp_path.rglob("probability-*.npy"))
    assert [file.parent.name for file in files] == ["fitted-seed100", "n1-5-seed0", "n1-5-seed1", "original"]
    # A damaged file is computed again, other settings and other sources are others.
    COUNTED.clear()
    files[1].write_bytes(files[1].read_bytes()[:-7])
    assert run(case, (Counted(), Chance()), **options) == first
    assert COUNTED == [0]
    assert run(case, (Counted(ridge=50.0), Chance()), **options) != first
    assert COUNTED == [0, FITTED_ON, 0, 0, 1]
    run(replace(case, source="other numbers"), (Counted(), Chance()), **options)
    assert COUNTED == [0, FITTED_ON, 0, 0, 1, FITTED_ON, 0, 0, 1]


def test_the_combination_is_fitted_where_no_figure_is_of(monkeypatch):
    case, _ = make_case(hard=False)
    asked = []

    def fit(evidence, given, truth, labels):
        asked.append((tuple(evidence), given, truth, labels))
        return fit_combination(evidence, given, truth, labels)

    monkeypatch.setattr("olrsearch.audit.benchmark.protocol.fit_combination", fit)
    run(case, noises=("n1-5",), seeds=(0,))
    assert [names for names, *_ in asked] == [("probability", "chance"), ("chance",), ("probability",)]
    for _, given, truth, labels in asked:
        assert np.array_equal(given, symmetric(case.found.given, 0.05, FITTED_ON))
        assert np.array_equal(truth, case.found.given)
        assert labels == NAMES


def test_one_scorer_alone_is_not_left_out(tmp_path):
    case, _ = make_case(hard=False)
    report = run(case, (Chance(),), noises=("n1-10",), seeds=(3,), cache=tmp_path)
    assert [row.other for row in report.left_out] == ["without estimates"]
    assert report.sets == ()
    assert set(report.runs[0].rankings) == {COMBINED, "without estimates", "chance", "whole-vote", "random"}


@pytest.mark.usefixtures("no_cleanlab")
def test_n3_is_left_out_without_another_architecture_and_said():
    case, _ = make_case(hard=False)
    report = run(case, noises=("n1-5", "n3"), seeds=(0,))
    assert [one.noise for one in report.runs] == ["N1 5 %"]
    assert any(note.startswith("N3 was left out") for note in report.notes)


@pytest.mark.usefixtures("no_cleanlab")
def test_without_cleanlab_the_rest_is_measured():
    case, _ = make_case(hard=False)
    report = run(case, noises=("n1-5",), seeds=(0,))
    assert "cleanlab, adjusted" not in report.runs[0].rankings
    assert report.sets == ()
    assert any("cleanlab is not installed" in note for note in report.notes)


def test_targets_are_judged_by_the_right_end():
    def differences(noise, low, high):
        within = Interval((low + high) / 2, low, high)
        return AuditDifference(noise, "random", within, within)

    class Run:
        seed, base_rate = 0, 0.05

        def __init__(self, noise, auprc):
            self.noise = noise
            self.rankings = {COMBINED: type("F", (), {"auprc": auprc, "precision_100": 0.98})}

    rows = audit_targets(
        [Run("N1 5 %", 0.69), Run("N1 1 %", 0.5)],
        [differences("N1 5 %", -0.01, 0.2), differences("N1 1 %", -0.1, 0.02)],
        [SetDifference("N1 5 %", "both", 10.0, Interval(0.1, 0.05, 0.2), 3.0)],
        [],
        None,
        seed=0,
    )
    judged = {row.metric: row.passed for row in rows if row.target is not None}
    assert judged == {
        "N1 5 %: AUPRC, mean over seeds": False,
        "N1 5 %: P@100, mean over seeds": True,
        "N1 5 %: AUPRC above random, low end": False,
        "N1 5 %: recall above cleanlab's filter both at its size, low end": True,
        "N1 1 %: AUPRC above random, high end": True,
    }
    worse = audit_targets([Run("N1 1 %", 0.5)], [differences("N1 1 %", -0.1, -0.02)], [], [], None, seed=0)
    assert [row.passed for row in worse if row.target is not None] == [False]


def test_estimates_are_judged_by_their_rise():
    original = np.ones((100, 2), np.int8)
    original[:, 1] = -1
    given = original.copy()
    given[:10, 0] = -1
    before = [Errors(Rate(0.0, 0, 0), Rate(0.0, 0, 0), Rate(0.02, 0.01, 0.03))] * 2
    after = [
        Errors(Rate(0.9, 0, 1), Rate(0.0, 0, 0), Rate(0.13, 0.11, 0.15)),
        Errors(Rate(0.0, 0, 0), Rate(math.nan, math.nan, math.nan), Rate(0.05, 0.04, 0.06)),
    ]
    found = check_estimates("N1", 4, original, given, before, after)
    assert found.injected == pytest.approx(0.05)
    assert found.estimated == pytest.approx((0.11 + 0.03) / 2)
    assert found.off == pytest.approx((0.01 + 0.03) / 2)
    assert found.within == 0.5
    # All ten that stand as absent in the first label are wrong, and 90 % were said to be.
    assert found.false_absent == pytest.approx((-0.1 + 0.0) / 2)
    assert found.false_present == pytest.approx(0.0)


def test_contradictions_of_celeba_are_expected_and_names_decide_nothing():
    rng = np.random.default_rng(0)
    names = ("Male", *dict.fromkeys(name for pair in EXPECTED for name in pair))
    given = np.full((6000, len(names)), -1, np.int8)
    hair = rng.integers(0, 5, len(given))
    for place, colour in enumerate(("Black_Hair", "Blond_Hair", "Brown_Hair", "Gray_Hair")):
        given[hair == place, names.index(colour)] = 1
    for one, other in (("No_Beard", "Goatee"), ("Straight_Hair", "Wavy_Hair")):
        which = rng.integers(0, 3, len(given))
        given[which == 0, names.index(one)] = 1
        given[which == 1, names.index(other)] = 1
    given[:, 0] = rng.choice([-1, 1], len(given))
    given[0, [names.index("No_Beard"), names.index("Goatee")]] = 1
    twins = np.array([[1, 2], [3, 3]])
    found = check_contradictions(names, given, twins=twins, seed=0)
    assert (found.expected, found.surfaced) == (8, 8)
    assert found.renamed
    assert (found.twins, found.disagreeing) == (2, int((given[1] != given[2]).any()))
    assert found.disagreements == (given[1] != given[2]).sum()
    assert (
        dict(zip(found.rules, found.violations, strict=True))[
            next(rule for rule in found.rules if "No_Beard" in rule and "Goatee" in rule)
        ]
        == 1
    )
    others = check_contradictions([f"x{place}" for place in range(len(names))], given, twins=None, seed=0)
    assert (others.expected, others.surfaced, others.twins) == (None, 0, None)
    assert len(others.rules) == len(found.rules)


def test_settings_tell_scorers_apart_in_words():
    assert settings_of(Linear(2.0)) == "probability Linear ridge=2.0"
    assert settings_of(Chance()) == "chance Chance"
    # What it was made with, and nothing that it remembers; privately kept settings too.
    asked = Linear(2.0)
    asked.remembered = np.zeros(9)
    assert settings_of(asked) == settings_of(Linear(2.0))
    assert settings_of(Contradictions()) == "contradictions Contradictions own=()"
    rule = never((0, 1), (1, 1), ("Bald", "Bangs"), source="file")
    assert "Bangs" in settings_of(Contradictions([rule]))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"scorers": ()}, "scorers none"),
        ({"scorers": (Chance(), Chance())}, "chance, chance: expected at least one, each once"),
        ({"noises": ("n9",)}, "unknown noise n9: expected some of n1-1, n1-5"),
        ({"noises": ()}, "expected some of both"),
        ({"seeds": ()}, "expected some of both"),
        ({"seeds": (0, 0)}, "each seed once"),
        ({"seeds": (FITTED_ON,)}, "which weights are fitted on"),
    ],
)
def test_what_cannot_be_run_is_refused(options, message):
    case, _ = make_case()
    with pytest.raises(BenchmarkError, match=message):
        run(case, **options)


def test_material_is_of_the_noisy_labels_whether_or_not_images_look_otherwise_then():
    case, made = make_case(hard=False)
    noisy = -case.found.given
    found = case.material(noisy, 7)
    assert np.array_equal(found.given, noisy)
    assert found.seed == 7
    assert np.array_equal(made.asked[0][0], noisy)
    fixed = replace(case, views=None).material(noisy, 7)
    assert np.array_equal(fixed.given, noisy)
    assert fixed.views is case.found.views
    assert len(made.asked) == 1


def test_cases_and_evidence_are_checked():
    case, _ = make_case()
    for changes, message in (
        ({"found": replace(case.found, given=np.zeros_like(case.found.given))}, "some must be known"),
        ({"hardness": case.hardness.T}, "hardness has shape"),
    ):
        with pytest.raises(BenchmarkError, match=message):
            replace(case, **changes)
    kept = Kept(None, case)
    with pytest.raises(AuditError, match=r"evidence of x is \(2, 2\) for labels"):
        kept.evidence("a", "x", case.found, lambda _: np.zeros((2, 2), np.float32))
    with pytest.raises(AuditError, match="outside 0 to 1"):
        kept.evidence("a", "x", case.found, lambda _: np.full((LABELS, IMAGES), 2, np.float32))
    with pytest.raises(BenchmarkError, match="N3 needs probabilities"):
        NOISES["n3"].apply(case.found.given, None, 0)


@pytest.mark.usefixtures("no_cleanlab")
def test_progress_is_told():
    case, _ = make_case(hard=False)
    told = []

    def track(items, *, total, what, unit="images"):
        told.append((what, unit))
        return silent(items, total=total, what=what, unit=unit)

    run(case, noises=("n1-5",), seeds=(0,), track=track)
    assert ("probability", "folds") in told
    assert ("whole-vote", "folds") in told
