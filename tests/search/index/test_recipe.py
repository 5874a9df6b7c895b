import json

import numpy as np
import pytest
from made_up import PlainPart, gallery

from olrsearch.core.errors import IndexBuildError, RecallError, VectorError
from olrsearch.maths.metric import fit_metric
from olrsearch.search.index.build import build_recipe
from olrsearch.search.index.built import BuiltIndex, plain_query, plain_vectors
from olrsearch.search.index.faiss_index import load_faiss
from olrsearch.search.index.label import LabelIndexes, WholeIndex, nearest
from olrsearch.search.index.recipe import PartRecipe, Recipe, estimate_memory, load_recipe, recipe_names
from olrsearch.search.index.view import EmbeddingView
from olrsearch.search.similar import compose, similar

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module", autouse=True)
def _one_thread():
    # Small builds on busy cores: faiss' threads would mostly wait for each other.
    faiss = load_faiss()
    threads = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(1)
    yield
    faiss.omp_set_num_threads(threads)


PART = PartRecipe("HNSW8,Flat", proposals=8, ef_construction=40, ef_search=128)
GRAPH = Recipe("graph", "", 0.9, PART, PART)


@pytest.fixture(scope="module")
def made():
    return gallery(500, parts=(0.6, 0.4))


@pytest.fixture(scope="module")
def metric(made):
    return fit_metric(made.all(), "l2", form="standardised")


@pytest.fixture(scope="module")
def folder(made, metric, tmp_path_factory):
    folder = tmp_path_factory.mktemp("index") / "graph"
    build_recipe(made.view, metric, GRAPH, folder)
    return folder


@pytest.mark.parametrize("name", ["hnsw", "sq8"])
@pytest.mark.parametrize("kind", ["ip", "l2", "cosine"])
def test_recipes_keep_their_promise(name, kind, tmp_path):
    made = gallery(250)
    queries = gallery(2, seed=1).all()
    metric = fit_metric(made.all(), kind, form="standardised" if kind == "cosine" else "plain")
    recipe = load_recipe(name)
    described = build_recipe(made.view, metric, recipe, tmp_path / name)
    assert len(described.files) == 6
    assert min(file.recall.at_10 for file in described.files) >= recipe.recall_at_10
    assert min(file.recall.at_100 for file in described.files) >= 0.9
    assert json.loads((tmp_path / name / "index.json").read_text()) == json.loads(
        json.dumps(described.to_dict())
    )
    index = BuiltIndex.open(tmp_path / name, LabelIndexes(made.view, metric))
    assert index.described == described
    for label, query in ((2, queries[2, 0]), (None, queries[:, 0])):
        exact = WholeIndex(index.indexes) if label is None else index.indexes.of(label)
        truth, distances = nearest(exact, query, 10)
        ids, found = index.search(label, query, 10)
        assert len(set(ids.tolist()) & set(truth.tolist())) >= 8
        np.testing.assert_allclose(found[0], distances[0], rtol=1e-4, atol=1e-4)


def test_the_exact_recipe_builds_nothing_and_answers_everything(made, metric, tmp_path):
    described = build_recipe(made.view, metric, load_recipe("exact"), tmp_path / "exact")
    assert described.files == ()
    index = BuiltIndex.open(tmp_path / "exact", LabelIndexes(made.view, metric))
    assert not index.covers(None)
    query = made.view.embedding(int(made.view.ids[3]))
    assert (
        index.search(None, query, 9)[0].tolist() == nearest(WholeIndex(index.indexes), query, 9)[0].tolist()
    )


