"""Segments and spaces: what is accepted, what is found broken."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
from made_stores import (
    FINGERPRINT,
    LABELS,
    add_posterior_space,
    add_space,
    encode,
    encode_posteriors,
    fill,
    posteriors,
    vectors,
)
from sqlalchemy import update

from olrsearch.core.checked_arrays import CheckedArray
from olrsearch.core.errors import (
    IncompatibleEncoderError,
    StoreCorruptError,
    StoreError,
    StoreVersionError,
    UnknownSpaceError,
    VectorError,
)
from olrsearch.core.files import sha256_hex
from olrsearch.store.sql import schema
from olrsearch.store.vectors.layout import array_forms
from olrsearch.store.vectors.segments import BLOCK, verify_segment


@pytest.fixture
def encoded(sqlite_stores):
    """A store with two segments of ten images each."""
    store = sqlite_stores.create()
    ids = fill(store, 20)
    space, _ = encode(store, ids[:10])
    with store.writer() as writer:
        writer.spaces.add_segment(space, ids[10:], vectors(10, seed=1))
    return store


@pytest.fixture
def with_posteriors(sqlite_stores):
    """The same of posteriors."""
    store = sqlite_stores.create("posteriors")
    ids = fill(store, 20)
    space, _ = encode_posteriors(store, ids[:10])
    with store.writer() as writer:
        writer.spaces.add_segment(space, ids[10:], posteriors(10, seed=1))
    return store


@pytest.fixture(
    params=[
        ("encoded", "ids.npy"),
        ("encoded", "embeddings.npy"),
        ("encoded", "manifest.json"),
        ("with_posteriors", "ids.npy"),
        ("with_posteriors", "mean.npy"),
        ("with_posteriors", "factor.npy"),
        ("with_posteriors", "manifest.json"),
    ],
    ids="-".join,
)
def file_of(request):
    """A store of each layout, and every file of its segments in turn."""
    store, name = request.param
    return request.getfixturevalue(store), name


def test_fits_are_kept_beside_arrays_of_either_layout(sqlite_stores):
    store = sqlite_stores.create()
    ids = fill(store, 20)
    fit = np.linspace(0, 1, 10, dtype=np.float32)
    with store.writer() as writer:
        space, other = add_space(writer), add_posterior_space(writer)
        writer.spaces.add_segment(space, ids[:10][::-1], {"embeddings": vectors(10), "fit": fit[::-1].copy()})
        writer.spaces.add_segment(space, ids[10:], vectors(10, seed=1))  # of an encoder that measured none
        writer.spaces.add_segment(other, ids[:10], {**posteriors(10), "fit": fit})
    spaces = store.snapshot().spaces()
    first, second, third = (
        store.snapshot().open_segment(info) for space in spaces for info in space.segments
    )
    np.testing.assert_array_equal(first.fit, fit)
    assert second.fit is None
    np.testing.assert_array_equal(third.fit, fit)
    assert not [line for space in spaces for info in space.segments for line in verify_segment(info)]
    raw = first.info.path / "fit.npy"
    raw.write_bytes(raw.read_bytes()[:-1] + b"\x01")
    assert list(verify_segment(first.info))


@pytest.mark.parametrize("value", [-0.1, 1.5, np.nan])
def test_a_fit_beyond_its_bounds_is_refused(sqlite_stores, value):
    store = sqlite_stores.create()
    ids = fill(store, 3)
    given = {"embeddings": vectors(3), "fit": np.array([0.5, value, 0.5], np.float32)}
    with store.writer() as writer:
        space = add_space(writer)
        with pytest.raises(VectorError, match="expected 0 to 1"):
            writer.spaces.add_segment(space, ids, given)


def test_what_comes_out_is_what_went_in(stores):
    store = stores.create()
    ids = fill(store)
    given = vectors(10)
    order = np.random.default_rng(3).permutation(10)
    mixed = given[:, order]
    kept = mixed.copy()
    with store.writer() as writer:
        space = add_space(writer)
        info = writer.spaces.add_segment(space, [ids[place] for place in order], mixed)
    assert np.array_equal(mixed, kept), "the caller's array is not changed"
    segment = store.snapshot().open_segment(store.snapshot().space().segments[0])
    assert segment.info == info
    assert segment.ids.tolist() == ids
    assert segment.ids.dtype == np.int64
    assert np.array_equal(segment.embeddings, given)
    assert segment.embeddings.shape == (3, 10, 4)
    assert isinstance(segment.embeddings, CheckedArray)
    assert segment.embeddings[1].flags.c_contiguous
    with pytest.raises(ValueError, match="read-only"):
        segment.embeddings[0][0, 0] = 1


def test_posteriors_come_out_as_they_went_in(stores):
    store = stores.create()
    ids = fill(store)
    given = posteriors(10)
    order = np.random.default_rng(3).permutation(10)
    mixed = {name: array[order] for name, array in given.items()}
    kept = {name: array.copy() for name, array in mixed.items()}
    with store.writer() as writer:
        space = add_posterior_space(writer)
        info = writer.spaces.add_segment(space, [ids[place] for place in order], mixed)
    assert all(np.array_equal(mixed[name], kept[name]) for name in mixed), "the caller's arrays stay"
    registered = store.snapshot().space()
    assert (registered.layout, registered.k, registered.labels) == ("posterior", 4, LABELS)
    segment = store.snapshot().open_segment(registered.segments[0])
    assert segment.info == info
    assert segment.ids.tolist() == ids
    assert np.array_equal(segment.mean, given["mean"])
    assert np.array_equal(segment.factor, given["factor"])
    assert segment.factor.shape == (10, 10)
    assert set(segment.arrays) == {"mean", "factor"}
    assert all(isinstance(array, CheckedArray) for array in segment.arrays.values())
    with pytest.raises(ValueError, match="read-only"):
        segment.mean[0][0] = 1
    assert list(verify_segment(info)) == []
    assert store.snapshot().missing_embeddings(space).tolist() == []


def test_each_layout_says_what_it_lacks(encoded, with_posteriors):
    one, two = opened(encoded)[0], opened(with_posteriors)[0]
    assert json.loads((one.info.path / "manifest.json").read_text())["layout"] == "labels"
    assert json.loads((two.info.path / "manifest.json").read_text())["layout"] == "posterior"
    with pytest.raises(IncompatibleEncoderError, match=r"holds label embeddings \(embeddings\), no mean"):
        _ = one.mean
    with pytest.raises(IncompatibleEncoderError, match="no factor"):
        _ = one.factor
    with pytest.raises(IncompatibleEncoderError, match=r"holds posteriors \(mean, factor\), no embeddings"):
        _ = two.embeddings


def test_forms_of_each_layout():
    (form,) = array_forms("labels", 3, 10, 4)
    assert (form.file, form.shape, form.axis) == ("embeddings.npy", (3, 10, 4), 1)
    mean, factor = array_forms("posterior", 3, 10, 4)
    assert (mean.file, mean.shape, mean.axis) == ("mean.npy", (10, 4), 0)
    assert (factor.file, factor.shape, factor.axis) == ("factor.npy", (10, 10), 0)


def spoilt(name: str, place: tuple[int, ...], value: float) -> dict[str, np.ndarray]:
    made = posteriors(3)
    made[name][place] = value
    return made


def narrow(row: int, deviation: float) -> dict[str, np.ndarray]:
    """Posteriors one of which is N(·, deviation² I)."""
    made = posteriors(3)
    made["factor"][row] = deviation * np.array([1, 0, 1, 0, 0, 1, 0, 0, 0, 1], np.float32)
    return made


@pytest.mark.parametrize(
    ("ids", "arrays", "match"),
    [
        ([1, 2, 3], spoilt("mean", (1, 2), np.nan), "the mean of image 2 holds NaN or infinity; 1 images"),
        ([3, 1, 2], spoilt("factor", (0, 4), -np.inf), "the factor of image 3 holds NaN or infinity"),
        ([1, 2, 3], spoilt("factor", (2, 5), -0.5), "factor of image 3 has the diagonal entry -0.5"),
        ([1, 2, 3], spoilt("factor", (2, 0), 0), "factor of image 3 has the diagonal entry 0"),
        (
            [2, 1, 3],
            narrow(0, 0.009),
            "posterior of image 2 has the eigenvalue 8.1e-05; expected σ₀² = 0.0001",
        ),
        ([1, 2, 2], posteriors(3), "image 2 stands twice"),
        ([1, 2, 10], posteriors(3), "image 10 is not a living image"),
        ([1, 2, 5], posteriors(3), "image 5 has an embedding in this space already"),
        (
            [1, 2],
            posteriors(3),
            "mean is float32 of shape .3, 4.; expected float32 of shape .2, 4. .images, dim",
        ),
        ([1, 2, 3], posteriors(3, k=5), "expected float32 of shape"),
        ([1, 2, 3], posteriors(3) | {"factor": posteriors(3)["factor"][:, :9]}, r"factor is .*\(3, 9\)"),
        ([1, 2, 3], posteriors(3) | {"mean": np.zeros((3, 4))}, "mean is float64"),
        ([1, 2, 3], {"mean": posteriors(3)["mean"]}, "arrays mean; a space of posteriors takes mean, factor"),
        ([1, 2, 3], {}, "arrays none"),
        ([1, 2, 3], vectors(3), "arrays embeddings; a space of posteriors takes mean, factor"),
        ([], {name: array[:0] for name, array in posteriors(1).items()}, "at least one image"),
    ],
)
def test_posteriors_that_cannot_be(stores, ids, arrays, match):
    store = stores.create()
    fill(store)
    with store.writer() as writer:
        writer.gallery.delete([10])
        space = add_posterior_space(writer)
        writer.spaces.add_segment(space, [5], posteriors(1))
        before = store.snapshot().generation
        with pytest.raises(VectorError, match=match):
            writer.spaces.add_segment(space, ids, arrays)
    assert store.snapshot().generation == before
    assert len(list((store.path / "segments").iterdir())) == 1, "no file is left"


def test_the_narrowest_of_many_posteriors_is_named(sqlite_stores, monkeypatch):
    monkeypatch.setattr("olrsearch.store.vectors.segments._CHECKED_AT_ONCE", 4)
    store = sqlite_stores.create()
    ids = fill(store, 11)
    made = posteriors(11)
    made["factor"][9] = narrow(0, 0.009)["factor"][0]
    with store.writer() as writer:
        space = add_posterior_space(writer)
        with pytest.raises(VectorError, match=f"posterior of image {ids[9]} has the eigenvalue"):
            writer.spaces.add_segment(space, ids, made)
        made["factor"][9] = narrow(0, 0.01)["factor"][0]  # at the floor
        writer.spaces.add_segment(space, ids, made)


def test_label_embeddings_by_name(sqlite_stores):
    store = sqlite_stores.create()
    ids = fill(store)
    with store.writer() as writer:
        space = add_space(writer)
        writer.spaces.add_segment(space, ids, {"embeddings": vectors(10)})
        with pytest.raises(VectorError, match="arrays factor, mean; a space of label embeddings takes emb"):
            writer.spaces.add_segment(space, ids, posteriors(10))
    assert np.array_equal(opened(store)[0].embeddings, vectors(10))


def broken(place: tuple[int, ...], value: float) -> np.ndarray:
    array = vectors(3)
    array[place] = value
    return array


@pytest.mark.parametrize(
    ("ids", "embeddings", "match"),
    [
        ([1, 2, 3], broken((0, 1, 2), np.nan), "image 2 holds NaN"),
        ([3, 1, 2], broken((2, 0, 0), np.inf), "image 3 holds NaN or infinity .label 2"),
        ([1, 2, 2], vectors(3), "image 2 stands twice"),
        ([1, 2, 77], vectors(3), "image 77 is not a living image"),
        ([1, 2, 10], vectors(3), "image 10 is not a living image"),
        ([1, 2, 5], vectors(3), "image 5 has an embedding in this space already"),
        ([1, 2], vectors(3), "expected float32 of shape"),
        ([1, 2, 3], vectors(3).transpose(1, 0, 2), "expected float32 of shape|labels, images"),
        ([1, 2, 3], vectors(3, k=5), "expected float32 of shape"),
        ([1, 2, 3], vectors(3).astype(np.float64), "float64"),
        ([], vectors(0), "at least one image"),
        (np.array([[1, 2, 3]]), vectors(3), "expected integers"),
    ],
)
def test_embeddings_that_cannot_be(stores, ids, embeddings, match):
    if "labels, images" in match:  # L = n would make the transposed shape right
        embeddings = embeddings[:, :2]
    store = stores.create()
    fill(store)
    with store.writer() as writer:
        writer.gallery.delete([10])
        space = add_space(writer)
        writer.spaces.add_segment(space, [5], vectors(1))
        before = store.snapshot().generation
        with pytest.raises(VectorError, match=match):
            writer.spaces.add_segment(space, ids, embeddings)
    assert store.snapshot().generation == before
    assert len(list((store.path / "segments").iterdir())) == 1, "no file is left"


def test_ids_that_are_no_numbers(sqlite_stores):
    store = sqlite_stores.create()
    fill(store)
    with store.writer() as writer:
        space = add_space(writer)
        with pytest.raises(UnknownSpaceError, match="no space number 9"):
            writer.spaces.add_segment(9, [1], vectors(1))
        with pytest.raises(UnknownSpaceError):
            writer.spaces.set_metric(9, {})
        with pytest.raises(VectorError):
            writer.spaces.add_segment(space, np.array([[1]]), vectors(1))


# ---- damage


def first(store):
    return store.snapshot().space().segments[0]


def opened(store):
    snapshot = store.snapshot()
    return [snapshot.open_segment(info) for info in snapshot.space().segments]


def test_missing_and_cut_files_are_found_at_open(file_of):
    encoded, name = file_of
    path = first(encoded).path / name
    whole = path.read_bytes()
    for damage in (whole[:-1], whole[:40], b"", whole + b"x"):
        path.write_bytes(damage)
        with pytest.raises(StoreCorruptError, match=name.replace(".", r"\.")):
            opened(encoded)
        assert len(list(verify_segment(first(encoded)))) == 1
    path.unlink()
    with pytest.raises(StoreCorruptError, match="cannot be read"):
        opened(encoded)
    path.write_bytes(whole)
    opened(encoded)


def test_swapped_files_are_found_at_open(file_of):
    encoded, name = file_of
    one, two = encoded.snapshot().space().segments
    shutil.copy(two.path / name, one.path / name)
    with pytest.raises(StoreCorruptError, match="swapped"):
        opened(encoded)


def test_an_array_in_the_place_of_another(with_posteriors):
    path = first(with_posteriors).path
    shutil.copy(path / "mean.npy", path / "factor.npy")
    with pytest.raises(StoreCorruptError, match=r"factor\.npy"):
        opened(with_posteriors)


def test_swapped_folders_are_found_at_open(encoded):
    one, two = encoded.snapshot().space().segments
    between = one.path.with_name("between")
    one.path.rename(between)
    two.path.rename(one.path)
    between.rename(two.path)
    with pytest.raises(StoreCorruptError, match="swapped"):
        opened(encoded)


def register(store, manifest: dict) -> None:
    """Writes a manifest as if it had been registered so."""
    info = first(store)
    text = json.dumps(manifest).encode()
    (info.path / "manifest.json").write_bytes(text)
    with store.engine.begin() as connection:
        table = schema.segment
        connection.execute(
            update(table).where(table.c.uuid == info.uuid).values(manifest_sha256=sha256_hex(text))
        )


def test_a_newer_segment_names_the_version_to_install(encoded):
    manifest = json.loads((first(encoded).path / "manifest.json").read_text())
    register(encoded, manifest | {"format_version": 2, "written_by": "9.8"})
    with pytest.raises(StoreVersionError, match=r"install olrsearch 9\.8"):
        opened(encoded)


@pytest.mark.parametrize(
    ("key", "value"),
    [("fingerprint", "cd" * 32), ("k", 5), ("labels", 4), ("count", 1), ("layout", "posterior")],
)
def test_a_segment_of_another_space(encoded, key, value):
    manifest = json.loads((first(encoded).path / "manifest.json").read_text())
    register(encoded, manifest | {key: value})
    with pytest.raises(StoreCorruptError, match=f"says {key} "):
        opened(encoded)


def test_a_manifest_without_layout_is_one_of_labels(encoded, with_posteriors):
    for store in (encoded, with_posteriors):
        manifest = json.loads((first(store).path / "manifest.json").read_text())
        del manifest["layout"]
        register(store, manifest)
    assert len(opened(encoded)) == 2
    assert list(verify_segment(first(encoded))) == []
    with pytest.raises(StoreCorruptError, match="says layout 'labels'; its space says 'posterior'"):
        opened(with_posteriors)


def test_a_manifest_that_names_no_array(with_posteriors):
    manifest = json.loads((first(with_posteriors).path / "manifest.json").read_text())
    del manifest["files"]["factor.npy"]
    register(with_posteriors, manifest)
    with pytest.raises(StoreCorruptError, match=r"names no factor\.npy"):
        opened(with_posteriors)


def test_a_layout_of_a_newer_program(with_posteriors):
    with with_posteriors.engine.begin() as connection:
        connection.execute(update(schema.space).values(layout="mixture"))
    with pytest.raises(StoreVersionError, match=r"has the layout 'mixture'.* knows labels, posterior"):
        with_posteriors.snapshot()


def test_arrays_of_another_kind(encoded):
    info = first(encoded)
    path = info.path / "embeddings.npy"
    np.save(path, vectors(10).astype(np.float64))
    data = path.read_bytes()
    manifest = json.loads((info.path / "manifest.json").read_text())
    manifest["files"]["embeddings.npy"] |= {"bytes": len(data), "head_sha256": sha256_hex(data[:4096])}
    register(encoded, manifest)
    with pytest.raises(StoreCorruptError, match="float64"):
        opened(encoded)


def test_flipped_bits_are_found_by_reading_all(sqlite_stores):
    store = sqlite_stores.create()
    ids = fill(store, 40)
    with store.writer() as writer:
        space = writer.spaces.add(
            fingerprint=FINGERPRINT, name="big", kind="olr", labels=LABELS, k=5000, config={}
        )
        info = writer.spaces.add_segment(space, ids, vectors(40, k=5000))
    path = info.path / "embeddings.npy"
    data = bytearray(path.read_bytes())
    assert len(data) > 2 * BLOCK
    data[BLOCK + 17] ^= 4
    path.write_bytes(bytes(data))
    opened(store)
    assert list(verify_segment(info)) == [
        f"{path}: block 1 (bytes from {BLOCK}) does not match its checksum",
    ]


@pytest.mark.parametrize("name", ["mean.npy", "factor.npy"])
def test_flipped_bits_of_posteriors_are_found_by_reading_all(sqlite_stores, name):
    store = sqlite_stores.create()
    ids = fill(store, 30)
    with store.writer() as writer:
        info = writer.spaces.add_segment(add_posterior_space(writer, k=40), ids, posteriors(30, k=40))
    path = info.path / name
    data = bytearray(path.read_bytes())
    assert len(data) > 4096, "more than is compared at opening"
    data[-3] ^= 4
    path.write_bytes(bytes(data))
    opened(store)
    assert list(verify_segment(info)) == [f"{path}: block 0 (bytes from 0) does not match its checksum"]


# ---- spaces and what derives from them


def test_a_space_is_added_once(stores):
    store = stores.create()
    with store.writer() as writer:
        number = add_space(writer)
        assert add_space(writer) == number
        with pytest.raises(IncompatibleEncoderError, match="not the same model"):
            writer.spaces.add(fingerprint=FINGERPRINT, name="x", kind="olr", labels=LABELS, k=5, config={})
        with pytest.raises(IncompatibleEncoderError, match=r"in the layout labels; this one .* posterior"):
            add_posterior_space(writer, FINGERPRINT)
        with pytest.raises(StoreError, match="plain JSON"):
            writer.spaces.add(
                fingerprint="cd" * 32, name="x", kind="olr", labels=LABELS, k=5, config={"root": store.path}
            )
    space = store.snapshot().space()
    assert (space.id, space.name, space.kind, space.labels, space.k) == (number, "olr", "olr", LABELS, 4)
    assert space.layout == "labels"
    assert space.config == {"kind": "olr"}
    assert space.count == 0
    assert space.model_path == store.path / "models" / FINGERPRINT
    assert space.index_path == store.path / "indexes" / FINGERPRINT


def test_spaces_do_not_mix(stores):
    store = stores.create()
    ids = fill(store)
    one, _ = encode(store, ids)
    two, _ = encode(store, ids[:4], "cd" * 32)
    snapshot = store.snapshot()
    assert snapshot.missing_embeddings(one).tolist() == []
    assert snapshot.missing_embeddings(two).tolist() == ids[4:]
    assert snapshot.missing_embeddings(99).tolist() == ids
    with store.writer() as writer:
        writer.gallery.delete(ids[4:6])
    assert store.snapshot().missing_embeddings(two).tolist() == ids[6:]


def test_artefacts_take_the_place_of_earlier_ones(stores):
    store = stores.create()
    with store.writer() as writer:
        space = add_space(writer)
        assert store.snapshot().space().metric is None
        writer.spaces.set_metric(space, {"kind": "ip", "scale": [1.5, 2.0]})
        writer.spaces.set_calibration(space, {"slope": [1.0]}, label_revision=3, split="selection")
        writer.spaces.add_index(space, "hnsw", {"recall": 0.98})
        writer.spaces.add_index(space, "sq8", {"recall": 0.99})
        first_ones = store.snapshot().space()
        writer.spaces.set_metric(space, {"kind": "l2"})
        writer.spaces.add_index(space, "hnsw", {"recall": 0.97})
        with pytest.raises(StoreError, match="a metric must be plain JSON"):
            writer.spaces.set_metric(space, {"scale": float("nan")})
        with pytest.raises(StoreError, match="a metric must be plain JSON"):
            writer.spaces.set_metric(space, {"scale": np.zeros(2)})
    assert first_ones.metric == {"kind": "ip", "scale": [1.5, 2.0]}
    assert first_ones.calibration == {"slope": [1.0], "label_revision": 3, "split": "selection"}
    assert first_ones.indexes == {"hnsw": {"recall": 0.98}, "sq8": {"recall": 0.99}}
    now = store.snapshot().space()
    assert now.metric == {"kind": "l2"}
    assert now.calibration == first_ones.calibration
    assert now.indexes == {"hnsw": {"recall": 0.97}, "sq8": {"recall": 0.99}}


def test_a_model_is_copied_whole_or_not_at_all(stores, tmp_path, monkeypatch):
    store = stores.create()
    model = tmp_path / "model"
    (model / "more").mkdir(parents=True)
    (model / "config.json").write_text("{}")
    (model / "more" / "weights.safetensors").write_bytes(b"w")

    def interrupted(_):
        raise KeyboardInterrupt

    with store.writer() as writer:
        with monkeypatch.context() as patch:
            patch.setattr("olrsearch.core.files.sync", interrupted)
            with pytest.raises(KeyboardInterrupt):
                writer.spaces.add_model(FINGERPRINT, model)
        assert list((store.path / "models").iterdir()) == []
        place = writer.spaces.add_model(FINGERPRINT, model)
        assert place == store.path / "models" / FINGERPRINT
        assert (place / "more" / "weights.safetensors").read_bytes() == b"w"
        assert writer.spaces.add_model(FINGERPRINT, model) == place
