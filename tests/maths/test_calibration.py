import json
import logging

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from olrsearch.core.errors import CalibrationError
from olrsearch.maths.calibration import Calibration, fit_calibration


def made_up(slope=1.7, offset=-0.8, images=20000, seed=0):
    rng = np.random.default_rng(seed)
    logits = rng.normal(1, 2, size=(1, images))
    p = 1 / (1 + np.exp(-(slope * logits + offset)))
    return logits, np.where(rng.random((1, images)) < p, 1, -1).astype(np.int8).T


def test_finds_the_slope_and_offset_that_made_the_labels():
    logits, labels = made_up()
    fitted = fit_calibration(logits, labels, ["a"], label_revision=3, split="val")
    assert fitted.slope[0] == pytest.approx(1.7, rel=0.06)
    assert fitted.offset[0] == pytest.approx(-0.8, abs=0.08)
    assert (fitted.label_revision, fitted.split, fitted.count, fitted.uncalibrated) == (3, "val", 20000, ())
    # Maximum likelihood with an offset: the mean probability is the base rate (smoothed).
    assert fitted.probability(logits, [0]).mean() == pytest.approx((labels > 0).mean(), abs=1e-3)


def test_is_the_optimum_of_platts_likelihood():
    logits, labels = made_up(images=300)
    fitted = fit_calibration(logits, labels, ["a"])
    present = int((labels > 0).sum())
    absent = 300 - present
    target = np.where(labels[:, 0] > 0, (present + 1) / (present + 2), 1 / (absent + 2))

    def loss(slope, offset):
        x = slope * logits[0] + offset
        return (np.logaddexp(0, x) - target * x).sum()

    best = loss(fitted.slope[0], fitted.offset[0])
    for step in (1e-3, -1e-3):
        assert loss(fitted.slope[0] + step, fitted.offset[0]) > best
        assert loss(fitted.slope[0], fitted.offset[0] + step) > best


def test_unknown_labels_are_skipped():
    logits, labels = made_up(images=500)
    hidden = labels.copy()
    hidden[250:] = 0
    part = fit_calibration(logits[:, :250], labels[:250], ["a"])
    whole = fit_calibration(logits, hidden, ["a"])
    assert whole.slope[0] == pytest.approx(part.slope[0], rel=1e-6)
    assert whole.offset[0] == pytest.approx(part.offset[0], rel=1e-6)


def test_units_of_the_logits_do_not_matter():
    logits, labels = made_up(images=400)
    plain = fit_calibration(logits, labels, ["a"])
    scaled = fit_calibration(1e4 * logits + 5e5, labels, ["a"])
    np.testing.assert_allclose(
        scaled.probability(1e4 * logits + 5e5, [0]), plain.probability(logits, [0]), rtol=1e-5
    )


def test_separable_labels_stay_finite_and_wrong_way_logits_keep_a_rising_slope():
    logits = np.linspace(-3, 3, 100)[None]
    labels = np.where(logits > 0, 1, -1).astype(np.int8).T
    both = fit_calibration(
        np.concatenate([logits, -logits, np.zeros((1, 100))]), np.repeat(labels, 3, 1), list("abc")
    )
    assert np.isfinite(both.slope).all()
    assert (both.slope > 0).all()
    assert both.probability(logits[:, [0, -1]], [0])[0] == pytest.approx([0.02, 0.98], abs=0.02)
    np.testing.assert_allclose(both.probability(-logits, [1]), 0.5, atol=0.01)
    np.testing.assert_allclose(both.probability(np.zeros((1, 1)), [2]), 0.5, atol=1e-6)


def test_labels_with_too_few_examples_keep_the_raw_logit_and_are_named(caplog):
    logits, labels = made_up(images=200)
    few = np.where(np.arange(200) < 4, 1, -1).astype(np.int8)[:, None]
    with caplog.at_level(logging.INFO):
        fitted = fit_calibration(
            np.repeat(logits, 2, 0), np.concatenate([few, labels], 1), ["Rare", "Common"]
        )
    assert fitted.uncalibrated == ("Rare",)
    assert (fitted.slope[0], fitted.offset[0]) == (1.0, 0.0)
    assert "Rare" in caplog.text
    with pytest.raises(CalibrationError, match="no label has 5 present"):
        fit_calibration(logits, few, ["Rare"])


def test_bad_input_is_named():
    logits, labels = made_up(images=50)
    with pytest.raises(CalibrationError, match="do not fit"):
        fit_calibration(logits, labels.T, ["a"])
    with pytest.raises(CalibrationError, match="NaN"):
        fit_calibration(np.full_like(logits, np.nan), labels, ["a"])
    with pytest.raises(CalibrationError, match="slopes above 0"):
        Calibration(np.array([0.0]), np.array([0.0]))
    with pytest.raises(CalibrationError, match="one length"):
        Calibration(np.ones(2), np.zeros(3))
    for damaged in ({}, {"slope": "x"}, Calibration.identity(2).to_dict() | {"offset": [None, 1]}):
        with pytest.raises(CalibrationError, match="calibrate"):
            Calibration.from_dict(damaged)


@given(hnp.arrays(np.float32, (2, 5), elements=st.floats(-(2.0**100), 2.0**100, width=32)), st.booleans())
def test_log_probabilities_are_finite_and_never_above_zero(logits, negate):
    found = Calibration.identity(4).log_probability(logits, [1, 3], negate=negate)
    assert found.dtype == np.float64
    assert np.isfinite(found).all()
    assert (found <= 0).all()


@given(st.floats(-30, 30), st.floats(0.1, 5), st.floats(-3, 3))
def test_a_label_is_present_or_absent(logit, slope, offset):
    fitted = Calibration(np.array([slope]), np.array([offset]))
    raw = np.array([[logit]])
    both = np.exp(fitted.log_probability(raw, [0])) + np.exp(fitted.log_probability(raw, [0], negate=True))
    assert both[0, 0] == pytest.approx(1, abs=1e-12)


def test_json_gives_back_the_very_same_calibration():
    logits, labels = made_up(images=200)
    fitted = fit_calibration(logits, labels, ["a"], label_revision=7)
    again = Calibration.from_dict(json.loads(json.dumps(fitted.to_dict())))
    np.testing.assert_array_equal(again.slope, fitted.slope)
    np.testing.assert_array_equal(again.offset, fitted.offset)
    assert again.to_dict() == fitted.to_dict()