def test_images_added_and_deleted_since_are_right_at_once(made, metric, folder):
    rng = np.random.default_rng(5)
    twin = int(made.view.ids[3])
    query = made.view.embedding(twin)
    near = (query[:, None] + rng.normal(size=(5, 20, 4)) * 1e-3).astype(np.float32)
    added = PlainPart(np.arange(5000, 5020), near)
    gone = BuiltIndex.open(folder, LabelIndexes(made.view, metric)).search(None, query, 200)[0][:150]
    view = EmbeddingView([*made.view.parts, added], gone)
    index = BuiltIndex.open(folder, LabelIndexes(view, metric))
    assert len(index.tail) == 20
    for label, asked in ((None, query), (1, query[1])):
        ids, _ = index.search(label, asked, 40)
        assert len(ids) == 40
        assert not set(ids.tolist()) & set(gone.tolist())
        if label is None:
            assert set(ids[:20].tolist()) == set(range(5000, 5020))
        exact = WholeIndex(index.indexes) if label is None else index.indexes.of(label)
        truth = nearest(exact, asked, 40)[0]
        assert len(set(ids.tolist()) & set(truth.tolist())) >= 36
    ids, _ = index.search(None, query, 10_000)
    assert set(ids.tolist()) == set(view.ids.tolist())
    ids, _ = index.search(None, query, 10_000, exclude=[5000, 5001, twin])
    assert set(ids.tolist()) == set(view.ids.tolist()) - {5000, 5001, twin}


def test_an_index_that_finds_too_little_falls_back_to_the_scan(made, metric, folder):
    keep = made.view.ids[:5]
    view = EmbeddingView(made.view.parts, set(made.view.ids[5:].tolist()))
    index = BuiltIndex.open(folder, LabelIndexes(view, metric))
    ids, _ = index.search(2, made.view.embedding(int(keep[0]))[2], 5)
    assert set(ids.tolist()) == set(keep.tolist())


def test_similar_uses_an_index_where_it_covers_the_query(made, metric, folder):
    indexes = LabelIndexes(made.view, metric)
    built = BuiltIndex.open(folder, indexes)
    image = int(made.view.ids[3])
    for what, exact in [
        ({"like": image}, False),
        ({"like": image, "by": "male"}, False),
        ({"like": image, "by": {"male": 3.0}}, False),
        ({"like": image, "with_": {"male": int(made.view.ids[9])}}, False),
        ({"like": image, "by": ["male", "smiling"]}, True),
    ]:
        targets = compose(made.view, made.names, **what)
        plain = similar(indexes, made.names, targets, count=8, offset=3, exclude=[image])
        quick = similar(indexes, made.names, targets, count=8, offset=3, exclude=[image], built=built)
        assert quick.exact is exact
        assert (quick.query, quick.first_rank, quick.candidates) == (plain.query, 4, plain.candidates)
        assert len(set(quick.ids.tolist()) & set(plain.ids.tolist())) >= 7
        for distance, parts in zip(quick.distances, quick.contributions, strict=True):
            assert sum(part.value for part in parts) == pytest.approx(-distance, rel=1e-4, abs=1e-5)
    cut = similar(indexes, made.names, targets, min_score=-1.0, built=built)
    assert cut.exact
    allowed = np.zeros(len(made.view), bool)
    allowed[-8:] = True
    targets = compose(made.view, made.names, like=image)
    filtered = similar(
        indexes,
        made.names,
        targets,
        count=20,
        allowed=allowed,
        exclude=[int(made.view.ids[-1])],
        built=built,
    )
    assert filtered.exact
    assert set(filtered.ids.tolist()) == set(made.view.ids[-8:-1].tolist())


def test_a_broken_promise_leaves_the_old_index_alone(made, metric, tmp_path):
    folder = tmp_path / "index"
    build_recipe(made.view, metric, load_recipe("exact"), folder)
    blind = PartRecipe("IVF64,Flat", proposals=1, nprobe=1)
    with pytest.raises(
        RecallError, match=r"label-0000.faiss of the recipe blind finds 0\.\d+ .* promised are 1.0"
    ):
        build_recipe(made.view, metric, Recipe("blind", "", 1.0, blind), folder)
    assert json.loads((folder / "index.json").read_text())["recipe"]["name"] == "exact"
    assert [path.name for path in tmp_path.iterdir()] == ["index"]


