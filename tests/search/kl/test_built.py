"""Indexes of KL recipes on disk: the same answers as the exact search, whatever happened since the build."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
from olrsearch_benchmarks.speed.large_galleries import synthetic_posteriors
from olrsearch_benchmarks.speed.speed_kl import open_index

from olrsearch.core.errors import EmptyStoreError, IndexBuildError, RecallError
from olrsearch.maths.gaussian import SIGMA0, word_prior
from olrsearch.maths.triangles import cholesky, pack
from olrsearch.search.index.built import Recall
from olrsearch.search.kl.build import HELD_IMAGES, HELD_WORDS, build_kl
from olrsearch.search.kl.built import open_built, verify, why_exact
from olrsearch.search.kl.description import KlDescription, check_registered, read_description, retired_note
from olrsearch.search.kl.exact_search import KlIndex
from olrsearch.search.kl.recall import WordSets
from olrsearch.search.kl.recipes import KlParameters, KlRecipe, kl_recipe_names, load_kl_recipe
from olrsearch.search.kl.view import KlView, PlainPosteriors

pytestmark = pytest.mark.slow

N, D, W = 2000, 6, 16


@pytest.fixture(scope="module")
def vectors():
    return np.random.default_rng(3).normal(size=(W, D))


@pytest.fixture(scope="module")
def part(vectors):
    found = synthetic_posteriors(vectors, N, np.random.default_rng(5))
    return PlainPosteriors(np.arange(N, dtype=np.int64) * 2 + 1, found.mean, found.packed)


def some(part, rows):
    return PlainPosteriors(part.ids[rows], part.mean[rows], part.factor[rows])


def indexed(parts, *, excluded=(), folder=None):
    view = KlView(parts, excluded)
    return open_index(view, [f"{number:032x}" for number in range(len(parts))], folder)


@pytest.fixture(scope="module")
def frames(tmp_path_factory):
    """Where features are kept: one frame for all indexes."""
    return tmp_path_factory.mktemp("kl")


@pytest.fixture(scope="module")
def exact(part, frames):
    """Two segments, and ids of no order between them."""
    odd = np.arange(N) % 3 == 0
    return indexed([some(part, odd), some(part, ~odd)], folder=frames)


def recipe_of(name):
    """Of the program; there may be no GPU."""
    recipe = load_kl_recipe(name)
    device = "cpu" if recipe.kind == "torch" else recipe.parameters.device
    return replace(recipe, parameters=replace(recipe.parameters, device=device))


@pytest.fixture(scope="module")
def built_folders(exact, vectors, tmp_path_factory):
    root = tmp_path_factory.mktemp("built")
    for name in kl_recipe_names():
        build_kl(exact, WordSets.of_points(vectors, 0.1), recipe_of(name), root / name)
    return root


def word_queries(vectors, seed=11):
    rng = np.random.default_rng(seed)
    return [
        word_prior(vectors[rng.choice(W, size, replace=False)], 0.1)
        for size in (1, 1, 2, 2, 3, 3, 4, 5, 5, 7)
    ]


def agree(built, queries, *, least=0.85, count=10, **options):
    """The shares of what is truly near and of proofs; proven answers must be the exact ones."""
    hits, proofs = [], []
    for query in queries:
        truth = built.index.search(query, count, **options)
        found = built.search(query, count, **options)
        assert len(found.ids) == len(truth.ids)
        assert len(set(found.ids.tolist())) == len(found.ids)
        rows = built.index.view.rows(found.ids)
        np.testing.assert_array_equal(found.distances, built.index.distances_of(query, rows))
        assert (np.diff(found.distances) >= 0).all()
        if found.exact:
            np.testing.assert_array_equal(found.ids, truth.ids)
        hits.append(np.isin(found.ids, truth.ids).mean() if len(truth.ids) else 1.0)
        proofs.append(found.exact)
    assert np.mean(hits) >= least
    return np.mean(proofs)


def said_of(folder):
    """What a store's metadata say of an index that was built here."""
    return json.loads((folder / "index.json").read_text())


