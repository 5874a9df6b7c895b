"""Flat search on a torch device, held against brute force on torch's CPU device."""

import json
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from olrsearch_benchmarks.speed.kl_recipes import synthetic_posteriors

from olrsearch.core.errors import DeviceError, IndexBuildError, RecallError, VectorError
from olrsearch.maths.gaussian import DIRECTIONS, word_prior
from olrsearch.maths.kl_features import Frame, image_features, query_features
from olrsearch.search.kl import torch_flat
from olrsearch.search.kl.build import build_kl
from olrsearch.search.kl.built import BuiltKl, faults
from olrsearch.search.kl.exact import KlIndex, KlView, PlainPosteriors
from olrsearch.search.kl.proposers import search_kl
from olrsearch.search.kl.recipes import KlParameters, KlRecipe, estimate_kl_memory, load_kl_recipe
from olrsearch.search.kl.scaling import Scaling

torch = pytest.importorskip("torch")

N, D, W = 1500, 6, 16
F = D * (D + 1) // 2 + D + 1
TYPES = ("float16", "float32")


@pytest.fixture(scope="module", autouse=True)
def _one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def vectors():
    return np.random.default_rng(3).normal(size=(W, D))


@pytest.fixture(scope="module")
def posteriors(vectors):
    return synthetic_posteriors(vectors, N, np.random.default_rng(5))


class Case:
    """A gallery and queries in one direction."""

    def __init__(self, posteriors, vectors, direction):
        images = posteriors.gaussians(slice(0, N))
        self.frame, self.direction = Frame.of(images), direction
        self.exact = image_features(self.frame.apply(images), direction)
        self.features = self.exact.astype(np.float32)
        self.ids = np.random.default_rng(1).permutation(4 * N)[:N].astype(np.int64)
        rng = np.random.default_rng(7)
        asked = [
            *(word_prior(vectors[rng.choice(W, size, replace=False)], 0.1) for size in (1, 2, 3, 5)),
            *(images[row] for row in (0, 700)),
        ]
        self.queries = np.concatenate([query_features(self.frame.apply(one), direction)[0] for one in asked])

    def nearest(self, query, count):
        return np.lexsort((self.ids, self.exact @ query))[:count]

    def search(self, proposer, query, count, **options):
        def rescore(asked, rows):
            return self.exact[rows] @ asked

        return search_kl(proposer, self.ids, query, count, rescore, **options)


@pytest.fixture(scope="module", params=DIRECTIONS)
def case(request, posteriors, vectors):
    return Case(posteriors, vectors, request.param)


@pytest.fixture(scope="module")
def forward(posteriors, vectors):
    return Case(posteriors, vectors, "query-to-image")


def made(features, dtype="float16", **options):
    return torch_flat.TorchFlatKl.of(features, device="cpu", dtype=dtype, **options)


# -- what it finds ------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", TYPES)
def test_answers_are_proven_and_those_of_brute_force(case, dtype):
    proposer = made(case.features, dtype)
    assert (proposer.count, proposer.size, proposer.bounds, proposer.index) == (N, F, True, None)
    for query in case.queries:
        for count in (1, 10, 100):
            answer = case.search(proposer, query, count, proposals=N)
            assert answer.proven
            assert answer.scored <= max(64, 2 * count) + 5
            assert answer.rows.tolist() == case.nearest(query, count).tolist()
    plain = made(case.features, dtype, prove=False)
    for query in case.queries:
        found = plain.propose(query, 64)
        assert found.lower is None
        assert case.nearest(query, 10).tolist() == case.search(plain, query, 10).rows.tolist()
        truth = np.argsort(case.exact @ query)[:60]
        assert np.isin(truth, found.rows).all()


def bounds_of(proposer, query):
    """Every row's lower bound, float64 [N]."""
    found = proposer.propose(query, proposer.count)
    assert (found.lower[1:] >= found.lower[:-1]).all()  # some may be −∞
    out = np.empty(proposer.count)
    out[found.rows] = found.lower
    return out


