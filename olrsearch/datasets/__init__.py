"""Readers of image data sets (CelebA's layout, any folder, idx files, CIFAR-100), and generators of some."""

from __future__ import annotations

from olrsearch.datasets.base import ArrayDataset, Dataset, DatasetIssue, ImageRecord
from olrsearch.datasets.celeba import open_celeba
from olrsearch.datasets.cifar import open_cifar100
from olrsearch.datasets.folder import open_folder
from olrsearch.datasets.idx import open_idx
from olrsearch.datasets.selection import selection_split

__all__ = [
    "ArrayDataset",
    "Dataset",
    "DatasetIssue",
    "ImageRecord",
    "open_celeba",
    "open_cifar100",
    "open_folder",
    "open_idx",
    "selection_split",
]
