import contextlib
import dataclasses
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from olrsearch.core.errors import TrainingError
from olrsearch.encoders.olr.config import OlrConfig

LABELS = ("Smiling", "Eyeglasses")


@pytest.mark.parametrize("name", OlrConfig.profiles)
def test_profiles_survive_json(name):
    config = OlrConfig.of_profile(name, LABELS)
    assert OlrConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config
    assert OlrConfig.from_dict(config.to_dict()) == config
    assert config.labels == LABELS


def test_the_papers_numbers_are_the_defaults():
    config = OlrConfig(labels=LABELS)
    assert (config.k, config.occlusion, config.occlusion_probability) == (32, (0.33, 0.66), 1.0)
    assert config.occlusion_fill == "mean"


def test_lists_become_tuples_and_equal():
    values = OlrConfig.of_profile("tiny", LABELS).to_dict()
    assert isinstance(values["image_size"], list)
    assert hash(OlrConfig.from_dict(values)) == hash(OlrConfig.of_profile("tiny", LABELS))
    assert OlrConfig(labels=["A"], image_size=[8, 8]).image_size == (8, 8)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ({"k": "16"}, {"k": 16}),
        ({"image_size": "96, 80"}, {"image_size": (96, 80)}),
        ({"image_size": "96×80"}, {"image_size": (96, 80)}),
        ({"occlusion": "0.2,0.5"}, {"occlusion": (0.2, 0.5)}),
        ({"flip": "False", "pairing": "random"}, {"flip": False, "pairing": "random"}),
        ({"learning_rate": "1e-3", "devices": "2"}, {"learning_rate": 1e-3, "devices": "2"}),
        ({"labels": "A,B"}, {"labels": ("A", "B")}),
    ],
)
def test_overrides_are_read_by_type(text, expected):
    config = OlrConfig(labels=LABELS)
    assert config.with_overrides(text) == dataclasses.replace(config, **expected)
    assert config == OlrConfig(labels=LABELS)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ({"occlusion_probabilty": "1"}, "did you mean occlusion_probability"),
        ({"zzz": "1"}, "known keys: labels"),
        ({"k": "many"}, "k=many: expected a whole number"),
        ({"flip": "yes"}, "true or false"),
        ({"image_size": "96"}, "two whole numbers"),
        ({"occlusion": "0.2,0.5,0.6"}, "two numbers"),
        ({"k": "0"}, "k = 0: expected 1 or more"),
        ({"crop": "centre"}, "none, center"),
        ({"occlusion": "0.6,0.2"}, "the smaller first"),
        ({"joint_weight": "0", "readout_weight": "0"}, "above 0"),
        ({"labels": "A,A"}, "without repeats"),
        ({"devices": "some"}, "number of devices"),
        ({"shift": "90"}, "within the image"),
        ({"learning_rate": "nan"}, "above 0"),
        ({"weight_decay": "inf"}, "finite"),
        ({"head": "queries"}, "grouped, query"),
        ({"pretrained": "true"}, "false, or backbone set to efficientnet-lite0"),
        ({"freeze_trunk": "true", "warm_start": "false"}, "warm_start=true"),
        ({"manner": "0.2", "pairing": "random"}, "0 unless pairing=all"),
        ({"manner": "1"}, "below 1"),
        ({"temperature": "0"}, "above 0"),
        ({"norm_weight": "-1"}, "0 or more"),
        ({"zoom": "1"}, "below 1"),
        ({"rotation": "181"}, "0 to 180"),
        ({"colour": "-0.1"}, "below 1"),
        ({"teacher_occlusion": "2"}, "from 0 to 1"),
        ({"label_smoothing": "1"}, "below 1"),
        ({"negative_focus": "-1"}, "0 or more"),
    ],
)
def test_wrong_overrides_are_named(text, message):
    with pytest.raises(TrainingError, match=message):
        OlrConfig(labels=LABELS).with_overrides(text)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"k": 3}, "names no labels"),
        ({"labels": ["A"], "widht": 3}, "did you mean width"),
        ({"labels": ["A"], "k": 3.5}, "a whole number"),
        ({"labels": ["A"], "k": True}, "a whole number"),
        ({"labels": "A"}, "names with commas"),
        ({"labels": ["A"], "image_size": [3]}, "two whole numbers"),
    ],
)
def test_wrong_json_is_named(values, message):
    with pytest.raises(TrainingError, match=message):
        OlrConfig.from_dict(values)


def test_differences_name_the_keys():
    config = OlrConfig.of_profile("tiny", LABELS)
    assert config.differences(config) == ()
    assert config.differences(dataclasses.replace(config, seed=3, k=9)) == ("seed", "k")


def test_unknown_profile_is_named():
    with pytest.raises(TrainingError, match="cpu, faces, demo, tiny, gpu"):
        OlrConfig.of_profile("fast", LABELS)


@given(st.sampled_from(OlrConfig.field_names()), st.text(max_size=12))
def test_any_text_is_a_value_or_a_named_error(key, text):
    with contextlib.suppress(TrainingError):
        config = OlrConfig(labels=LABELS).with_overrides({key: text})
        assert OlrConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config
