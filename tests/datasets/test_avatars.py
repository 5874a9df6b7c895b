from __future__ import annotations

import io
import sys
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from olrsearch.core.errors import DatasetError, OptionalDependencyError
from olrsearch.datasets import open_celeba
from olrsearch.datasets.celeba_files import parse_attributes
from olrsearch.datasets.generated import avatar_drawing
from olrsearch.datasets.generated.avatar_drawing import draw
from olrsearch.datasets.generated.avatar_traits import (
    Person,
    Traits,
    sample_person,
    sample_traits,
    visible_labels,
)
from olrsearch.datasets.generated.avatars import TRUTH, _plan, generate_avatars
from olrsearch.datasets.images import load_array

pytestmark = pytest.mark.slow

pytest.importorskip("dicebear", reason="the extra demo is not installed")
pytest.importorskip("resvg_py", reason="the extra demo is not installed")


@pytest.fixture(scope="module")
def population():
    """Traits of 6,000 pictures and their labels bool [N, L]; nothing is drawn."""
    traits, labels = [], []
    for number in range(3000):
        rng = np.random.default_rng([1, number])
        person = sample_person(rng)
        for _ in range(2):
            traits.append(sample_traits(rng, person))
            labels.append(list(visible_labels(traits[-1]).values()))
    names = list(visible_labels(traits[0]))
    return traits, names, np.array(labels)


def content(folder):
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()
    }


def test_avatars_are_read_by_the_reader_of_celeba(tmp_path):
    steps = []
    written = generate_avatars(tmp_path / "faces", count=24, seed=3, progress=steps.append)
    dataset = open_celeba(tmp_path / "faces")
    records = list(dataset)
    assert (written.count, written.flipped, sum(steps)) == (24, 0, 24)
    assert dataset.label_names == written.label_names
    assert len(dataset.label_names) >= 20
    assert dataset.issues == []
    assert [record.key for record in records] == [f"{number:06d}.jpg" for number in range(1, 25)]
    assert all(set(record.labels) <= {-1, 1} and record.identity for record in records)
    array = load_array(dataset.root, records[0].uri, (218, 178))
    assert array.std() > 20
    assert not (tmp_path / "faces" / TRUTH).exists()
    assert [path.name for path in tmp_path.iterdir()] == ["faces"]  # nothing left over


@pytest.mark.slow
def test_the_same_seed_gives_the_same_bytes_with_any_number_of_processes(tmp_path):
    generate_avatars(tmp_path / "a", count=40, seed=5, size=(60, 50), workers=1)
    generate_avatars(tmp_path / "b", count=40, seed=5, size=(60, 50), workers=2)
    generate_avatars(tmp_path / "c", count=40, seed=6, size=(60, 50))
    first, again, other = (content(tmp_path / name) for name in "abc")
    assert first == again
    assert first["img_align_celeba/000001.jpg"] != other["img_align_celeba/000001.jpg"]
    image = Image.open(io.BytesIO(first["img_align_celeba/000001.jpg"]))
    assert (image.size, image.format) == ((50, 60), "JPEG")


def test_noise_turns_labels_and_leaves_truth_and_pictures(tmp_path):
    clean = generate_avatars(tmp_path / "clean", count=30, size=(40, 32))
    noisy = generate_avatars(tmp_path / "noisy", count=30, size=(40, 32), label_noise=0.2)
    truth = parse_attributes((tmp_path / "noisy" / TRUTH).read_bytes(), where=TRUTH)
    before, after = content(tmp_path / "clean"), content(tmp_path / "noisy")
    assert before["list_attr_celeba.txt"] == after[TRUTH]
    assert before["img_align_celeba/000007.jpg"] == after["img_align_celeba/000007.jpg"]
    labels = np.array([record.labels for record in open_celeba(tmp_path / "noisy")])
    flips = labels != truth.labels
    assert flips.sum() == noisy.flipped
    assert clean.flipped == 0
    assert 0.15 < flips.mean() < 0.25


def test_persons_do_not_cross_partitions_and_shares_are_right():
    for count in (400, 4000):
        persons, partitions = _plan(count, seed=0)
        assert len(persons) == len(partitions) == count
        assert len(set(zip(persons, partitions, strict=True))) == len(set(persons))
        assert 2.0 < count / len(set(persons)) < 3.0
        shares = np.bincount(partitions) / count
        assert np.abs(shares - (0.8, 0.1, 0.1)).max() < 0.02


@pytest.mark.slow
def test_base_rates_are_those_of_a_useful_data_set(population):
    _, names, labels = population
    rates = dict(zip(names, labels.mean(0), strict=True))
    assert names == sorted(names)
    assert min(rates.values()) > 0.025, rates
    assert max(rates.values()) < 0.6, rates


def test_labels_hang_together_as_real_ones_do(population):
    _, names, labels = population
    have = dict(zip(names, labels.T, strict=True))

    def lift(label, given):
        return have[label][have[given]].mean() / have[label].mean()

    assert lift("Mustache", "Beard") > 2
    assert lift("Beard", "Short_Hair") > 1.2
    assert lift("Beard", "Long_Hair") < 0.8
    assert lift("Gray_Hair", "Bald") > 1
    assert lift("Eyes_Closed", "Smiling") > 1.2
    assert lift("Angry_Eyebrows", "Frowning") > 1.5
    assert lift("Black_Hair", "Dark_Skin") > 1.5