@pytest.mark.parametrize("dtype", TYPES)
def test_bounds_hold_for_every_image_and_any_query(case, dtype):
    proposer = made(case.features, dtype)
    rng = np.random.default_rng(2)
    strange = [rng.normal(size=F) * np.exp(rng.normal(size=F) * 8), 1e-9 * rng.normal(size=F), np.zeros(F)]
    for query in (*case.queries, *strange):
        values, lower = case.exact @ query, bounds_of(proposer, query)
        assert (lower <= values).all()
        # and they say something: next to how much values vary they are near
        loss = 2e-2 if dtype == "float16" else 2e-3
        assert np.median(values - lower) <= loss * values.std() + 1e-3 * np.abs(query).max() + 1e-12


@pytest.mark.parametrize("dtype", TYPES)
def test_extreme_features_neither_overflow_nor_drown_the_others(forward, dtype):
    features = forward.features.copy()
    features[:, 3] = 12345.678  # all alike, far from zero
    features[:, 4] = 0.0
    features[:, 5] *= np.float32(1e-20)
    features[:, 6] *= np.float32(1e12)
    features[:, 8] *= np.float32(1e-12)
    stretch = np.where(np.arange(F) == 6, 1e12, np.where(np.arange(F) == 8, 1e-12, 1.0))
    far, farther = [7, 900], [1100, 1101, 1102]
    features[far] *= np.array([1e3, -1e3], np.float32)[:, None]
    features[farther] *= np.array([1e9, -1e9, 1e24], np.float32)[:, None]
    exact = features.astype(np.float64)
    proposer = made(features, dtype)
    assert torch.isfinite(proposer._features).all()
    assert proposer.far.tolist() == farther
    plain = made(features, dtype, prove=False)
    others = np.setdiff1d(np.arange(N), far + farther)
    for query in forward.queries:
        asked = query / stretch
        values, lower = exact @ asked, bounds_of(proposer, asked)
        assert (lower <= values).all()
        near = others[np.argsort(values[others], kind="stable")[:10]]
        for found in (proposer.propose(asked, 40), plain.propose(asked, 40)):
            assert np.isin(near, found.rows).all()
            assert set(farther) <= set(found.rows.tolist())
            assert len(set(found.rows.tolist())) == len(found.rows)
        # a bound of the others is no wider for the sake of those far out
        assert np.median((values - lower)[others]) <= 0.02 * values[others].std()
    tenth = np.where(np.arange(N)[:, None] % 10 == 0, np.float32(1e12), np.float32(1))
    with pytest.raises(IndexBuildError, match=r"of 1500 images lie too far .* kl-hnsw"):
        made(forward.features * tenth, dtype)


def test_nothing_to_tell_apart(forward):
    same = made(np.repeat(forward.features[:1], 30, axis=0))
    answer = same.propose(forward.queries[0], 5)
    assert len(set(answer.rows.tolist())) == 5
    one = made(forward.features[:1])
    assert one.propose(forward.queries[0], 5).rows.tolist() == [0]
    assert not one.propose(forward.queries[0], 0).rows.size


@pytest.mark.parametrize("dtype", TYPES)
def test_blocks_and_batches_change_nothing(forward, dtype, monkeypatch):
    proposer = made(forward.features, dtype)
    whole = [proposer.propose(query, 70) for query in forward.queries]
    monkeypatch.setattr(torch_flat, "_WIDENED", 13 * proposer._features.shape[1])
    batch = proposer.propose_batch(forward.queries, 70)
    monkeypatch.setattr(torch_flat, "_SCORES", 50)
    small = proposer.propose_batch(forward.queries, 70)
    for one, found, again in zip(whole, batch, small, strict=True):
        for other in (found, again):
            assert set(other.rows[:60]) == set(one.rows[:60])
            np.testing.assert_allclose(other.lower, one.lower, rtol=1e-5, atol=1e-4)
    assert proposer.propose_batch(np.empty((0, F)), 5) == []
    assert [len(found.rows) for found in proposer.propose_batch(forward.queries, 5000)] == [N] * 6


