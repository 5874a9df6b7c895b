from dataclasses import replace

import numpy as np
import pytest
from olrsearch_benchmarks.speed.kl_recipes import run_kl_recipes
from olrsearch_benchmarks.speed.large_galleries import resample, synthetic_posteriors

from olrsearch.core.errors import BenchmarkError, GaussianError, IndexBuildError, RecallError, VectorError
from olrsearch.maths.divergences import kl
from olrsearch.maths.kl_features import Frame, image_features, query_features
from olrsearch.search.index.built import Recall
from olrsearch.search.index.faiss_index import FaissIndex, load_faiss
from olrsearch.search.index.recipe import recipe_names
from olrsearch.search.kl.projected import ProjectedKl, search_kl
from olrsearch.search.kl.projection import Projection
from olrsearch.search.kl.recall import (
    WordSets,
    check_promise,
    exact_answers,
    measure_recall,
    sample_word_queries,
)
from olrsearch.search.kl.recipes import (
    KlParameters,
    KlRecipe,
    build_proposer,
    estimate_kl_memory,
    kl_recipe_names,
    load_kl_recipe,
)

N, D = 2500, 6
DIRECTIONS = ("query-to-image", "image-to-query")
NAMES = ("kl-projected", "kl-torch")


@pytest.fixture(scope="module", autouse=True)
def _one_thread():
    faiss = load_faiss()
    threads = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(1)
    yield
    faiss.omp_set_num_threads(threads)


class Case:
    """A gallery with sampled and held-out queries, in one direction."""

    def __init__(self, direction):
        rng = np.random.default_rng(3)
        self.direction = direction
        self.vectors = rng.normal(size=(16, D))
        self.vectors /= np.linalg.norm(self.vectors, axis=1, keepdims=True)
        self.posteriors = synthetic_posteriors(self.vectors, N + 120, rng)
        self.images = self.posteriors.gaussians(slice(0, N))
        self.frame = Frame.of(self.images)
        self.exact = image_features(self.frame.apply(self.images), direction)
        self.features = self.exact.astype(np.float32)
        self.ids = rng.permutation(5 * N)[:N].astype(np.int64)
        words = sample_word_queries(WordSets.of_points(self.vectors, 0.1), 300, rng)
        held = sample_word_queries(
            WordSets.of_points(self.vectors, 0.1), 40, rng, sizes=(2, 3, 4, 5), exclude=words.sets
        )
        self.asked = {
            **{f"words-{size}": held.of_size(size) for size in (2, 3, 4, 5)},
            "images": self.posteriors.gaussians(slice(N, N + 20)),
        }
        self.samples = {
            "words": self.query(words.gaussians),
            "images": self.query(self.posteriors.gaussians(slice(N + 20, N + 120))),
        }
        self.held_out = {
            kind: exact_answers(self.features, self.query(some), self.rescore)
            for kind, some in self.asked.items()
        }

    def query(self, gaussians):
        return query_features(self.frame.apply(gaussians), self.direction)[0]

    def rescore(self, query, rows):
        return self.exact[rows] @ query


@pytest.fixture(scope="module", params=DIRECTIONS)
def case(request):
    return Case(request.param)


@pytest.fixture(scope="module")
def forward():
    return Case("query-to-image")


def test_answers_by_scan_are_the_divergences(case):
    for kind, gaussians in case.asked.items():
        constants = query_features(case.frame.apply(gaussians), case.direction)[1]
        for row in (0, 5):
            query, truth = gaussians[row], case.held_out[kind].values[row]
            direct = kl(query, case.images) if case.direction == "query-to-image" else kl(case.images, query)
            np.testing.assert_allclose(truth + constants[row], np.sort(direct)[:100], rtol=1e-8, atol=1e-8)


