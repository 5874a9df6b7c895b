"""What a shared encoder brings for stores that have fitted nothing."""

import dataclasses
import json
import shutil

import numpy as np
import pytest
from tiny_encoders.labels import TinyEncoder
from tiny_encoders.posteriors import TinyPosteriorEncoder

from olrsearch.core.errors import ModelFileError
from olrsearch.encoders.folder.defaults import Defaults, read_defaults, write_defaults
from olrsearch.encoders.folder.model_config import canonical_json, read_companion, write_companion
from olrsearch.maths.calibration import Calibration
from olrsearch.maths.metric import Metric, fit_metric

LABELS = ("Dark", "Red", "Left")


def made(labels=3, size=5, *, form="standardised"):
    rng = np.random.default_rng(0)
    return Defaults(
        Calibration(
            rng.uniform(0.5, 2, labels), rng.normal(size=labels), None, "10 images, shipped", 10, ("Red",)
        ),
        fit_metric(rng.normal(size=(labels, 40, size)).astype(np.float32), "ip", form=form),
    )


@pytest.fixture
def folder(tmp_path):
    encoder = TinyEncoder.create(tmp_path, LABELS, k=5)
    return tmp_path / encoder.fingerprint


def test_defaults_read_back_are_the_very_same_numbers(folder):
    assert read_defaults(folder) is None
    wanted = made()
    write_defaults(folder, wanted)
    found = read_defaults(folder)
    assert found.calibration.to_dict() == wanted.calibration.to_dict()
    assert found.metric.to_dict() == wanted.metric.to_dict()
    for name in ("mean", "deviation"):
        np.testing.assert_array_equal(getattr(found.metric, name), getattr(wanted.metric, name))
        assert getattr(found.metric, name).dtype == np.float32


def test_the_file_is_small(tmp_path):
    labels = [f"L{number}" for number in range(40)]
    encoder = TinyEncoder.create(tmp_path, labels, k=32)
    wanted = made(40, 32)
    path = write_defaults(tmp_path / encoder.fingerprint, wanted)
    assert path.stat().st_size < 0.65 * len(canonical_json(wanted.metric.to_dict()))


def test_what_does_not_fit_is_not_written(folder):
    good = made()
    for bad in (made(labels=2), made(size=4), dataclasses.replace(good, metric=made(size=6).metric)):
        with pytest.raises(ModelFileError, match="do not fit an encoder of 3 labels × 5 numbers"):
            write_defaults(folder, bad)
    for changes in ({"label_revision": 4}, {"split": ""}):
        calibration = dataclasses.replace(good.calibration, **changes)
        with pytest.raises(ModelFileError, match="what it was fitted on"):
            write_defaults(folder, dataclasses.replace(good, calibration=calibration))
    assert not (folder / "defaults.json").exists()


def test_defaults_of_another_model_are_refused(folder, tmp_path):
    other = TinyEncoder.create(tmp_path, LABELS, k=5, seed=1)
    write_defaults(folder, made())
    shutil.copy(folder / "defaults.json", tmp_path / other.fingerprint)
    with pytest.raises(ModelFileError, match="is about another model"):
        read_defaults(tmp_path / other.fingerprint)


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: content.pop("metric"),
        lambda content: content["metric"].pop("scale"),
        lambda content: content["metric"].update(kind="l3"),
        lambda content: content["calibration"].pop("slope"),
        lambda content: content["calibration"].update(slope=[1.0, -1.0, 1.0]),
        lambda content: content.update(calibration=[]),
        lambda content: content["calibration"].update(slope=[1.0], offset=[0.0]),
    ],
)
def test_defaults_that_mean_nothing_are_named(folder, damage):
    write_defaults(folder, made())
    content = read_companion(folder, "defaults.json")
    damage(content)
    write_companion(folder, "defaults.json", content)
    with pytest.raises(ModelFileError, match=r"defaults\.json.*copy the model again"):
        read_defaults(folder)


def test_a_flipped_digit_is_found(folder):
    path = write_defaults(folder, made())
    content = json.loads(path.read_text())
    content["calibration"]["slope"][0] += 1e-9
    path.write_text(json.dumps(content))
    with pytest.raises(ModelFileError, match="does not match its checksum"):
        read_defaults(folder)


def test_plain_metrics_are_kept_too(folder):
    wanted = made(form="plain")
    write_defaults(folder, wanted)
    assert Metric.from_dict(wanted.metric.to_dict()).form == read_defaults(folder).metric.form == "plain"


def test_an_encoder_of_posteriors_brings_the_calibration_of_its_words_alone(tmp_path):
    encoder = TinyPosteriorEncoder.create(tmp_path, LABELS)
    folder = tmp_path / encoder.fingerprint
    assert read_defaults(folder) is None
    with pytest.raises(ModelFileError, match=r"a metric of 3 × 3 numbers do not fit .* which has no metric"):
        write_defaults(folder, made(size=3))
    assert not (folder / "defaults.json").exists()
    wanted = dataclasses.replace(made(), metric=None)
    write_defaults(folder, wanted)
    found = read_defaults(folder)
    assert found.metric is None
    assert found.calibration.to_dict() == wanted.calibration.to_dict()
    with pytest.raises(ModelFileError, match="a calibration of 2 labels and no metric do not fit"):
        write_defaults(folder, dataclasses.replace(made(labels=2), metric=None))