def test_products_of_half_precision_as_on_a_gpu(case, monkeypatch):
    # what torch does there, which its CPU device does not: float16 in, sums and results in float32
    shapes = []

    def product(columns, features):
        assert (columns.dtype, features.dtype) == (torch.float16, torch.float16)
        shapes.append((tuple(columns.shape), features.shape[1]))
        return columns.float() @ features.float().T

    widened = made(case.features)
    monkeypatch.setattr(torch_flat, "_mixes", lambda _: True)
    monkeypatch.setattr(torch_flat, "_mixed_product", product)
    mixed = made(case.features)
    for query in case.queries:
        values, lower = case.exact @ query, bounds_of(mixed, query)
        assert (lower <= values).all()
        # two columns keep a query as well as float32 does
        np.testing.assert_allclose(lower, bounds_of(widened, query), atol=2e-3 * values.std())
        assert case.search(mixed, query, 10).proven
    assert set(shapes) == {((8, 32), 32)}  # one query, and rows of 28 numbers, aligned
    mixed.propose_batch(case.queries, 10)
    assert shapes[-1] == ((16, 32), 32)
    columns = Scaling.of(case.features).queries(case.queries, half=True).columns
    assert np.isfinite(columns).all()
    assert np.abs(columns).max() < 2**15


def test_a_torch_without_such_products_falls_back(monkeypatch):
    def refuse(*_):
        raise TypeError("no argument out_dtype")

    cuda = torch.device("cuda", 0)
    zeros = torch.zeros
    monkeypatch.setattr(torch, "zeros", lambda *shape, **more: zeros(*shape, **more | {"device": "cpu"}))
    monkeypatch.setattr(torch_flat, "_mixed_product", lambda one, _: one)
    assert torch_flat._mixes(cuda)
    monkeypatch.setattr(torch_flat, "_mixed_product", refuse)
    assert not torch_flat._mixes(cuda)
    assert not torch_flat._mixes(torch.device("cpu"))


def test_memory_is_what_was_said(forward):
    for dtype, each in (("float16", 2 * 32 + 4), ("float32", 4 * 32 + 4)):
        proposer = made(forward.features, dtype)
        assert proposer.bytes == torch_flat.device_bytes(N, F, dtype) == N * each
        recipe = KlRecipe("kl-own", "", "torch", ("words",), 0, 0, KlParameters(dtype=dtype))
        assert estimate_kl_memory(recipe, N, F) == N * each


# -- in a store ---------------------------------------------------------------------------


def recipe_of(**parameters):
    recipe = load_kl_recipe("kl-torch")
    return replace(recipe, parameters=replace(recipe.parameters, device="cpu", **parameters))


def indexed(parts, *, excluded=(), folder=None):
    view = KlView(parts, excluded, size=D)
    return KlIndex.open(view, [f"{number:032x}" for number in range(len(parts))], folder)


@pytest.fixture(scope="module")
def home(posteriors, vectors, tmp_path_factory):
    """Two segments, and ids of no order between them; built in float16."""
    root = tmp_path_factory.mktemp("torch")
    ids, odd = np.arange(N, dtype=np.int64) * 2 + 1, np.arange(N) % 3 == 0
    parts = [
        PlainPosteriors(ids[some], posteriors.mean[some], posteriors.packed[some]) for some in (odd, ~odd)
    ]
    index = indexed(parts, folder=root / "kl")
    build_kl(index, vectors, 0.1, recipe_of(), root / "kl-torch")
    return root, parts, index


def word_queries(vectors):
    rng = np.random.default_rng(11)
    return [word_prior(vectors[rng.choice(W, size, replace=False)], 0.1) for size in (1, 2, 3, 5)]


def agree(built, index, queries, count=10, **options):
    for query in queries:
        found, truth = built.search(query, count, **options), index.search(query, count, **options)
        assert found.exact
        np.testing.assert_array_equal(found.ids, truth.ids)
        np.testing.assert_array_equal(found.distances, truth.distances)


