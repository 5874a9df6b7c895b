"""How an encoder came about, told from its training run: data, settings, and the commands that repeat it.

Notation: N images of the run, L labels.
"""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

import numpy as np

from olrsearch.encoders.card import CELEBA_TERMS, OWN_TERMS, Training, setting_text
from olrsearch.encoders.olr.config import PROFILES, OlrConfig, profile
from olrsearch.training import read_run

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from olrsearch.arrays import I8, I64, Bool
    from olrsearch.encoders.card import Terms
    from olrsearch.store.catalog import Snapshot
    from olrsearch.store.values import DatasetInfo

_TELLING = frozenset({"5_o_Clock_Shadow", "Attractive", "Bags_Under_Eyes", "Blurry", "Chubby"})
"""Labels that CelebA has, and that other data in its layout (generated avatars) do not have together."""


def training_of(run: Path, snapshot: Snapshot, *, hardware: str) -> Training:
    """How a run trained.

    Args:
        run: Its folder.
        snapshot: Of the store it belongs to.
        hardware: What it ran on, in words.

    Raises:
        TrainingError: its configuration is of another version.
    """
    record = read_run(run)
    config = OlrConfig.from_dict(record["config"])
    stored: I8 = np.load(run / "labels.npy")
    held_back: Bool = np.load(run / "selection.npy")
    learnt = stored[~held_back]
    known = (learnt != 0).sum(axis=0)
    present = (learnt > 0).sum(axis=0)
    return Training(
        commands=(
            *(f"olrsearch import {item.kind} PATH" for item in data_of(run, snapshot)),
            *train_commands(run, snapshot.label_names),
            "olrsearch encode",
        ),
        settings=config.to_dict(),
        seed=config.seed,
        images=len(learnt),
        selection=int(held_back.sum()),
        seconds={str(stage): float(value) for stage, value in record.get("seconds", {}).items()},
        hardware=hardware,
        prevalence={
            name: int(present[row]) / int(known[row]) if known[row] else None
            for row, name in enumerate(config.labels)
        },
    )


def data_of(run: Path, snapshot: Snapshot) -> tuple[DatasetInfo, ...]:
    """The data sets that a run took its images from, in the order they came into the store."""
    ids: I64 = np.load(run / "ids.npy")
    names = set(snapshot.columns(ids, ("dataset",))["dataset"].tolist())
    return tuple(item for item in snapshot.datasets() if item.name in names)


def terms_of(data: Sequence[DatasetInfo], label_names: Sequence[str]) -> Terms:
    """What an encoder may be used for that was trained on these data sets.

    Args:
        data: The data sets.
        label_names: The store's labels.
    """
    celeba = bool(data) and all(item.kind == "celeba" for item in data) and set(label_names) >= _TELLING
    return CELEBA_TERMS if celeba else OWN_TERMS


def train_commands(run: Path, label_names: Sequence[str]) -> tuple[str, ...]:
    """The `olrsearch train` commands that repeat a run, its teacher's first where it took another run's.

    Args:
        run: Its folder.
        label_names: The store's labels: what is learnt where `--labels` names none.
    """
    record = read_run(run)
    config = OlrConfig.from_dict(record["config"])
    taught_by = record.get("teacher")
    before: tuple[str, ...] = ()
    options: list[str] = []
    teacher = run if taught_by is None else run.parent / str(taught_by)
    # A teacher that these settings would have trained themselves needs no command of its own.
    if not config.same_teacher(OlrConfig.from_dict(read_run(teacher)["config"])):
        before = train_commands(teacher, label_names)
        fingerprint = read_run(teacher).get("fingerprint")
        options = ["--teacher", "RUN" if fingerprint is None else f"olr-{fingerprint[:8]}"]
    elif config.labels != tuple(label_names):
        options = ["--labels", ",".join(config.labels)]
    near = min(PROFILES, key=lambda name: len(config.differences(profile(name, config.labels))))
    changed = [
        word
        for key in config.differences(profile(near, config.labels))
        for word in ("--set", f"{key}={setting_text(getattr(config, key))}")
    ]
    words = ["olrsearch", "train", "olr", "--profile", near, *changed, *options]
    return (*before, shlex.join(words))