@pytest.mark.parametrize("name", kl_recipe_names())
def test_every_kind_is_kept_and_answers_as_it_was_measured(name, built_folders, exact, vectors):
    built = open_built(built_folders / name, exact)
    described, recipe = built.described, recipe_of(name)
    assert described.recipe == recipe
    assert (described.direction, described.count, described.size) == ("query-to-image", N, D)
    assert described.queries == {f"words-{size}": HELD_WORDS for size in (1, 2, 3, 4, 5)} | {
        "images": HELD_IMAGES
    }
    assert min(found.at_10 for found in described.recall.values()) >= recipe.recall_at_10
    verify(built_folders / name, said_of(built_folders / name))
    assert {path.name for path in (built_folders / name).iterdir()} == {
        "index.json",
        *(file.name for file in described.files),
    }
    queries = [*word_queries(vectors), exact.view.gaussians(np.array([40]))]
    assert agree(built, queries) == (1 if recipe.kind == "torch" else 0)
    answer = built.search(queries[0], 10)
    assert 10 <= answer.proposals < N / 2
    everything = built.search(queries[0], 2 * N)
    assert everything.exact
    np.testing.assert_array_equal(everything.ids, exact.search(queries[0], N).ids)
    assert not built.search(queries[0], 0).ids.size


def test_descriptions_survive_json(built_folders):
    described = read_description(built_folders / "kl-projected")
    assert KlDescription.from_dict(json.loads(json.dumps(described.to_dict()))) == described


@pytest.mark.parametrize("name", ["kl-projected", "kl-torch"])
def test_a_tail_is_searched_exactly_and_deleted_images_are_dropped(
    name, built_folders, part, frames, vectors
):
    odd = np.arange(N) % 3 == 0
    late = synthetic_posteriors(vectors, 300, np.random.default_rng(9))
    # one late segment holds a deleted image, and is only partly new
    tail = PlainPosteriors(np.arange(300, dtype=np.int64) * 2 + 2, late.mean, late.packed)
    queries = word_queries(vectors)
    near = indexed([part], folder=None).search(queries[0], 30).ids
    excluded = [*near.tolist(), 2, 4]
    moved = indexed([some(part, odd), some(part, ~odd), tail], excluded=excluded, folder=frames)
    built = open_built(built_folders / name, moved)
    agree(built, queries)
    own = tail.ids[17]
    answer = built.search(moved.view.gaussians(moved.view.rows([own])), 5)
    assert own in answer.ids
    without = built.search(moved.view.gaussians(moved.view.rows([own])), 5, exclude=[int(own), 1, 999_999])
    assert own not in without.ids
    assert len(without.ids) == 5
    if name == "kl-torch":  # which scans them like the others
        assert answer.exact
        assert built.notes(answer, "images") == ()
        return
    assert len(built.tail) == 298
    (note,) = [note for note in built.notes(answer, "images") if "came after" in note]
    assert note.startswith(f"298 images came after {name} was built")
    assert f"run olrsearch index build --recipe {name}" in note


def test_filters_fetch_more_proposals_and_narrow_ones_are_left_to_the_exact_search(
    built_folders, exact, vectors
):
    queries = word_queries(vectors)
    for name in ("kl-projected", "kl-torch"):
        built = open_built(built_folders / name, exact)
        for seed in range(3):
            mask = np.random.default_rng(seed).random(N) < 0.3
            assert why_exact(built, "query-to-image", allowed=mask) is None
            agree(built, queries, allowed=mask)
        # a filter that takes away just what is near
        mask = np.ones(N, np.bool_)
        mask[exact.view.rows(exact.search(queries[0], 1000).ids)] = False
        before = mask.copy()
        agree(built, queries[:1], allowed=mask, least=0.5)
        np.testing.assert_array_equal(mask, before)
        mask[:] = np.arange(N) < 300
        assert "fewer than 25% of the images" in why_exact(built, "query-to-image", allowed=mask)
        assert "not the farthest" in why_exact(built, "query-to-image", farthest=True)
        assert "for query-to-image, not for jeffreys" in why_exact(built, "jeffreys")


@pytest.mark.parametrize("count", [1, 2, 3, 40])
def test_small_galleries_have_indexes_too(count, part, vectors, tmp_path):
    small = indexed([some(part, slice(0, count))])
    for name in ("kl-projected", "kl-torch"):
        built_description = build_kl(
            small, WordSets.of_points(vectors[:3], 0.1), recipe_of(name), tmp_path / name
        )
        assert set(built_description.recall) == {"words-1", "words-2", "words-3", "images"}
        built = open_built(tmp_path / name, small)
        for query in word_queries(vectors)[:3]:
            answer, truth = built.search(query, 10), small.search(query, 10)
            np.testing.assert_array_equal(answer.ids, truth.ids)
            assert answer.exact


def test_images_that_are_all_alike(part, vectors, tmp_path):
    rows = np.zeros(50, np.int64)
    same = PlainPosteriors(np.arange(50, dtype=np.int64), part.mean[rows], part.factor[rows])
    index = indexed([same])
    build_kl(index, WordSets.of_points(vectors, 0.1), load_kl_recipe("kl-projected"), tmp_path / "same")
    answer = open_built(tmp_path / "same", index).search(word_queries(vectors)[0], 5)
    assert answer.ids.tolist() == [0, 1, 2, 3, 4]


