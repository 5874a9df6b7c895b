from __future__ import annotations

import numpy as np
import pytest

from olrsearch.core.errors import BenchmarkError
from olrsearch.evaluation.data import find_label, image_major, rows_of
from olrsearch.evaluation.queries import run_queries
from olrsearch.evaluation.similar import run_similar


def test_rows_serve_one_purpose_each(data):
    assert set(data.partition[data.train]) == set(data.partition[data.selection]) == {"train"}
    assert not set(data.identity[data.train]) & set(data.identity[data.selection])
    train, selection, gallery = rows_of(
        np.array(["train", "test", "train", "", "val"]), np.array([0, 1, 1, 1, 0], bool)
    )
    assert (train.tolist(), selection.tolist(), gallery.tolist()) == ([0], [2], [1, 4])


def test_truth_is_label_major_and_the_layout_of_image_major(data):
    assert (data.truth == data.labels[data.gallery].T).all()
    rows = np.array([5, 2])
    assert (image_major(data.embeddings, rows)[1] == data.embeddings[:, 2].ravel()).all()


def test_labels_are_found_in_any_spelling(data):
    assert find_label(data.label_names, "heavy makeup") == 2
    assert find_label(data.label_names, "WAVY_HAIR") == 5
    assert find_label(data.label_names, "Eyeglasses") is None


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"keys": ["a"]}, "keys has shape"),
        ({"labels": np.full((900, 6), 2, np.int8)}, "other than −1, 0 and 1"),
        ({"embeddings": np.zeros((900, 6, 4), np.float32)}, "embeddings have shape"),
        ({"image_ids": np.zeros(900, np.int64)}, "strictly increasing"),
        ({"log_p": np.full((6, 900), -np.inf)}, "log_p holds NaN"),
        ({"teacher_p": np.zeros((5, 900))}, "teacher_p has shape"),
        ({"gallery": np.array([], np.int64)}, "gallery is empty"),
        ({"gallery": np.array([899, 898])}, "not increasing"),
        ({"gallery": np.array([0, 1])}, "serves two"),
        ({"train": np.array([900])}, "must index 900 images"),
    ],
)
def test_what_does_not_fit_is_named(data, changes, message):
    with pytest.raises(BenchmarkError, match=message):
        data.replace(**changes)


def test_calibration_on_other_images_than_those_held_back_is_said(data):
    assert data.caveats() == ()
    suspect = data.replace(fitted_on="chosen images", teacher_p=None)
    (caveat,) = suspect.caveats()
    assert "fitted on chosen images" in caveat
    assert caveat in run_queries(suspect, svm_strengths=(), resamples=10).notes
    assert caveat in run_similar(suspect, query_images=10, resamples=10).notes


def test_the_summary_counts(data):
    summary = data.summary()
    assert summary["name"] == "made up"
    assert summary["images"] == 900
    assert summary["labels"] == 6
    assert summary["dimensions"] == 4
    assert summary["gallery"] == len(data.gallery)
