"""Readers by their names."""

from __future__ import annotations

import pytest
from pictures import jpeg, write_pictures

from olrsearch import Store
from olrsearch.core.errors import DatasetError
from olrsearch.datasets import Dataset
from olrsearch.datasets.registry import CELEBA_LABELS, READERS, open_dataset


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


def test_what_only_has_celebas_layout_is_called_by_its_folder(tmp_path):
    for name, labels in (("avatars", "Smiling Hat"), ("celeba_small", " ".join(sorted(CELEBA_LABELS)))):
        (tmp_path / name / "img_align_celeba").mkdir(parents=True)
        (tmp_path / name / "img_align_celeba/1.jpg").write_bytes(jpeg())
        (tmp_path / name / "list_attr_celeba.txt").write_text(
            f"1\n{labels}\n1.jpg {' '.join('1' for _ in labels.split())}\n"
        )
    assert open_dataset("celeba", tmp_path / "avatars")[1] == "avatars"
    assert open_dataset("celeba", tmp_path / "celeba_small")[1] == "celeba"


def test_a_store_goes_on_with_the_name_that_it_has(tmp_path):
    (tmp_path / "avatars/img_align_celeba").mkdir(parents=True)
    (tmp_path / "avatars/img_align_celeba/1.jpg").write_bytes(jpeg())
    (tmp_path / "avatars/list_attr_celeba.txt").write_text("1\nHat\n1.jpg 1\n")
    with Store.create(tmp_path / "store") as store:
        assert store.import_celeba(tmp_path / "avatars").dataset == "avatars"
        assert store.import_celeba(tmp_path / "avatars").unchanged == 1
    with Store.create(tmp_path / "older") as store:
        store.import_celeba(tmp_path / "avatars", name="celeba")  # as it was called once
        again = store.import_celeba(tmp_path / "avatars")
        assert (again.dataset, again.unchanged, again.added) == ("celeba", 1, 0)