def test_whole_vectors_add_up_labels_with_their_scales(made):
    for kind in ("l2", "ip", "cosine"):
        metric = fit_metric(made.all(), kind, form="standardised")
        indexes = LabelIndexes(made.view, metric)
        query = made.view.embedding(int(made.view.ids[3]))
        vectors = plain_vectors(made.view, metric, None).astype(np.float64)
        asked = plain_query(metric, query, None)
        whole = WholeIndex(indexes).distances(query)
        plain = ((vectors - asked) ** 2).sum(axis=1) if kind == "l2" else -(vectors @ asked)
        constant = (1 / metric.scale).sum() if kind == "cosine" else 0
        np.testing.assert_allclose(plain + constant, whole, rtol=1e-4, atol=1e-3)


def test_damage_and_strangers_are_named(made, metric, folder, tmp_path):
    indexes = LabelIndexes(made.view, metric)
    with pytest.raises(IndexBuildError, match="no usable index"):
        BuiltIndex.open(tmp_path, indexes)
    other = LabelIndexes(made.view, fit_metric(made.all(), "ip", form="plain"))
    with pytest.raises(IndexBuildError, match="another metric"):
        BuiltIndex.open(folder, other)
    copied = tmp_path / "copy"
    copied.mkdir()
    for path in folder.iterdir():
        (copied / path.name).write_bytes(path.read_bytes())
    query = made.view.embedding(int(made.view.ids[3]))
    (copied / "label-0001.faiss").write_bytes(b"short")
    with pytest.raises(IndexBuildError, match="has 5 bytes, expected"):
        BuiltIndex.open(copied, indexes).search(1, query[1], 3)
    (copied / "whole.faiss").unlink()
    with pytest.raises(IndexBuildError, match="missing"):
        BuiltIndex.open(copied, indexes).search(None, query, 3)
    np.save(copied / "ids.npy", np.arange(3))
    with pytest.raises(IndexBuildError, match="not of this index"):
        BuiltIndex.open(copied, indexes)
    data = json.loads((folder / "index.json").read_text())
    for text, message in [
        (json.dumps(data | {"format_version": 99}), "format 99"),
        (json.dumps({"format_version": 1}), "damaged"),
        ("{", "no usable"),
    ]:
        (copied / "index.json").write_text(text)
        with pytest.raises(IndexBuildError, match=message):
            BuiltIndex.open(copied, indexes)


def test_bad_builds_are_named(made, metric, tmp_path):
    with pytest.raises(VectorError, match="encode images"):
        build_recipe(EmbeddingView(made.view.parts, made.view.ids), metric, GRAPH, tmp_path / "x")


def test_recipes_are_read_strictly(tmp_path):
    assert recipe_names() == ("exact", "hnsw", "sq8", "torch")
    with pytest.raises(IndexBuildError, match="there are exact, hnsw, sq8, torch"):
        load_recipe("nothing")
    path = tmp_path / "own.toml"
    good = '[label]\nfactory = "SQ8"\n[promise]\nrecall_at_10 = 0.5\n'
    path.write_text(good)
    assert load_recipe(path) == Recipe("own", "", 0.5, PartRecipe("SQ8"))
    for text, message in [
        (good + "[other]\n", "unknown tables"),
        (good.replace("0.5", "2"), "out of range"),
        (good.replace("factory", "factroy"), "factroy"),
        ("[label]\n", "no recipe"),
        ("[[[", "no TOML"),
    ]:
        path.write_text(text)
        with pytest.raises(IndexBuildError, match=message):
            load_recipe(path)


def test_memory_is_estimated_within_a_quarter(folder):
    taken = sum(path.stat().st_size for path in folder.glob("*.faiss"))
    assert estimate_memory(GRAPH, 500, 5, 4)[0] == pytest.approx(taken, rel=0.25)
    assert estimate_memory(load_recipe("exact"), 10**6, 40, 32) == (0, 0)
    assert estimate_memory(load_recipe("sq8"), 10**6, 40, 32)[0] == pytest.approx(
        2 * 40 * 32 * 10**6, rel=0.2
    )