def test_the_recipe_keeps_its_promise_on_held_out_queries(case):
    recipe = load_kl_recipe("kl-projected")
    proposer = build_proposer(recipe, case.features, case.samples)
    recall = measure_recall(proposer, recipe, case.ids, case.held_out, case.rescore)
    check_promise(recipe, recall)
    assert set(recall) == {"words-2", "words-3", "words-4", "words-5", "images"}
    assert min(found.at_10 for found in recall.values()) >= recipe.recall_at_10
    assert min(found.at_100 for found in recall.values()) >= recipe.recall_at_100
    assert proposer.count == N
    assert proposer.bytes == pytest.approx(estimate_kl_memory(recipe, N, case.features.shape[1]), rel=0.5)


def test_coordinates_keep_inner_products_and_put_the_most_telling_first(case):
    projection = Projection.of(case.features, case.samples)
    queries = case.held_out["images"].features
    turned = projection.project(case.features)
    plain = (case.features - projection.centre) @ queries.T
    np.testing.assert_allclose(turned @ (queries @ projection.queries).T, plain, rtol=1e-6, atol=1e-6)
    errors = [
        np.square(turned[:, :kept] @ (queries @ projection.queries)[:, :kept].T - plain).mean()
        for kept in (2, 6, 12, 20)
    ]
    assert errors == sorted(errors, reverse=True)


@pytest.mark.slow
def test_images_too_far_out_for_half_precision_are_always_scored(forward):
    features, exact = forward.features.copy(), forward.exact.copy()
    features[[7, 900]] *= 1e7
    exact[[7, 900]] = features[[7, 900]]
    projection = Projection.of(forward.features, forward.samples)
    proposer = ProjectedKl.build(features, projection, 17)
    for query in forward.held_out["words-2"].features[:5]:
        found = proposer.propose(query, 50)
        assert {7, 900} <= set(found.tolist())
        assert len(set(found.tolist())) == len(found)
        rows, _ = search_kl(
            proposer, forward.ids, query, 10, lambda asked, rows: exact[rows] @ asked, proposals=300
        )
        truth = np.lexsort((forward.ids, exact @ query))[:10]
        assert rows.tolist() == truth.tolist()
    with pytest.raises(IndexBuildError, match=r"of 2500 images lie too far .* leave --recipe out"):
        ProjectedKl.build(
            np.where(np.arange(N)[:, None] % 10 == 0, forward.features * np.float32(1e7), forward.features),
            projection,
            17,
        )


def test_a_recipe_below_its_promise_is_refused(forward):
    blind = KlRecipe("blind", "", "projected", ("words",), 0.99, 0.9, KlParameters(proposals=2, width=1))
    held = {"words-2": forward.held_out["words-2"]}
    proposer = build_proposer(blind, forward.features, forward.samples)
    recall = measure_recall(proposer, blind, forward.ids, held, forward.rescore)
    with pytest.raises(
        RecallError, match=r"blind finds 0\.\d+ of the ten .* nearest to words-2, promised are"
    ):
        check_promise(blind, recall)
    with pytest.raises(RecallError, match="promises for words, of which no query was held out"):
        check_promise(blind, {"images": Recall(1.0, 1.0)})
    check_promise(replace(blind, queries=("images",)), {"images": Recall(1.0, 1.0), "words-1": Recall(0, 0)})


def test_recall_leaves_a_query_out_of_its_own_answer(forward):
    rows = np.array([3, 77, 2000])
    queries = forward.query(forward.images[rows])
    with_own = exact_answers(forward.features, queries, forward.rescore)
    without = exact_answers(forward.features, queries, forward.rescore, own=rows)
    np.testing.assert_array_equal(with_own.values[:, 1:], without.values[:, :-1])
    np.testing.assert_allclose(with_own.values[:, 0], (forward.exact[rows] * queries).sum(axis=1))
    recipe = load_kl_recipe("kl-projected")
    proposer = ProjectedKl.build(forward.features, Projection.of(forward.features, forward.samples), 28)
    found = measure_recall(proposer, recipe, forward.ids, {"images": without}, forward.rescore)
    assert found == {"images": Recall(1.0, 1.0)}