def test_what_is_covered_has_no_label(population):
    _, names, labels = population
    have = dict(zip(names, labels.T, strict=True))
    hair = [name for name in names if name.endswith("_Hair") or name in {"Bald", "Bangs"}]
    colors = [f"{color}_Hair" for color in ("Black", "Blond", "Brown", "Gray", "Red")]
    for cover in ("Wearing_Hat", "Wearing_Headscarf"):
        for name in hair:
            assert not (have[cover] & have[name]).any(), (cover, name)
    for name in ("Eyes_Closed", "Looking_Sideways", "Wide_Eyes", "Winking", "Eyeglasses"):
        assert not (have["Sunglasses"] & have[name]).any()
    assert not (have["Short_Hair"] & have["Long_Hair"]).any()
    assert sum(have[name].astype(int) for name in colors).max() == 1
    bare = ~(have["Bald"] | have["Wearing_Hat"] | have["Wearing_Headscarf"])
    assert all(np.any([have[name][bare] for name in colors], axis=0))


PLAIN = Traits(
    person=Person(
        style=0.2,
        age=0.4,
        tone="light",
        skin="#edb98a",
        top="bun",
        hair="brown",
        hair_color="#724133",
        facial_hair=None,
        glasses=None,
        frame_color="#262e33",
        cheer=0.0,
    ),
    top="bun",
    accessory=None,
    eyes="default",
    eyebrows="default",
    mouth="serious",
    clothes="shirtCrewNeck",
    graphic="bear",
    clothes_color="#25557c",
    hat_color="#ff5c5c",
)


def plain(**changes):
    person = {
        name: changes.pop(name) for name in list(changes) if hasattr(PLAIN.person, name) and name != "top"
    }
    return replace(PLAIN, person=replace(PLAIN.person, **person), **changes)


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("Angry_Eyebrows", plain(eyebrows="angryNatural")),
        ("Bald", plain(top=None)),
        ("Bangs", plain(top="miaWallace")),
        ("Beard", plain(facial_hair="beardLight")),
        ("Black_Hair", plain(hair="black", hair_color="#2c1b18")),
        ("Blond_Hair", plain(hair="blond", hair_color="#d6b370")),
        ("Curly_Hair", plain(top="fro")),
        ("Dark_Skin", plain(tone="dark", skin="#614335")),
        ("Eyeglasses", plain(accessory="round")),
        ("Eyes_Closed", plain(eyes="closed")),
        ("Frowning", plain(mouth="sad")),
        ("Gray_Hair", plain(hair="gray", hair_color="#d2cecb")),
        ("Long_Hair", plain(top="straight02")),
        ("Looking_Sideways", plain(eyes="side")),
        ("Mouth_Open", plain(mouth="screamOpen")),
        ("Mustache", plain(facial_hair="moustacheMagnum")),
        ("Pale_Skin", plain(tone="pale", skin="#ffe2cf")),
        ("Raised_Eyebrows", plain(eyebrows="raisedExcitedNatural")),
        ("Red_Hair", plain(hair="red", hair_color="#c93305")),
        ("Short_Hair", plain(top="shortFlat")),
        ("Smiling", plain(mouth="twinkle")),
        ("Sunglasses", plain(accessory="wayfarers")),
        ("Tongue_Out", plain(mouth="tongue")),
        ("Wearing_Blazer", plain(clothes="blazerAndShirt")),
        ("Wearing_Hat", plain(top="winterHat03")),
        ("Wearing_Headscarf", plain(top="hijab")),
        ("Wearing_Hoodie", plain(clothes="hoodie")),
        ("Wide_Eyes", plain(eyes="surprised")),
        ("Winking", plain(eyes="wink")),
    ],
)
def test_every_label_is_seen_in_the_picture(name, shown):
    assert visible_labels(shown)[name]
    assert [label for label, seen in visible_labels(PLAIN).items() if seen] == ["Brown_Hair"]
    with_it, without = (
        np.asarray(Image.open(io.BytesIO(draw(traits, np.random.default_rng(4), (218, 178))))).astype(int)
        for traits in (shown, PLAIN)
    )
    assert (np.abs(with_it - without).max(axis=2) > 40).sum() > 40


def test_wrong_arguments_are_named(tmp_path):
    for wrong in ({"count": 0}, {"label_noise": 1.5}, {"seed": -1}, {"size": (4, 4)}):
        with pytest.raises(DatasetError, match="expected count"):
            generate_avatars(tmp_path / "x", **wrong)
    (tmp_path / "full").mkdir()
    (tmp_path / "full/mine.txt").write_text("keep me")
    with pytest.raises(DatasetError, match="exists and is not empty"):
        generate_avatars(tmp_path / "full", count=1)
    assert (tmp_path / "full/mine.txt").read_text() == "keep me"
    (tmp_path / "empty").mkdir()
    assert generate_avatars(tmp_path / "empty", count=1, size=(8, 8)).count == 1


def test_an_interruption_leaves_nothing(tmp_path):
    def stop(_):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        generate_avatars(tmp_path / "x", count=40, size=(8, 8), progress=stop)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("package", ["dicebear", "resvg_py"])
def test_a_missing_extra_is_named(tmp_path, monkeypatch, package):
    monkeypatch.setitem(sys.modules, package, None)
    avatar_drawing._style.cache_clear()
    with pytest.raises(OptionalDependencyError, match=r"olrsearch\[demo\]"):
        generate_avatars(tmp_path / "x", count=1)
    assert list(tmp_path.iterdir()) == []
