import pickle

import numpy as np
import olr_case
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score

from olrsearch.encoders.olr.readout_fit import fit_readout
from olrsearch.encoders.trainer.data import (
    EpochBatches,
    PixelBatches,
    StageData,
    augment,
    derived_seed,
    pixel_statistics,
    step_generator,
)
from olrsearch.encoders.trainer.metrics import average_precision, selection_metrics


def _flat(sampler) -> list[int]:
    return [int(position) for batch in sampler for position in batch]


@given(st.integers(2, 60), st.integers(1, 20), st.integers(1, 3), st.integers(0, 5))
def test_processes_share_an_epoch_without_repeats(count, batch_size, world, epoch):
    if count < world:
        return
    parts = []
    for rank in range(world):
        sampler = EpochBatches(count, batch_size, 3, 0, rank, world)
        sampler.set_epoch(epoch)
        parts.append(_flat(sampler))
        assert len(list(sampler)) == len(sampler)
    seen = [position for part in parts for position in part]
    assert len({len(part) for part in parts}) == 1
    assert len(set(seen)) == len(seen) > 0
    assert set(seen) <= set(range(count))


def test_order_depends_on_seed_stage_and_epoch_alone():
    def order(seed, stage, epoch):
        sampler = EpochBatches(50, 10, seed, stage)
        sampler.set_epoch(epoch)
        return _flat(sampler)

    assert order(0, 0, 1) == order(0, 0, 1)
    assert len({tuple(order(*key)) for key in [(0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1)]}) == 4


def test_seeds_do_not_collide():
    seeds = {
        derived_seed(seed, stage, step) for seed in range(10) for stage in range(2) for step in range(200)
    }
    assert len(seeds) == 4000
    with torch.random.fork_rng():
        first = step_generator(0, 1, 2, 3, 0)
        dropout = torch.rand(1)
        again = step_generator(0, 1, 2, 3, 0)
        torch.testing.assert_close(torch.rand(1), dropout)
    torch.testing.assert_close(torch.rand(3, generator=first), torch.rand(3, generator=again))


@given(st.integers(1, 5), st.integers(0, 4), st.booleans(), st.integers(0, 50))
def test_augmentation_equals_the_naive_one(count, shift, flip, seed):
    pixels = torch.randint(0, 256, (count, 9, 7, 3), dtype=torch.uint8)
    kept = pixels.clone()
    out = augment(pixels, flip=flip, shift=shift, generator=torch.Generator().manual_seed(seed))
    generator = torch.Generator().manual_seed(seed)
    mirrored = torch.rand(count, 1, generator=generator) < 0.5
    offsets = torch.randint(-shift, shift + 1, (count, 2), generator=generator)
    for image in range(count):
        source = pixels[image].flip(1) if flip and mirrored[image] else pixels[image]
        down, right = offsets[image].tolist()
        rows = (torch.arange(9) + down).clamp(0, 8)
        columns = (torch.arange(7) + right).clamp(0, 6)
        torch.testing.assert_close(out[image], source[rows][:, columns])
    torch.testing.assert_close(pixels, kept)
    assert out.dtype == torch.uint8


def test_batches_are_gathered_whole():
    pixels, labels = olr_case.data(20)
    batches = PixelBatches(pixels, labels, np.array([4, 9, 2, 7]))
    images, targets = batches[np.array([3, 0])]
    np.testing.assert_array_equal(images.numpy(), pixels[[7, 4]])
    np.testing.assert_array_equal(targets.numpy(), labels[[7, 4]])
    data = StageData(batches, batches, olr_case.config(), 0)
    assert [len(part) for part, _ in data.train_dataloader()] == [4]
    assert torch.cat([part for part, _ in data.val_dataloader()]).shape == (4, 16, 16, 3)


def test_memory_maps_travel_as_paths(tmp_path):
    pixels, labels = olr_case.data(200)
    np.save(tmp_path / "pixels.npy", pixels)
    mapped = np.load(tmp_path / "pixels.npy", mmap_mode="r")
    for source, small in ((mapped, True), (mapped[3:], False), (pixels, False)):
        batches = PixelBatches(source, labels, np.arange(100))
        sent = pickle.dumps(batches)
        assert (len(sent) < 10_000) is small
        again = pickle.loads(sent)
        at = np.array([5, 0, 99])
        torch.testing.assert_close(again[at][0], batches[at][0])


def test_statistics_are_those_of_the_rows():
    pixels, _ = olr_case.data(50)
    rows = np.arange(10, 40)
    mean, std = pixel_statistics(pixels, rows)
    np.testing.assert_allclose(mean.numpy(), pixels[rows].mean((0, 1, 2)), rtol=1e-5)
    np.testing.assert_allclose(std.numpy(), pixels[rows].std((0, 1, 2)), rtol=1e-4)
    flat = pixel_statistics(np.full((4, 8, 8, 3), 7, np.uint8), np.arange(4))
    assert flat[1].tolist() == [1, 1, 1]


@given(st.integers(4, 60), st.integers(0, 1000))
def test_average_precision_is_that_of_scikit_learn(count, seed):
    rng = np.random.default_rng(seed)
    scores = rng.integers(0, 8, (count, 3)).astype(np.float32)  # many ties
    labels = rng.integers(-1, 2, (count, 3)).astype(np.int8)
    for label, value in enumerate(average_precision(scores, labels)):
        known = labels[:, label] != 0
        present = labels[known, label] > 0
        if present.any() and not present.all():
            expected = average_precision_score(present, scores[known, label])
            assert value == pytest.approx(expected)
        else:
            assert np.isnan(value)


def test_metrics_of_nothing_known_are_zero():
    nothing = selection_metrics(np.ones((3, 2), np.float32), np.zeros((3, 2), np.int8))
    assert nothing == {"map": 0.0, "accuracy": 0.0}


def test_fitted_readout_separates_what_can_be_separated():
    rng = np.random.default_rng(0)
    embeddings = rng.random((3, 400, 5), dtype=np.float32)
    embeddings[:, :, 4] = 0  # never varies
    labels = np.where(embeddings[:, :, 0] + 0.3 * embeddings[:, :, 1] > 0.6, 1, -1).T.astype(np.int8)
    labels[::7, 0] = 0
    labels[:, 1] = 1
    labels[:, 2] = 0
    kept = embeddings.copy()
    readout = fit_readout(embeddings, labels)
    np.testing.assert_array_equal(embeddings, kept)
    logits = readout.logits(embeddings)
    known = labels[:, 0] != 0
    assert ((logits[0] > 0) == (labels[:, 0] > 0))[known].mean() > 0.97
    assert np.isfinite(logits).all()
    assert (logits[1] > 0).all()
    assert (logits[2] == 0).all()
    assert (readout.weight[:, 4] == 0).all()
