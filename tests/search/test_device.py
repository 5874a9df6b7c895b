"""A flat scan on torch's CPU device, held against numpy: of vectors, labels and posteriors."""

import sys
from dataclasses import replace

import numpy as np
import pytest
from made_up import PlainPart, gallery

from olrsearch.core.errors import DeviceError, VectorError
from olrsearch.maths.gaussian import word_prior
from olrsearch.maths.metric import fit_metric
from olrsearch.search import device
from olrsearch.search.device import DeviceScan, check_device, device_bytes, find_device
from olrsearch.search.index.build import build_recipe
from olrsearch.search.index.built import BuiltIndex
from olrsearch.search.index.label import LabelIndexes, WholeIndex, nearest
from olrsearch.search.index.recipe import PartRecipe, Recipe, estimate_memory, load_recipe
from olrsearch.search.index.view import EmbeddingView
from olrsearch.search.kl.build import build_kl
from olrsearch.search.kl.built import open_built, why_exact
from olrsearch.search.kl.exact_search import KlIndex
from olrsearch.search.kl.kept_features import KlFeatures, choose_frame
from olrsearch.search.kl.recall import WordSets
from olrsearch.search.kl.recipes import load_kl_recipe
from olrsearch.search.kl.view import KlView, PlainPosteriors

torch = pytest.importorskip("torch")

N, D = 700, 12


@pytest.fixture(scope="module", autouse=True)
def _one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def vectors():
    return np.random.default_rng(0).normal(size=(N, D)).astype(np.float32)


@pytest.fixture
def scan(vectors):
    return DeviceScan((vectors[:300], vectors[300:]), vectors.shape, "cpu")


# -- vectors ------------------------------------------------------------------------------


def test_products_and_the_nearest_are_those_of_numpy(scan, vectors):
    queries = np.random.default_rng(1).normal(size=(5, D)).astype(np.float32)
    assert (scan.count, scan.size, scan.device, scan.bytes) == (N, D, "cpu", device_bytes(N, D))
    found = scan.products(queries)
    assert (found.shape, found.dtype) == ((5, N), np.float32)
    np.testing.assert_allclose(found, queries @ vectors.T, rtol=1e-5, atol=1e-5)
    for query in queries:
        near = np.argsort(-(vectors @ query))[:20]
        assert scan.nearest(query, 20).tolist() == near.tolist()
        near = np.argsort(np.square(vectors - query).sum(axis=1))[:20]
        assert scan.nearest(query, 20, squared_l2=True).tolist() == near.tolist()
    assert len(set(scan.nearest(queries[0], 5 * N).tolist())) == N
    assert not scan.nearest(queries[0], 0).size
    read_only = vectors.copy()
    read_only.setflags(write=False)
    assert DeviceScan((read_only,), vectors.shape, "cpu").nearest(queries[0], 1) == scan.nearest(
        queries[0], 1
    )


def test_bad_input_is_named(scan, vectors, monkeypatch):
    for query in (vectors[0, :-1], vectors[:1], np.full(D, np.nan, np.float32)):
        with pytest.raises(VectorError, match="a query vector"):
            scan.nearest(query, 5)
    monkeypatch.setattr("torch.get_float32_matmul_precision", lambda: "medium")
    for call in (scan.products, lambda some: scan.nearest(some[0], 5)):
        with pytest.raises(DeviceError, match=r"set_float32_matmul_precision\('highest'\)"):
            call(vectors[:1])


