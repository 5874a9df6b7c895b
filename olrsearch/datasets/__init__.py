"""Readers of image data sets: CelebA's layout, any folder, idx files; and generated avatars."""

from __future__ import annotations

from olrsearch.datasets.base import ArrayDataset, Dataset, DatasetIssue, ImageRecord
from olrsearch.datasets.celeba import open_celeba
from olrsearch.datasets.folder import open_folder
from olrsearch.datasets.idx import open_idx
from olrsearch.datasets.selection import selection_split

__all__ = [
    "ArrayDataset",
    "Dataset",
    "DatasetIssue",
    "ImageRecord",
    "open_celeba",
    "open_folder",
    "open_idx",
    "selection_split",
]
