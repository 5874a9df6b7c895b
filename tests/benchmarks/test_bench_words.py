"""`bench papers informed-prior` and `bench speed kl`, on stores of posteriors; training by the benchmark."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from command import call, good, process, refused
from olrsearch_benchmarks.on_a_store import posterior_data
from olrsearch_benchmarks.speed.speed_words import project_posteriors
from pictures import LABELS as PICTURE_LABELS
from pictures import write_pictures
from PIL import Image
from tiny_encoders.posteriors import TinyPosteriorEncoder

from olrsearch import Store
from olrsearch.core.errors import BenchmarkError
from olrsearch.datasets.generated.pairs import generate_pairs
from olrsearch.datasets.idx_format import format_idx
from olrsearch.maths.divergences import kl
from olrsearch.maths.gaussian import Gaussians, word_prior
from olrsearch.maths.triangles import cholesky, pack

pytestmark = pytest.mark.slow

KEYS = {"metric", "value", "target", "passed", "unit", "seed"}
DIGITS = tuple(f"Digit_{number}" for number in range(10))
BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


def write_digits(folder, count=200):
    """Made-up MNIST: a class is where a bright bar lies."""
    rng = np.random.default_rng(1)
    folder.mkdir()
    for part, many in (("train", count), ("t10k", count)):
        numbers = rng.integers(0, 10, many).astype(np.uint8)
        images = rng.integers(0, 60, (many, 12, 12)).astype(np.uint8)
        for image, number in zip(images, numbers, strict=True):
            image[number : number + 3, 2:10] = 255
        (folder / f"{part}-images-idx3-ubyte").write_bytes(format_idx(images))
        (folder / f"{part}-labels-idx1-ubyte").write_bytes(format_idx(numbers))
    return folder


@pytest.fixture(scope="module")
def pairs(tmp_path_factory):
    """600 pairs of made-up digits, encoded without torch."""
    home = tmp_path_factory.mktemp("pairs")
    generate_pairs(write_digits(home / "digits"), home / "pairs", train=300, test=300)
    store = home / "store"
    good(store, "-q", "import", "idx", home / "pairs")
    model = TinyPosteriorEncoder.create(home / "models", DIGITS, input_size=(12, 24), shrinkage=0.05)
    good(store, "-q", "encode", "--encoder", home / "models" / model.fingerprint)
    return store


@pytest.fixture(scope="module")
def mixed(gallery, tmp_path_factory):
    """Pictures with several labels each, as label embeddings and as posteriors."""
    home = tmp_path_factory.mktemp("mixed")
    store = gallery.copy(home / "store")
    write_pictures(home / "more", 700, first=200, seed=2)
    good(store, "-q", "import", "folder", home / "more", "--labels", home / "more" / "labels.csv")
    good(store, "-q", "encode")
    model = TinyPosteriorEncoder.create(home / "models", PICTURE_LABELS, input_size=(24, 24))
    good(store, "-q", "encode", "--encoder", home / "models" / model.fingerprint)
    return store


def test_pairs_are_measured_and_drawn(pairs, tmp_path):
    called = good(
        pairs,
        *("bench", "papers", "informed-prior", "--json", "--seed", 2),
        *("--out", tmp_path / "deep" / "p5", "--figures", tmp_path / "figures"),
    )
    rows = called.rows
    assert all(set(row) >= KEYS and row["seed"] == 2 and row["labels"] == "pairs" for row in rows)
    kept = json.loads((tmp_path / "deep" / "p5.json").read_text())
    assert [row["metric"] for row in kept["results"]["figures"]] == [row["metric"] for row in rows]
    assert (kept["protocol"], kept["data"]["gallery"]) == ("P5", 300)
    assert "| Digit_4, Digit_5 " in (tmp_path / "deep" / "p5.md").read_text()
    drawn = {path.name for path in (tmp_path / "figures").iterdir()}
    assert drawn == {
        "retrieved-4-5.png",
        "retrieved-5-6.png",
        "nearest.png",
        "farthest.png",
        "posteriors.png",
    }  # and no samples, for nothing decodes them
    for name in drawn:
        with Image.open(tmp_path / "figures" / name) as picture:
            assert min(picture.size) > 150


def test_what_is_retrieved_is_what_the_store_answers(pairs):
    with Store.open(pairs, read_only=True) as store:
        data = posterior_data(store)
        found = store.words(
            ["Digit_4", "Digit_5"], 20, mode="match", where="partition = 'test'", direction="query-to-image"
        )
        labels = {
            hit.image_id: data.labels[np.searchsorted(data.image_ids, hit.image_id)] for hit in found.hits
        }
    exact = np.mean([set(np.flatnonzero(row > 0)) == {4, 5} for row in labels.values()])
    reports = good(pairs, "bench", "papers", "informed-prior", "--out", pairs.parent / "p5").out
    assert "P5: informed priors, pairs of classes" in reports
    kept = json.loads((pairs.parent / "p5.json").read_text())["results"]["pairs"]
    (one,) = [pair for pair in kept if (pair["first"], pair["second"]) == ("Digit_4", "Digit_5")]
    assert one["exact"] == pytest.approx(exact)
    assert one["nearest_nats"] == pytest.approx(found.hits[0].distance)


def test_many_labels_stand_beside_attribute_search(mixed, tmp_path):
    called = good(mixed, "bench", "papers", "informed-prior", "--json", "--out", tmp_path / "p5")
    assert {row["labels"] for row in called.rows} == {"many"}
    metrics = {row["metric"] for row in called.rows}
    assert {"mAP of describing, by ratio", "mAP of describing, label embeddings"} <= metrics
    kept = json.loads((tmp_path / "p5.json").read_text())
    methods = kept["results"]["queries"]["scores"]["A & B"]
    assert {"contains, Σ log p", "match, Jeffreys", "attribute search"} <= set(methods)
    assert "teacher" not in methods
    assert methods["attribute search"]["ap"] > 0.7  # the encoder that was fitted
    assert any("come from no table" in note for note in kept["notes"])
    line = refused(mixed, "bench", "papers", "informed-prior", "--figures", tmp_path / "figures")
    assert "name a space of pairs" in line
    assert not (tmp_path / "figures").exists()


def test_queries_of_a_file_are_asked(mixed, tmp_path):
    file = tmp_path / "asked.tsv"
    file.write_text("number\tclass\tquery\n1\tA & B\tBright & Red\n2\tA & !B\tStriped & !Red\n")
    good(mixed, "bench", "papers", "informed-prior", "--queries", file, "--out", tmp_path / "p5")
    kept = json.loads((tmp_path / "p5.json").read_text())["results"]["queries"]
    assert kept["counts"] == {"A & B": 1, "A & !B": 1, "all": 2}


def test_measuring_needs_no_torch(pairs, mixed):
    program = (
        "import sys; from olrsearch.apps.cli import run; code = run(sys.argv[1:]); "
        "loaded = {'torch', 'matplotlib', 'onnx', 'onnxruntime'} & set(sys.modules); "
        "sys.exit(f'loaded {loaded}' if loaded else code)"
    )
    for store in (pairs, mixed):
        done = process(store, "bench", "papers", "informed-prior", "--json", program=program)
        assert done.code == 0, done.err


def test_stores_without_posteriors_are_refused(gallery):
    assert "no posteriors yet" in refused(gallery.store, "bench", "papers", "informed-prior")
    with Store.open(gallery.store, read_only=True) as store:
        name = store.info()["spaces"][0]["name"]
    assert f"{name} holds label embeddings" in refused(gallery.store, "bench", "speed", "kl", "--space", name)


# -- speed -------------------------------------------------------------------------------


def test_search_by_divergence_is_timed_on_the_stores_posteriors(pairs, tmp_path, monkeypatch):
    pytest.importorskip("torch")
    monkeypatch.setattr("olrsearch_benchmarks.words.on_a_store.MEASURED_SIZES", (4, 10, 50))
    called = good(
        pairs, "bench", "speed", "kl", "--rows", 400, "--no-recipes", "--json", "--out", tmp_path / "kl"
    )
    rows = called.rows
    assert all(set(row) >= {*KEYS, "dimensions", "images", "space"} for row in rows)
    assert {row["dimensions"] for row in rows} == {4, 10}
    exact = [row for row in rows if row["metric"] == "answers identical to float64 brute force"]
    assert [row["value"] for row in exact] == [1.0, 1.0]
    text = (tmp_path / "kl.md").read_text()
    assert "**4 dimensions**" in text
    assert "Not measured at 50 dimensions: the space has 10." in text
    line = refused(pairs, "bench", "speed", "kl", "--rows", 400)
    assert "has 10 words" in line
    assert "--no-recipes" in line


def test_recipes_are_measured_too(tmp_path):
    pytest.importorskip("faiss")
    from olrsearch_benchmarks.speed.large_galleries import synthetic_posteriors
    from olrsearch_benchmarks.words.on_a_store import kl_speed_report

    names = tuple(f"word{number}" for number in range(24))
    store = tmp_path / "store"
    pictures = write_pictures(tmp_path / "pictures", 120)
    good(store, "-q", "import", "folder", tmp_path / "pictures", "--labels", pictures)
    model = TinyPosteriorEncoder.create(tmp_path / "models", names, input_size=(24, 24))
    good(store, "-q", "encode", "--encoder", tmp_path / "models" / model.fingerprint)
    with Store.open(store, read_only=True) as opened:
        space = opened.session.posteriors(None)
        made = synthetic_posteriors(model.vocabulary.vectors, 120, np.random.default_rng(0))
        space.view.means = lambda rows: made.mean[rows]
        space.view.factors = lambda rows: made.packed[rows]
        found = kl_speed_report(
            space,
            images=200,
            recipe_images=2000,
            recipes={"scans": ("kl-projected",), "queries": 4},
            turns=1,
        )
    recipes = [row for row in found.lines() if row["metric"].startswith("kl-projected/2000/")]
    assert {row["dimensions"] for row in recipes} == {24}
    assert any(row["metric"].endswith("recall@10") for row in recipes)
    assert "kl-projected/2000/images/recall@10" in found.to_markdown()


def test_a_gpu_that_is_not_there_is_a_note(mixed, monkeypatch):
    pytest.importorskip("torch")
    from olrsearch_benchmarks.speed.kl_recipes import SCANS, KlRecipesResult
    from olrsearch_benchmarks.words import on_a_store as measuring_words

    scans = []

    def run(*_, **given):
        scans.append(given["scans"])
        return KlRecipesResult(())

    monkeypatch.setattr(measuring_words, "run_kl_recipes", run)
    monkeypatch.setattr(measuring_words, "_WORDS", 1)
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with Store.open(mixed, read_only=True) as store:
        space = store.session.posteriors(None)

        def notes(recipe_images):
            found = measuring_words.kl_speed_report(space, images=50, recipe_images=recipe_images, turns=1)
            return found.notes

        note = "Not measured: kl-torch, for torch sees no GPU here."
        assert note in notes(50)
        assert note not in notes(None)
        monkeypatch.setattr("torch.cuda.is_available", lambda: True)
        monkeypatch.setattr("torch.cuda.device_count", lambda: 1)
        monkeypatch.setattr("torch.cuda.current_device", lambda: 0)
        assert note not in notes(50)
    assert scans == [SCANS, (*SCANS, "kl-torch")]


def test_fewer_dimensions_are_marginals():
    rng = np.random.default_rng(0)
    loose = rng.normal(size=(40, 6, 6)) * 0.3
    images = Gaussians(
        rng.normal(size=(40, 6)) * np.arange(1, 7), cholesky(loose @ loose.swapaxes(1, 2) + 0.1 * np.eye(6))
    )
    vectors = rng.normal(size=(5, 6))
    mean, factor = images.mean.astype(np.float32), pack(images.factor).astype(np.float32)
    found = project_posteriors(mean, factor, vectors, 3)
    spread, axes = np.linalg.eigh(np.cov(images.mean.T))
    kept = axes[:, ::-1][:, :3]
    assert spread[-1] > spread[0]
    projected = Gaussians(images.mean @ kept, cholesky(kept.T @ images.covariance @ kept))
    prior = word_prior(vectors[:2], 0.2)
    asked = Gaussians(prior.mean @ kept, cholesky(kept.T @ prior.covariance @ kept))
    ours = kl(word_prior(found.vectors[:2], 0.2), Gaussians.of_packed(found.mean, found.factor))
    np.testing.assert_allclose(ours, kl(asked, projected), rtol=1e-4)
    assert project_posteriors(mean, factor, vectors, 6).mean is mean
    for wrong in (0, 7):
        with pytest.raises(BenchmarkError, match="expected 1 to 6"):
            project_posteriors(mean, factor, vectors, wrong)
    with pytest.raises(BenchmarkError, match="0 posteriors"):
        project_posteriors(mean[:0], factor[:0], vectors, 3)


# -- the benchmark that trains -----------------------------------------------------------


@pytest.fixture
def program(monkeypatch):
    """benchmarks/informed_prior.py as a module."""
    pytest.importorskip("torch")
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    kept = {name for name in ("common", "informed_prior") if name in sys.modules}
    import informed_prior

    yield informed_prior
    for name in {"common", "informed_prior"} - kept:
        sys.modules.pop(name, None)


def test_runs_are_trained_measured_kept_and_skipped(program, pairs, tmp_path, monkeypatch):
    settings = ["--profile", "tiny", "--set", "image_size=12,24", "--set", "epochs=1", "--set", "grey=true"]
    common = ["--store", str(pairs), *settings, "--images", "120", "--scratch", str(tmp_path / "scratch")]
    out = tmp_path / "out" / "lambda"
    run = [
        *("shrinkage", *common, "--seeds", "2", "--values", "0.1,0.9", "--out", str(out)),
        *("--figures", str(tmp_path / "figures")),
    ]
    done = CliRunner().invoke(program.main, run)
    assert done.exit_code == 0, done.output
    kept = json.loads((out.parent / "lambda.json").read_text())
    assert set(kept["runs"]) == {"shrinkage=0.1", "shrinkage=0.9"}
    lines = kept["runs"]["shrinkage=0.9"]["1"]
    assert set(lines[0]) >= KEYS
    assert {line["shrinkage"] for line in lines} == {0.9}
    values = [kept["runs"]["shrinkage=0.1"][seed][0]["value"] for seed in "01"]
    text = (out.parent / "lambda.md").read_text()
    assert f"{np.mean(values):.4f} ± {np.std(values, ddof=1):.4f}" in text
    assert (tmp_path / "figures" / "shrinkage=0.1" / "samples.png").stat().st_size > 1000
    assert not list((tmp_path / "scratch").iterdir())
    monkeypatch.setattr(program, "train_informed_prior", None)  # nothing is trained again
    again = CliRunner().invoke(program.main, run)
    assert again.exit_code == 0, again.output
    assert again.output.count("finished before") == 4
    other = CliRunner().invoke(program.main, ["seeds", *common, "--set", "width=4", "--out", str(out)])
    assert other.exit_code == 1
    assert "name another --out" in other.output


def test_settings_are_compared(program, pairs, tmp_path):
    run = [
        "seeds",
        "--store",
        str(pairs),
        "--profile",
        "tiny",
        "--set",
        "image_size=12,24",
        "--images",
        "100",
    ]
    run += [
        "--set",
        "epochs=1",
        "--seeds",
        "1",
        "--compare",
        "decoder=false",
        "--compare",
        "decoder=false width=4",
    ]
    done = CliRunner().invoke(program.main, [*run, "--scratch", str(tmp_path)])
    assert done.exit_code == 0, done.output
    assert "| decoder=false | decoder=false width=4 |" in done.output
    bad = CliRunner().invoke(program.main, [*run[:5], "--set", "width"])
    assert bad.exit_code == 2
    assert "KEY=VALUE" in bad.output
    assert call(pairs, "store", "verify").code == 0