def test_builds_are_repeatable(exact, vectors, tmp_path, built_folders):
    again = build_kl(
        exact, WordSets.of_points(vectors, 0.1), load_kl_recipe("kl-projected"), tmp_path / "kl-projected"
    )
    assert again == read_description(built_folders / "kl-projected")


def test_a_refused_index_leaves_what_was_there(exact, vectors, tmp_path, built_folders):
    folder = tmp_path / "kl-own"
    shutil.copytree(built_folders / "kl-projected", folder)
    blind = KlRecipe("kl-own", "", "projected", ("words",), 0.99, 0.9, KlParameters(proposals=1, width=1))
    with pytest.raises(RecallError, match=r"kl-own finds 0\.\d+ of the ten"):
        build_kl(exact, WordSets.of_points(vectors, 0.1), blind, folder)
    verify(folder, said_of(folder))
    assert [path.name for path in tmp_path.iterdir()] == ["kl-own"]
    with pytest.raises(EmptyStoreError, match="run olrsearch encode"):
        build_kl(
            KlIndex(KlView(exact.view.parts, exact.view.ids), exact.frame, list),
            WordSets.of_points(vectors, 0.1),
            blind,
            folder,
        )


def test_damage_is_found(built_folders, exact, part, tmp_path):
    source = built_folders / "kl-projected"
    message = "run index build again"

    def damaged(change):
        folder = tmp_path / "kl-projected"
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(source, folder)
        change(folder)
        return folder

    def write(name, content):
        return lambda folder: (folder / name).write_bytes(content((folder / name).read_bytes()))

    def cut(content):
        return content[:-4]

    def flip(content):
        return content[:-3] + bytes([content[-3] ^ 1]) + content[-2:]

    names = [file.name for file in read_description(source).files]
    assert {"ids.npy", "index.faiss", "images.npy", "queries.npy", "scale.npy"} <= set(names)
    for name in names:
        folder = damaged(lambda folder, name=name: (folder / name).unlink())
        with pytest.raises(IndexBuildError, match=message):
            open_built(folder, exact)
        with pytest.raises(IndexBuildError, match=f"{name} is missing"):
            verify(folder, said_of(source))
        for harm in (cut, flip):
            content = (source / name).read_bytes()
            folder = damaged(write(name, harm))
            assert (folder / name).read_bytes() != content
            with pytest.raises(IndexBuildError, match=rf"{name} .*{message}"):
                verify(folder, said_of(source))
            if (name, harm) != ("index.faiss", flip):  # which `verify` alone reads whole
                with pytest.raises(IndexBuildError, match=message):
                    open_built(folder, exact)
    for harm in (cut, lambda _: b"[]", lambda _: b"{}", lambda _: b""):
        with pytest.raises(IndexBuildError, match=message):
            open_built(damaged(write("index.json", harm)), exact)
    newer = damaged(
        write("index.json", lambda content: content.replace(b'"format_version": 2', b'"format_version": 3'))
    )
    with pytest.raises(IndexBuildError, match="has format 3, this program reads up to 2"):
        open_built(newer, exact)
    with pytest.raises(IndexBuildError, match="holds no usable index"):
        open_built(tmp_path / "nothing", exact)
    # a kind that no program ever had is not searched
    other = damaged(
        write("index.json", lambda content: content.replace(b'"kind": "projected"', b'"kind": "other"'))
    )
    with pytest.raises(IndexBuildError, match="is not used"):
        open_built(other, exact)
    moved = indexed([some(part, slice(0, 500))])  # a frame of its own
    with pytest.raises(IndexBuildError, match="of another frame than the space has now"):
        open_built(source, moved)


def test_what_is_not_proven_is_said_with_its_recall(built_folders, exact, vectors):
    built = open_built(built_folders / "kl-projected", exact)
    recall = built.described.recall["words-2"]
    assert isinstance(recall, Recall)
    answer = built.search(word_queries(vectors)[2], 10)
    (note,) = built.notes(answer, "words-2")
    assert note == (
        f"proposed by kl-projected and not proven exact: measured recall@10 {recall.at_10:.3f}, "
        f"recall@100 {recall.at_100:.3f} (words-2)"
    )
    proven = open_built(built_folders / "kl-torch", exact)
    answer = proven.search(word_queries(vectors)[2], 10)
    assert answer.exact
    assert proven.notes(answer, "words-2") == ()