def test_devices_that_are_not_there(vectors, monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    for name in ("auto", "cuda", "cuda:1"):
        with pytest.raises(DeviceError, match=f"for the device {name}: leave --recipe out"):
            DeviceScan((vectors,), vectors.shape, name)
    with pytest.raises(DeviceError, match="'tpu': expected auto, cpu, cuda"):
        find_device("tpu")
    assert find_device("cpu") == torch.device("cpu")
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    monkeypatch.setattr("torch.cuda.current_device", lambda: 1)
    assert find_device("auto") == torch.device("cuda:1")
    assert find_device("cuda:0") == torch.device("cuda:0")
    with pytest.raises(DeviceError, match="GPUs up to cuda:1, and the index is for the device cuda:2"):
        find_device("cuda:2")
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(DeviceError, match="torch does not load"):
        find_device("cpu")


def test_too_little_memory_has_a_name(scan, vectors, monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 1)
    monkeypatch.setattr("torch.cuda.current_device", lambda: 0)
    monkeypatch.setattr("torch.cuda.mem_get_info", lambda _: (2_000_000, 9_000_000))
    assert check_device("auto", 29_000, 16) == torch.device("cuda:0")
    with pytest.raises(DeviceError, match=r"29,000 vectors take 4 MB, cuda:0 has 2 MB free: free some"):
        check_device("auto", 29_000, 30)
    assert check_device("cpu", 10**9, 30) == torch.device("cpu")

    def full(*_):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")

    monkeypatch.setattr(scan, "_products", full)
    with pytest.raises(DeviceError, match="cpu has too little memory for the scores of 1 queries"):
        scan.nearest(vectors[0], 5)
    with pytest.raises(DeviceError, match="cpu has too little memory for the scores of 2 queries"):
        scan.products(vectors[:2])

    def other(*_):
        raise RuntimeError("something else")

    monkeypatch.setattr(scan, "_products", other)
    with pytest.raises(RuntimeError, match="something else"):
        scan.nearest(vectors[0], 5)
    # what a CPU says: far more than any machine has
    with pytest.raises(DeviceError, match="too little memory for 1,000,000,000,000,000 vectors"):
        DeviceScan((), (10**15, D), "cpu")


# -- label embeddings ---------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["ip", "l2", "cosine"])
def test_labels_and_whole_embeddings_are_scanned_on_a_device(kind, tmp_path, monkeypatch):
    made = gallery(250)
    metric = fit_metric(made.all(), kind, form="standardised" if kind == "cosine" else "plain")
    part = PartRecipe("torch:cpu")
    recipe = replace(load_recipe("torch"), label=part, whole=part)
    described = build_recipe(made.view, metric, recipe, tmp_path / "torch")
    assert {path.name for path in (tmp_path / "torch").iterdir()} == {"index.json", "ids.npy"}
    assert min(file.recall.at_100 for file in described.files) >= 0.99
    # images deleted since are not loaded, those added are scanned beside it
    gone, twin = made.view.ids[:20], int(made.view.ids[30])
    added = PlainPart(np.arange(5000, 5003), np.repeat(made.view.embedding(twin)[:, None], 3, axis=1))
    view = EmbeddingView([*made.view.parts, added], gone)
    index = BuiltIndex.open(tmp_path / "torch", LabelIndexes(view, metric))
    query = view.embedding(twin)
    for label, asked in ((2, query[2]), (None, query)):
        exact = WholeIndex(index.indexes) if label is None else index.indexes.of(label)
        truth, distances = nearest(exact, asked, 30)
        ids, found = index.search(label, asked, 30)
        assert ids.tolist() == truth.tolist()
        np.testing.assert_allclose(found, distances, rtol=1e-5, atol=1e-6)
    assert len(index.tail) == 3
    assert estimate_memory(recipe, 250, 5, 4) == (0, 5 * device_bytes(250, 4) + device_bytes(250, 20))
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(DeviceError, match="sees no GPU here, and the index is for the device auto"):
        build_recipe(made.view, metric, load_recipe("torch"), tmp_path / "other")
    assert not (tmp_path / "other").exists()


def test_a_device_is_named_in_the_recipe(tmp_path):
    assert [PartRecipe(name).device for name in ("torch", "torch:cuda:1", "SQ8")] == ["auto", "cuda:1", None]
    assert Recipe("own", "", 0.5, PartRecipe("SQ8")).part(None) is None
    path = tmp_path / "own.toml"
    path.write_text('[label]\nfactory = "torch:tpu"\n[promise]\nrecall_at_10 = 0.5\n')
    with pytest.raises(Exception, match="numbers or devices out of range"):
        load_recipe(path)


# -- posteriors ---------------------------------------------------------------------------


def posteriors(count, size, seed):
    rng = np.random.default_rng(seed)
    factor = 0.3 * rng.normal(size=(count, size * (size + 1) // 2)).astype(np.float32)
    factor[:, [row * (row + 3) // 2 for row in range(size)]] = np.exp(rng.normal(size=(count, size)) - 1)
    return rng.normal(size=(count, size)).astype(np.float32), factor


@pytest.mark.slow
def test_the_exact_search_scans_on_a_device(tmp_path, monkeypatch):
    parts = [
        PlainPosteriors(np.arange(0, 240, 2), *posteriors(120, 5, 0)),
        PlainPosteriors(np.arange(1, 161, 2), *posteriors(80, 5, 1)),
    ]
    view = KlView(parts, [3, 4, 5])
    frame, computed = choose_frame(view), []

    def features(direction):
        computed.append(direction)
        return [KlFeatures.compute(part, frame, direction) for part in parts]

    index = KlIndex(view, frame, features)
    words = np.random.default_rng(2).normal(size=(6, 5))
    recipe = load_kl_recipe("kl-torch")
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(DeviceError, match="sees no GPU"):  # before anything is computed
        build_kl(index, WordSets.of_points(words, 0.1), recipe, tmp_path / "kl-torch")
    assert not computed
    assert not list(tmp_path.iterdir())
    recipe = replace(recipe, parameters=replace(recipe.parameters, device="cpu"))
    described = build_kl(index, WordSets.of_points(words, 0.1), recipe, tmp_path / "kl-torch")
    assert {file.name for file in described.files} == {"ids.npy"}
    assert {found.at_100 for found in described.recall.values()} == {1.0}
    built = open_built(tmp_path / "kl-torch", index)
    allowed = np.random.default_rng(3).random(len(view)) < 0.5
    calls = []
    products = DeviceScan.products
    monkeypatch.setattr(
        DeviceScan, "products", lambda self, asked: (calls.append(self.count), products(self, asked))[1]
    )
    for seed in range(8):
        query = word_prior(np.random.default_rng(seed).normal(size=(3, 5)), 0.1)
        for options in ({}, {"allowed": allowed}, {"exclude": [7, 8]}):
            found, truth = built.search(query, 10, **options), index.search(query, 10, **options)
            assert found.exact
            np.testing.assert_array_equal(found.ids, truth.ids)
            np.testing.assert_array_equal(found.distances, truth.distances)
    assert calls == [120, 80] * 24
    assert "not for jeffreys" in why_exact(built, "jeffreys")

    # a device that computes nonsense is found out when the index is built
    monkeypatch.setattr(DeviceScan, "products", lambda self, asked: -products(self, asked))
    with pytest.raises(Exception, match=r"kl-torch finds 0\.\d+ of the ten"):
        build_kl(index, WordSets.of_points(words, 0.1), recipe, tmp_path / "kl-torch")
    assert device.DEVICES.fullmatch("cuda:3")