def test_word_samples_are_repeatable_and_held_out_ones_are_new(forward):
    draws = [
        sample_word_queries(WordSets.of_points(forward.vectors, 0.1), 50, np.random.default_rng(8))
        for _ in range(2)
    ]
    assert draws[0].sets == draws[1].sets
    assert [len(chosen) for chosen in draws[0].sets[:6]] == [1, 2, 3, 4, 5, 1]
    assert len(draws[0].of_size(2)) == 10
    np.testing.assert_allclose(
        draws[0].of_size(1).covariance, np.broadcast_to(0.1 * np.eye(D), (10, D, D)), atol=1e-12
    )
    held = sample_word_queries(
        WordSets.of_points(forward.vectors, 0.1),
        40,
        np.random.default_rng(9),
        sizes=(2, 3),
        exclude=draws[0].sets,
    )
    assert not set(held.sets) & set(draws[0].sets)
    with pytest.raises(VectorError, match="no set of 1 of 16 words is left beside 16 excluded"):
        sample_word_queries(
            WordSets.of_points(forward.vectors, 0.1),
            1,
            np.random.default_rng(0),
            sizes=(1,),
            exclude=[(word,) for word in range(16)],
        )
    with pytest.raises(GaussianError, match="sets of"):
        sample_word_queries(WordSets.of_points(forward.vectors[:3], 0.1), 1, np.random.default_rng(0))


def test_bad_input_is_named(forward):
    recipe = load_kl_recipe("kl-projected")
    with pytest.raises(VectorError, match=r"float32 \[N, F\], found float64"):
        build_proposer(recipe, forward.exact, forward.samples)
    with pytest.raises(VectorError, match="promises for images"):
        build_proposer(recipe, forward.features, {"words": forward.samples["words"]})
    with pytest.raises(VectorError, match="samples of queries"):
        Projection.of(forward.features, {"words": np.ones((3, 2))})
    projection = Projection.of(forward.features, forward.samples)
    for width in (0, 29):
        with pytest.raises(VectorError, match=f"{width} numbers an image: expected 1 to 28"):
            ProjectedKl.build(forward.features, projection, width)
    query = forward.held_out["images"].features[0].copy()
    proposer = build_proposer(recipe, forward.features, forward.samples)
    with pytest.raises(VectorError, match="28 finite numbers"):
        proposer.propose(query[:-1], 5)
    with pytest.raises(VectorError, match="28 finite numbers"):
        proposer.propose(np.where(np.arange(28) == 3, np.nan, query), 5)
    with pytest.raises(VectorError, match="do not fit an index of 2500"):
        search_kl(proposer, forward.ids[1:], query, 5, forward.rescore)
    with pytest.raises(VectorError, match=r"queries .* do not fit"):
        exact_answers(forward.features, np.ones((1, 3)), forward.rescore)


def test_ends_of_the_range_of_counts(forward):
    proposer = build_proposer(load_kl_recipe("kl-projected"), forward.features[:30], forward.samples)
    query = forward.held_out["images"].features[0]
    rows, values = search_kl(proposer, forward.ids[:30], query, 100, forward.rescore)
    order = np.lexsort((forward.ids[:30], forward.exact[:30] @ query))
    assert rows.tolist() == order.tolist()
    np.testing.assert_allclose(values, (forward.exact[:30] @ query)[order])
    assert search_kl(proposer, forward.ids[:30], query, 0, forward.rescore)[0].shape == (0,)


