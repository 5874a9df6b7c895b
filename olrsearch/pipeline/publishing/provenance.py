"""How an encoder came about, told from its training run: data, settings, and the commands that repeat it.

Notation: N images of the run, L labels.
"""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

from olrsearch.core.errors import TrainingError
from olrsearch.datasets.registry import CELEBA_LABELS
from olrsearch.encoders.folder.card import CELEBA_TERMS, OWN_TERMS, Training, setting_text
from olrsearch.encoders.registry import config_class, trainable
from olrsearch.store.training_runs import RECORD, read_run, run_array, teacher_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from olrsearch.core.arrays import I8, I64, Bool
    from olrsearch.encoders.folder.card import Terms
    from olrsearch.encoders.trainer.config import TrainerConfig
    from olrsearch.store.read.snapshot import Snapshot
    from olrsearch.store.values import DatasetInfo

_PATHS = frozenset({"words", "label_words", "start_from"})
"""Settings that may be the path of a file or folder: its name is told, and not where it lay."""


def training_of(run: Path, snapshot: Snapshot, *, hardware: str) -> Training:
    """How a run trained.

    Args:
        run: Its folder.
        snapshot: Of the store it belongs to.
        hardware: What it ran on, in words.

    Raises:
        TrainingError: its configuration is of another version, or of an unknown kind of encoder.
    """
    config = _config_of(run)
    stored: I8 = run_array(run, "labels")
    held_back: Bool = run_array(run, "selection")
    learnt = stored[~held_back]
    known = (learnt != 0).sum(axis=0)
    present = (learnt > 0).sum(axis=0)
    return Training(
        commands=(
            *(f"olrsearch import {item.kind} PATH" for item in data_of(run, snapshot)),
            *train_commands(run, snapshot.label_names),
            "olrsearch encode",
        ),
        settings={key: _told(key, value) for key, value in config.to_dict().items()},
        seed=config.seed,
        images=len(learnt),
        selection=int(held_back.sum()),
        seconds={str(stage): float(value) for stage, value in read_run(run).get("seconds", {}).items()},
        hardware=hardware,
        prevalence={
            name: int(present[row]) / int(known[row]) if known[row] else None
            for row, name in enumerate(config.labels)
        },
    )


def data_of(run: Path, snapshot: Snapshot) -> tuple[DatasetInfo, ...]:
    """The data sets that a run took its images from, in the order they came into the store."""
    ids: I64 = run_array(run, "ids")
    names = set(snapshot.columns(ids, ("dataset",))["dataset"].tolist())
    return tuple(item for item in snapshot.datasets() if item.name in names)


def terms_of(data: Sequence[DatasetInfo], label_names: Sequence[str]) -> Terms:
    """What an encoder may be used for that was trained on these data sets.

    Args:
        data: The data sets.
        label_names: The store's labels.
    """
    return CELEBA_TERMS if is_celeba(data, label_names) else OWN_TERMS


def is_celeba(data: Sequence[DatasetInfo], label_names: Sequence[str]) -> bool:
    """Whether data sets are CelebA itself, and not other data in its layout.

    Args:
        data: The data sets.
        label_names: The store's labels.
    """
    return bool(data) and all(item.kind == "celeba" for item in data) and set(label_names) >= CELEBA_LABELS


def train_commands(run: Path, label_names: Sequence[str]) -> tuple[str, ...]:
    """The `olrsearch train` commands that repeat a run, after those of what it was built on.

    That is the run it took its teacher from, or the one whose encoder's trunk it started from.

    Args:
        run: Its folder.
        label_names: The store's labels: what is learnt where `--labels` names none.

    Raises:
        TrainingError: a configuration is of another version, or of an unknown kind of encoder.
    """
    config = _config_of(run)
    before: tuple[str, ...] = ()
    options: list[str] = []
    if (teacher := teacher_of(run)) is not None:
        before, options = _taught_by(teacher, config, label_names)
    elif (started := _started_from(run, config)) is not None:
        before = train_commands(started, label_names)
    if not options and config.labels != tuple(label_names):
        options = ["--labels", ",".join(config.labels)]
    profiles = {name: config.of_profile(name, config.labels) for name in config.profiles}
    near = min(profiles, key=lambda name: len(config.differences(profiles[name])))
    changed = [
        word
        for key in config.differences(profiles[near])
        for word in ("--set", f"{key}={setting_text(_told(key, getattr(config, key)))}")
    ]
    words = ["olrsearch", "train", config.kind, "--profile", near, *changed, *options]
    return (*before, shlex.join(words))


def _taught_by(
    teacher: Path, config: TrainerConfig, label_names: Sequence[str]
) -> tuple[tuple[str, ...], list[str]]:
    """The commands that train a run's teacher, and the option that takes it.

    A teacher that these settings would have trained themselves needs neither.
    """
    if config.same_teacher(_config_of(teacher)):
        return (), []
    fingerprint = read_run(teacher).get("fingerprint")
    named = "RUN" if fingerprint is None else f"{config.kind}-{fingerprint[:8]}"
    return train_commands(teacher, label_names), ["--teacher", named]


def _started_from(run: Path, config: TrainerConfig) -> Path | None:
    """The run of the same store whose encoder a run took its trunk from; None for other encoders."""
    name = config.starts_from()
    if name:
        for file in sorted(run.parent.glob(f"*/{RECORD}")):
            other = read_run(file.parent)
            fingerprint = other.get("fingerprint", "")
            if file.parent != run and fingerprint and name == f"{other['kind']}-{fingerprint[:8]}":
                return file.parent
    return None


def _config_of(run: Path) -> TrainerConfig:
    """The configuration that a run recorded."""
    record = read_run(run)
    kind = record.get("kind")
    if kind not in trainable():
        raise TrainingError(
            f"a run of kind {kind!r}: expected one of {', '.join(trainable())}; install the "
            "olrsearch that trained it"
        )
    return config_class(kind).from_dict(record["config"])


def _told(key: str, value: Any) -> Any:  # noqa: ANN401 - a setting of any type
    """A setting as a card tells it."""
    return f"PATH/{Path(value).name}" if key in _PATHS and "/" in value else value