def test_nothing_but_parameters_is_kept(home, vectors):
    root, _, index = home
    names = {path.name for path in (root / "kl-torch").iterdir()}
    assert names == {"index.json", "ids.npy", "centre.npy", "scale.npy", "spread.npy"}
    assert not faults(root / "kl-torch")
    built = BuiltKl.open(root / "kl-torch", index)
    assert {kind: found.at_10 for kind, found in built.described.recall.items()} == dict.fromkeys(
        (*(f"words-{size}" for size in range(1, 6)), "images"), 1.0
    )
    agree(built, index, word_queries(vectors))
    agree(built, index, word_queries(vectors), 200)
    queries = word_queries(vectors)
    assert built.search(queries[0], 2 * N).exact
    assert "not for jeffreys" in built.why_exact("jeffreys")
    assert "not for image-to-query" in built.why_exact("image-to-query")
    mask = np.random.default_rng(0).random(N) < 0.3
    agree(built, index, queries, allowed=mask)
    agree(built, index, queries, exclude=index.search(queries[0], 30).ids.tolist())


def test_what_lives_is_loaded_and_what_came_later_is_searched_beside_it(home, vectors):
    root, parts, index = home
    late = synthetic_posteriors(vectors, 80, np.random.default_rng(9))
    tail = PlainPosteriors(np.arange(80, dtype=np.int64) * 2 + 2, late.mean, late.packed)
    queries = word_queries(vectors)
    gone = [*index.search(queries[0], 40).ids.tolist(), 2]
    moved = indexed([*parts, tail], excluded=gone, folder=root / "kl")
    built = BuiltKl.open(root / "kl-torch", moved)
    assert (built._proposer.count, len(built.tail)) == (N - 40, 79)
    agree(built, moved, queries)
    agree(built, moved, [moved.view.gaussians(moved.view.rows([tail.ids[17]]))], 3)
    everything = built.search(queries[0], 2 * N)
    assert everything.exact
    assert len(everything.ids) == N - 40 + 79
    only = indexed([*parts, tail], excluded=[id_ for part in parts for id_ in part.ids], folder=root / "kl")
    built = BuiltKl.open(root / "kl-torch", only)
    assert built._proposer.count == 0
    agree(built, only, queries)


def test_a_store_says_where_it_was_to_be_searched(home, monkeypatch):
    root, _, index = home
    described = json.loads((root / "kl-torch" / "index.json").read_text())
    assert described["recipe"]["parameters"]["device"] == "cpu"
    described["recipe"]["parameters"]["device"] = "auto"
    other = root / "kl-torch-auto"
    other.mkdir()
    for path in (root / "kl-torch").iterdir():
        (other / path.name).write_bytes(path.read_bytes())
    (other / "index.json").write_text(json.dumps(described))
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(
        DeviceError, match=r"sees no GPU here, and the index is for the device auto: .*kl-fp16"
    ):
        BuiltKl.open(other, index)


def test_a_scaling_that_does_not_fit_is_found(home, monkeypatch):
    root, _, index = home
    kept = Scaling.__init__

    def shrunk(self, centre, scale, spread):
        kept(self, centre, scale * 1e-3, spread)

    monkeypatch.setattr(Scaling, "__init__", shrunk)
    with pytest.raises(
        IndexBuildError, match=r"lie too far from the others for their features' scaling: run"
    ):
        BuiltKl.open(root / "kl-torch", index)
    monkeypatch.setattr(Scaling, "__init__", lambda self, *arrays: kept(self, *(some[1:] for some in arrays)))
    with pytest.raises(IndexBuildError, match="no index of the kind torch"):
        BuiltKl.open(root / "kl-torch", index)


def test_a_promise_that_is_not_kept_is_refused(home, vectors, tmp_path, monkeypatch):
    _, _, index = home
    proposed = torch_flat.TorchFlatKl.propose

    def blind(self, query, count):
        return proposed(self, -query, count)

    monkeypatch.setattr(torch_flat.TorchFlatKl, "propose", blind)
    with pytest.raises(RecallError, match=r"kl-torch finds 0\.\d+ of the ten"):
        build_kl(index, vectors, 0.1, recipe_of(prove=False, proposals=2), tmp_path / "kl-torch")
    assert not list(tmp_path.iterdir())


# -- errors -------------------------------------------------------------------------------


