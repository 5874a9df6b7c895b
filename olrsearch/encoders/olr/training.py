"""Training an OLR encoder: teacher, Siamese network, readout, model folder.

A run's folder:

```
olr.json                  see `trainer.run.open_run`
teacher/, siamese/        last.ckpt while the stage runs; metrics.jsonl; weights.safetensors
                          and, when it is finished, result.json
teacher.safetensors       the teacher, for benchmarks only; the model folder holds none
```

Notation: N images, L labels, k numbers a label, H × W pixels.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from olrsearch.core.errors import TrainingError
from olrsearch.core.files import whole_file
from olrsearch.encoders.olr import encoder as olr_encoder
from olrsearch.encoders.olr.config import OlrConfig
from olrsearch.encoders.olr.network import OlrNetwork, TeacherNetwork
from olrsearch.encoders.olr.readout_fit import fit_readout
from olrsearch.encoders.olr.stages import SiameseStage, TeacherStage, start_readout
from olrsearch.encoders.single_valued import single_valued
from olrsearch.encoders.trainer.data import derived_seed, to_planes
from olrsearch.encoders.trainer.run import (
    best_device,
    has_run,
    open_run,
    read_run,
    trained,
)
from olrsearch.encoders.trainer.runner import finished_files, run_stage
from olrsearch.encoders.trunks.trunk import channels_last, expected_colours, start_trunk

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import Tensor, nn

    from olrsearch.core.arrays import F32, I64, U8
    from olrsearch.encoders.trainer.run import Trained, TrainingImages
    from olrsearch.encoders.trainer.runner import StageResult

TEACHER_NAME = "teacher.safetensors"
_CHUNK = 256
_READOUT_IMAGES = 50_000


def train_olr(
    images: TrainingImages,
    config: OlrConfig,
    run_dir: Path,
    model_root: Path,
    *,
    source: Path | None = None,
    resume: bool = False,
    progress: bool = True,
) -> Trained:
    """Train both stages and write the model folder.

    A resumed run goes on from the last whole epoch; finished stages are not repeated. On
    one CPU process its weights are bit-identical with those of an uninterrupted run.

    Args:
        images: What to learn from.
        config: What to train.
        run_dir: The run's folder; created when absent.
        model_root: The model is written to `model_root/<fingerprint>/`.
        source: A run on the same images whose finished teacher is taken instead of training
            one: for another head or loss on top of it.
        resume: Go on with the run in `run_dir`.
        progress: Show a progress bar on standard error.

    Returns:
        With the metrics `teacher_map`, `teacher_accuracy`, `map` and `accuracy`, and the stages
        `teacher` and `siamese`.

    Raises:
        TrainingError: arrays that do not fit; no run to resume, or one of another
            configuration or data; a run that is there already; a teacher that does not fit;
            training that diverges.
        KeyboardInterrupt: interrupted; the message says how far the run is.
    """
    run_dir, model_root = Path(run_dir), Path(model_root)
    images.check(config)
    frequency = images.label_frequencies(config)
    if source is not None and not has_run(run_dir, config.kind):
        # Before the run begins: one that was interrupted in between goes on with this teacher.
        _take_teacher(Path(source), run_dir, config, images.digest())
    open_run(run_dir, config, images, resume=resume)
    # Callers keep their own random state.
    with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
        teacher, first, pixel_mean = _teach(images, config, run_dir, progress=progress)
        torch.manual_seed(derived_seed(config.seed, 1))
        mean, std = (getattr(teacher.normalise, name).flatten() for name in ("mean", "std"))
        network = channels_last(OlrNetwork(config, mean, std))
        if config.warm_start:
            network.trunk.load_state_dict(teacher.trunk.state_dict())
        start_readout(network, frequency)
        second = run_stage(
            SiameseStage(config, network, teacher, pixel_mean),
            images.stage(config, 1),
            run_dir / "siamese",
            "label embeddings",
            config.siamese_epochs,
            progress=progress,
        )
    network.load_state_dict(second.state)
    if config.readout_weight == 0:
        _fit_readout(network, images)
    _silence(network, images, config)
    path = olr_encoder.save(model_root, config, network)
    metrics = {
        **{f"teacher_{name}": first.best[f"selection_{name}"] for name in ("map", "accuracy")},
        **{name: second.best[f"selection_{name}"] for name in ("map", "accuracy")},
    }
    return trained(path, metrics, teacher=first, siamese=second)


def _silence(network: OlrNetwork, images: TrainingImages, config: OlrConfig) -> None:
    """Let the readout say nothing of labels that nothing could be learnt about: a logit of 0 for every image.

    One value alone teaches a network to be sure of it, whatever it sees.
    """
    single = single_valued(images.labels[images.train], config.labels)
    rows = [config.labels.index(name) for name in single]
    with torch.no_grad():
        network.readout.weight[rows] = 0
        network.readout.bias[rows] = 0


def train_teacher(
    images: TrainingImages, config: OlrConfig, run_dir: Path, *, progress: bool = True
) -> StageResult:
    """The first stage alone: for comparing recipes and for learning curves.

    Args and errors are those of `train_olr`; the run can be given to it as `source`.
    """
    run_dir = Path(run_dir)
    images.check(config)
    open_run(run_dir, config, images, resume=False)
    with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
        return _teach(images, config, run_dir, progress=progress)[1]


def _teach(
    images: TrainingImages, config: OlrConfig, run_dir: Path, *, progress: bool
) -> tuple[TeacherNetwork, StageResult, Tensor]:
    """Train the teacher, or read the one that the run has already, and keep it for benchmarks.

    Returns:
        The teacher, its stage, and the mean colour of the training images, float32 [3].
    """
    pixel_mean, deviation = images.statistics()
    torch.manual_seed(derived_seed(config.seed, 0))
    normalisation = expected_colours() if config.pretrained else (pixel_mean, deviation)
    teacher = channels_last(TeacherNetwork(config, *normalisation))
    start_trunk(teacher.trunk, pretrained=config.pretrained)
    result = run_stage(
        TeacherStage(config, teacher, pixel_mean),
        images.stage(config, 0),
        run_dir / "teacher",
        "teacher",
        config.teacher_epochs,
        progress=progress,
    )
    teacher.load_state_dict(result.state)
    with whole_file(run_dir / TEACHER_NAME) as temporary:
        save_file({name: value.contiguous() for name, value in teacher.state_dict().items()}, temporary)
    return teacher, result, pixel_mean


def _take_teacher(teacher_run: Path, run_dir: Path, config: OlrConfig, digest: str) -> None:
    """Copy a finished teacher into a run, where its stage then counts as finished.

    Refuses a teacher of another shape or of other images before anything is written.
    """
    before, data = read_run(teacher_run, OlrConfig)
    config.check_teacher(before)
    if data != digest:
        raise TrainingError(
            f"the teacher in {teacher_run} was trained with other images, labels or splits: "
            "take the run's own, or train a teacher"
        )
    files = finished_files(teacher_run / "teacher")
    if not files:
        raise TrainingError(f"the teacher in {teacher_run} is not finished: resume that run first")
    target = run_dir / "teacher"
    target.mkdir(parents=True, exist_ok=True)
    for file in files:  # the result last: a stage without it is not finished
        shutil.copyfile(file, target / file.name)


def teacher_probabilities(run_dir: Path, pixels: U8) -> F32:
    """The teacher's probabilities: a baseline for benchmarks, never used to answer queries.

    Args:
        run_dir: A run whose teacher is finished.
        pixels: uint8 [N, H, W, 3].

    Returns:
        float32 [L, N].

    Raises:
        TrainingError: the run holds no teacher, or a damaged one.
    """
    run_dir = Path(run_dir)
    config = read_run(run_dir, OlrConfig)[0]
    try:
        state = load_file(run_dir / TEACHER_NAME)
        teacher = channels_last(TeacherNetwork(config, torch.zeros(3), torch.ones(3)))
        teacher.load_state_dict(state)
    except (OSError, SafetensorError, RuntimeError) as error:
        reason = " ".join(str(error).split())
        raise TrainingError(
            f"{run_dir / TEACHER_NAME} cannot be read ({reason}): train the teacher again"
        ) from None
    out = np.empty((len(config.labels), len(pixels)), np.float32)
    for rows, logits in _computed(teacher, pixels, np.arange(len(pixels))):
        out[:, rows] = torch.sigmoid(logits).T.cpu().numpy()
    return out


def _computed(network: nn.Module, pixels: U8, chosen: I64) -> Iterator[tuple[slice, Tensor]]:
    """What a network makes of the chosen images, a chunk of rows at a time, on the best device."""
    device = best_device()
    network.to(device).eval()
    for start in range(0, len(chosen), _CHUNK):
        rows = slice(start, start + _CHUNK)
        with torch.inference_mode():
            yield rows, network(to_planes(torch.from_numpy(np.array(pixels[chosen[rows]])).to(device)))


def _fit_readout(network: OlrNetwork, images: TrainingImages) -> None:
    """Fit the readout on frozen embeddings of (at most some ten thousand) training images."""
    rows = np.sort(images.train)[:: max(1, -(-len(images.train) // _READOUT_IMAGES))]
    parts = [found.transpose(0, 1).cpu().numpy() for _, found in _computed(network, images.pixels, rows)]
    fitted = fit_readout(np.concatenate(parts, axis=1), images.labels[rows])
    with torch.no_grad():
        network.readout.weight.copy_(torch.from_numpy(fitted.weight))
        network.readout.bias.copy_(torch.from_numpy(fitted.bias))
