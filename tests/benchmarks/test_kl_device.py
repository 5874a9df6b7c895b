"""The benchmark of a GPU, where there is none: its structure on torch's CPU device, and its note."""

import numpy as np
import pytest
from olrsearch_benchmarks.speed import kl_device
from olrsearch_benchmarks.speed.kl_device import BATCHES, copy_rate, device_scans, memory_shares
from olrsearch_benchmarks.speed.kl_recipes import run_kl_recipes
from olrsearch_benchmarks.speed.large_galleries import synthetic_posteriors

from olrsearch.core.errors import DeviceError
from olrsearch.search.device import DeviceScan

torch = pytest.importorskip("torch")

RECIPE = """kind = "torch"
[parameters]
device = "cpu"
[promise]
queries = ["words", "images"]
recall_at_10 = 0.999
recall_at_100 = 0.999
"""


@pytest.fixture(autouse=True)
def _small_copies(monkeypatch):
    monkeypatch.setattr(kl_device, "_COPIED", {"cpu": 1 << 16})


def test_recipes_for_a_gpu_are_measured_where_there_is_one(monkeypatch, caplog):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    assert device_scans() == ((), "Not measured: kl-torch, for torch sees no GPU here.")
    assert "Not measured: kl-torch" in caplog.text
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 1)
    monkeypatch.setattr("torch.cuda.current_device", lambda: 0)
    assert device_scans() == (("kl-torch",), None)


def test_shares_are_bytes_by_time_by_the_rate_of_a_copy(monkeypatch):
    features = np.random.default_rng(0).normal(size=(400, 21)).astype(np.float32)
    scan = DeviceScan((features,), features.shape, "cpu")
    clock = iter(np.arange(1000) * 0.5)  # every turn takes half a second
    monkeypatch.setattr("time.perf_counter", lambda: next(clock))
    assert copy_rate("cpu", turns=3) == pytest.approx(2 * (1 << 16) / 0.5)
    sizes = []
    plain = DeviceScan.products

    def counted(self, queries):
        sizes.append(len(queries))
        return plain(self, queries)

    monkeypatch.setattr(DeviceScan, "products", counted)
    found = memory_shares(scan, np.random.default_rng(1).normal(size=(5, 21)), turns=2)
    assert sizes == [1] * 3 + [64] * 3
    assert BATCHES == (1, 64)
    assert set(found) == {f"share of the memory's speed, {many} at once" for many in BATCHES}
    for share in found.values():
        assert share == pytest.approx(scan.bytes / (2 * (1 << 16)))
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(DeviceError, match="sees no GPU"):
        copy_rate("cuda")


@pytest.mark.slow
def test_a_run_has_the_recipe_like_any_other(tmp_path):
    path = tmp_path / "kl-own.toml"
    path.write_text(RECIPE)
    vectors = np.random.default_rng(3).normal(size=(16, 5))
    rows = run_kl_recipes(
        synthetic_posteriors(vectors, 200, np.random.default_rng(0)),
        vectors,
        shrinkage=0.1,
        count=1500,
        scans=(path,),
        queries=4,
        turns=2,
    ).to_dicts()
    values = {row["metric"]: row["value"] for row in rows}
    for kind in ("words-1", "words-5", "images"):
        assert values[f"kl-own/1500/{kind}/recall@10"] == 1.0
    for many in BATCHES:
        assert values[f"kl-own/1500/share of the memory's speed, {many} at once"] > 0
    assert values["kl-own/1500/memory"] == 4 * (21 + 1)