def as_format_1(folder, **recipe):
    """An index as older programs wrote it: the last three of the numbers stored are bounds."""
    path = folder / "index.json"
    described = json.loads(path.read_text()) | {"format_version": 1}
    described["recipe"] |= recipe
    described["recipe"]["parameters"] |= {
        "prove": False, "links": 32, "ef_construction": 80, "ef_search": 256, "headroom": 1.2,
        "dtype": "float16",
    } | recipe.get("parameters", {})  # fmt: skip
    path.write_text(json.dumps(described))
    return described


def test_indexes_of_older_programs_are_searched_without_their_bounds(built_folders, exact, vectors, tmp_path):
    shutil.copytree(built_folders / "kl-projected", tmp_path / "kl-projected")
    as_format_1(tmp_path / "kl-projected")
    before, after = (open_built(root / "kl-projected", exact)._proposer for root in (built_folders, tmp_path))
    assert (before._kept, after._kept) == (len(before.scale), len(before.scale) - 3)
    agree(open_built(tmp_path / "kl-projected", exact), word_queries(vectors))
    verify(tmp_path / "kl-projected", said_of(tmp_path / "kl-projected"))
    # what they kept for a device is not needed
    shutil.copytree(built_folders / "kl-torch", tmp_path / "kl-torch")
    as_format_1(tmp_path / "kl-torch")
    assert agree(open_built(tmp_path / "kl-torch", exact), word_queries(vectors)) == 1


@pytest.mark.parametrize(
    ("kind", "prove"),
    [("fp16", False), ("sq8", False), ("hnsw", False), ("projected-hnsw", False), ("projected", True)],
)
def test_kinds_that_are_no_longer_searched_say_what_to_do(kind, prove, built_folders, exact, tmp_path):
    shutil.copytree(built_folders / "kl-projected", tmp_path / "kl-old")
    described = as_format_1(tmp_path / "kl-old", name="kl-old", kind=kind)
    described["recipe"]["parameters"]["prove"] = prove
    (tmp_path / "kl-old" / "index.json").write_text(json.dumps(described))
    message = retired_note("kl-old", described)
    assert "run olrsearch index build --recipe kl-projected" in message
    with pytest.raises(IndexBuildError, match="'kl-old' is not used") as raised:
        open_built(tmp_path / "kl-old", exact)
    assert str(raised.value) == message


@pytest.mark.parametrize(
    "change",
    [
        lambda _: {},
        lambda said: said | {"recipe": {}},
        lambda said: said | {"recipe": said["recipe"] | {"parameters": [1]}},
        lambda said: said | {"recipe": said["recipe"] | {"parameters": {"gone": 48}}},
        lambda said: said | {"count": 7},
    ],
)
def test_what_is_registered_of_a_damaged_index_is_refused(change, built_folders):
    folder = built_folders / "kl-projected"
    registered = json.loads((folder / "index.json").read_text())
    check_registered(folder, registered)
    with pytest.raises(IndexBuildError, match="run index build again"):
        check_registered(folder, change(registered))


def test_a_damaged_description_is_not_taken_for_one_of_an_older_program():
    for damaged in ({}, {"recipe": 3}, {"recipe": {"kind": "projected", "parameters": [1]}}):
        with pytest.raises(IndexBuildError, match="run index build again"):
            retired_note("kl-old", damaged)


@pytest.mark.parametrize("kind", ["floor", "far", "near"])
def test_proofs_hold_where_float64_itself_is_strained(kind, vectors, tmp_path):
    rng = np.random.default_rng(4)
    mean, matrices = rng.normal(size=(400, D)), rng.normal(size=(400, D, D))
    if kind == "floor":  # most eigenvalues at the floor, some far above
        matrices *= np.where(rng.random((400, D, 1)) < 0.7, 0.0, np.exp(rng.uniform(-3, 3, (400, D, 1))))
    elif kind == "far":
        mean = mean * 10 + 1000
    else:
        mean, matrices = mean[:1] + 1e-5 * mean, np.repeat(matrices[:1], 400, axis=0)
    covariance = matrices @ matrices.swapaxes(1, 2) + SIGMA0**2 * np.eye(D)
    factor = pack(cholesky(covariance)).astype(np.float32)
    index = indexed([PlainPosteriors(np.arange(400, dtype=np.int64), mean.astype(np.float32), factor)])
    build_kl(index, WordSets.of_points(vectors, 0.1), recipe_of("kl-torch"), tmp_path / kind)
    built = open_built(tmp_path / kind, index)
    queries = [*word_queries(vectors), *(index.view.gaussians(np.array([row])) for row in range(20))]
    assert agree(built, queries) == 1
    assert agree(built, queries, count=1) == 1
