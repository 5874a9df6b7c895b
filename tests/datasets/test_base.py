from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from olrsearch.core.errors import DatasetError, DuplicateKeyError
from olrsearch.datasets import ArrayDataset, Dataset, ImageRecord


def dataset(**changes):
    columns = {
        "kind": "folder",
        "root": Path(),
        "label_names": ("A", "B"),
        "keys": ["x", "y"],
        "uris": ["x.png", "y.png"],
        "labels": np.array([[1, -1], [0, 0]], dtype=np.int8),
        "labelled": np.array([True, False]),
        "partitions": ["train", None],
        "identities": [7, None],
    }
    return ArrayDataset(**columns | changes)


def test_records_come_out_with_plain_values():
    records = list(dataset())
    assert records == [
        ImageRecord("x", "x.png", (1, -1), "train", 7),
        ImageRecord("y", "y.png", None, None, None),
    ]
    assert all(type(value) is int for value in records[0].labels)
    assert len(dataset()) == 2
    assert isinstance(dataset(), Dataset)


@pytest.mark.parametrize(
    ("changes", "error", "words"),
    [
        ({"uris": ["x"]}, DatasetError, "1 uris"),
        ({"labels": np.zeros((2, 3), np.int8)}, DatasetError, r"labels \(2, 3\)"),
        ({"label_names": ("A", "A")}, DatasetError, "label 'A' stands twice"),
        ({"keys": ["x", "x"]}, DuplicateKeyError, "key 'x' stands twice"),
    ],
)
def test_columns_that_do_not_fit_are_named(changes, error, words):
    with pytest.raises(error, match=words):
        dataset(**changes)