def test_nothing_is_computed_for_a_device_that_is_not_there(home, vectors, tmp_path, monkeypatch):
    _, _, index = home
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    monkeypatch.setattr(KlIndex, "features", None)
    with pytest.raises(DeviceError, match="sees no GPU"):
        build_kl(index, vectors, 0.1, load_kl_recipe("kl-torch"), tmp_path / "kl-torch")
    assert not list(tmp_path.iterdir())


def test_devices_that_are_not_there(forward, monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    for name in ("auto", "cuda", "cuda:1"):
        with pytest.raises(DeviceError, match=f"for the device {name}: leave --recipe out .* kl-projected"):
            torch_flat.TorchFlatKl.of(forward.features, device=name)
    with pytest.raises(DeviceError, match="'tpu': expected auto, cpu, cuda"):
        torch_flat.find_device("tpu")
    assert torch_flat.find_device("cpu") == torch.device("cpu")
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    monkeypatch.setattr("torch.cuda.current_device", lambda: 1)
    assert torch_flat.find_device("auto") == torch.device("cuda:1")
    assert torch_flat.find_device("cuda:0") == torch.device("cuda:0")
    with pytest.raises(DeviceError, match="GPUs up to cuda:1, and the index is for the device cuda:2"):
        torch_flat.find_device("cuda:2")
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(DeviceError, match="torch does not load"):
        torch_flat.find_device("cpu")


def test_too_little_memory_has_a_name(forward, monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 1)
    monkeypatch.setattr("torch.cuda.current_device", lambda: 0)
    monkeypatch.setattr("torch.cuda.mem_get_info", lambda _: (2_000_000, 9_000_000))
    assert torch_flat.check_device("auto", 29_000, F, "float16") == torch.device("cuda:0")
    with pytest.raises(DeviceError, match=r"features of 29,000 images take 4 MB, cuda:0 has 2 MB free: free"):
        torch_flat.check_device("auto", 29_000, F, "float32")
    assert torch_flat.check_device("cpu", 10**9, F, "float32") == torch.device("cpu")
    proposer = made(forward.features)

    def full(*_, **__):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")

    monkeypatch.setattr(torch_flat, "_smallest", full)
    with pytest.raises(DeviceError, match="cpu has too little memory for the scores of 1 queries"):
        proposer.propose(forward.queries[0], 5)

    def other(*_):
        raise RuntimeError("something else")

    monkeypatch.setattr(torch_flat, "_smallest", other)
    with pytest.raises(RuntimeError, match="something else"):
        proposer.propose(forward.queries[0], 5)
    # what a CPU says: far more than any machine has
    with pytest.raises(
        DeviceError, match="too little memory for KL features of 1,000,000,000,000,000 images"
    ):
        torch_flat.TorchFlatKl(Scaling.of(forward.features), (), 10**15, device="cpu")


def test_bad_input_is_named(forward, monkeypatch):
    with pytest.raises(VectorError, match=r"float32 \[N, F\], found float64"):
        made(forward.exact)
    with pytest.raises(VectorError, match=r"found float32 \(28,\)"):
        made(forward.features[0])
    for harm in (np.nan, np.inf):
        features = forward.features.copy()
        features[3, 2] = harm
        with pytest.raises(VectorError, match="KL features hold NaN, infinity"):
            made(features)
    proposer = made(forward.features)
    for query in (forward.queries[0][:-1], np.full(F, np.nan), forward.queries[:2]):
        with pytest.raises(VectorError, match="28 finite numbers"):
            proposer.propose(query, 5)
    monkeypatch.setattr("torch.get_float32_matmul_precision", lambda: "medium")
    with pytest.raises(DeviceError, match=r"set_float32_matmul_precision\('highest'\)"):
        proposer.propose(forward.queries[0], 5)


def test_importing_indexes_loads_no_torch():
    code = (
        "import sys, olrsearch.search.kl.torch_flat, olrsearch.search.kl.recipes, olrsearch.search.kl.built, "
        "olrsearch_benchmarks.speed.kl_device; print('faiss' in sys.modules, 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]