def test_recipes_are_read_strictly(tmp_path):
    assert kl_recipe_names() == NAMES
    assert not set(recipe_names()) & set(NAMES)
    with pytest.raises(IndexBuildError, match="there are kl-projected, kl-torch"):
        load_kl_recipe("kl-nothing")
    good = (
        'kind = "projected"\n[parameters]\nproposals = 50\n[promise]\nqueries = ["words"]\n'
        "recall_at_10 = 0.5\nrecall_at_100 = 0.25\n"
    )
    path = tmp_path / "kl-own.toml"
    path.write_text(good)
    assert load_kl_recipe(path) == KlRecipe(
        "kl-own", "", "projected", ("words",), 0.5, 0.25, KlParameters(proposals=50)
    )
    for text, message in [
        (good + "[other]\n", "other"),
        (good + "extra = 1\n", "extra"),
        (good.replace("0.5", "2"), "out of range"),
        (good.replace("projected", "sq9"), "kind"),
        (good.replace('["words"]', "[]"), "queries"),
        (good.replace("proposals = 50", "proposals = 0"), "out of range"),
        (good.replace("proposals", "proposal"), "proposal"),
        (good.replace("proposals = 50", 'device = "cuda"'), "out of range"),
        (good.replace("projected", "fp16"), "a kind other than projected, torch"),
        (good.replace("proposals = 50", "width = 0"), "out of range"),
        (good.replace("projected", "torch").replace("proposals = 50", 'device = "tpu"'), "out of range"),
        (good.replace("projected", "torch").replace("proposals = 50", "device = 1"), "no KL recipe"),
        ('kind = "projected"\n', "no KL recipe"),
        ("[[[", "no TOML"),
    ]:
        path.write_text(text)
        with pytest.raises(IndexBuildError, match=message):
            load_kl_recipe(path)


def test_memory_of_a_million_is_known_before_building():
    exact = 4 * 561 * 10**6
    taken = {name: estimate_kl_memory(load_kl_recipe(name), 10**6, 561) / exact for name in NAMES}
    assert taken["kl-projected"] < 1 / 15
    assert taken["kl-torch"] == pytest.approx(1.0, abs=0.01)


def test_faiss_takes_blocks_and_inner_products():
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(100, 8)).astype(np.float32)
    ids = np.arange(100, dtype=np.int64)
    index = FaissIndex.of_blocks(
        vectors[:50],
        ((ids[part], vectors[part]) for part in (slice(0, 60), slice(60, 100))),
        "Flat",
        metric="ip",
    )
    assert index.search(vectors[3], 5).tolist() == np.argsort(-(vectors @ vectors[3]))[:5].tolist()
    with pytest.raises(VectorError, match="7 numbers do not fit an index of 8"):
        FaissIndex.of_blocks(vectors, [(ids[:2], vectors[:2, :7])], "Flat")
    with pytest.raises(IndexBuildError, match="cannot build 'Nonsense'"):
        FaissIndex.of_blocks(vectors, [], "Nonsense")


@pytest.mark.slow
def test_the_benchmark_measures_what_it_says(forward):
    result = run_kl_recipes(
        forward.posteriors,
        forward.vectors,
        shrinkage=0.1,
        count=3000,
        queries=4,
        turns=2,
        seed=1,
    )
    rows = result.to_dicts()
    assert set(rows[0]) == {"metric", "value", "target", "passed", "unit", "seed"}
    values = {row["metric"]: row["value"] for row in rows}
    assert len(values) == len(rows)
    for kind in ("words-1", "words-5", "images"):
        assert values[f"kl-projected/3000/{kind}/recall@10"] == 1.0
    assert values["kl-projected/3000/words/speed"] > 0
    assert values["kl-projected/3000/promise kept"] == 1.0
    assert {row["metric"] for row in rows if row["unit"] == "recipes"} == {
        "words/recipes within targets",
        "images/recipes within targets",
    }
    assert all(row["seed"] == 1 for row in rows)
    with pytest.raises(BenchmarkError, match="posteriors hold out"):
        run_kl_recipes(forward.posteriors, forward.vectors, shrinkage=0.1, queries=1000)


def test_resampled_galleries_are_repeatable_and_hold_no_copies(forward):
    first, again = (resample(forward.posteriors, 400, np.random.default_rng(2)) for _ in range(2))
    np.testing.assert_array_equal(first.mean, again.mean)
    assert len(np.unique(first.mean, axis=0)) == 400
    images = first.gaussians(slice(0, 400))
    images.check_floor()
    spread = first.mean.std(axis=0) / forward.posteriors.mean.std(axis=0)
    assert (np.abs(spread - 1) < 0.15).all()
