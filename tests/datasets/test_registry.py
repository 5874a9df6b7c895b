"""Readers by their names."""

from __future__ import annotations

import pytest
from pictures import write_pictures

from olrsearch.core.errors import DatasetError
from olrsearch.datasets import Dataset
from olrsearch.datasets.registry import READERS, open_dataset


def test_a_reader_opens_and_names_its_data_set(tmp_path):
    write_pictures(tmp_path / "faces", 2)
    dataset, name = open_dataset("folder", tmp_path / "faces", labels=None)
    assert isinstance(dataset, Dataset)
    assert (dataset.kind, name) == ("folder", "faces")


def test_another_reader_is_refused(tmp_path):
    with pytest.raises(DatasetError, match="no reader 'coco'; expected one of celeba, folder"):
        open_dataset("coco", tmp_path)


@pytest.mark.parametrize("kind", READERS)
def test_every_reader_says_what_is_not_there(tmp_path, kind):
    with pytest.raises(DatasetError, match="nothing"):
        open_dataset(kind, tmp_path / "nothing")
