"""Stores that several test files ask: made once, never written to (copy them to change them)."""

import os
import shutil
import signal
from dataclasses import dataclass
from pathlib import Path

import hypothesis
import pytest
from command import good, one_thread
from pictures import LABELS, pixels_and_labels, write_pictures
from trained import add_run

from olrsearch.core.errors import OptionalDependencyError
from olrsearch.datasets.generated import avatar_drawing

pytest_plugins = ["made_protocols", "made_spoiled"]

CELEBA = Path(os.environ.get("OLRSEARCH_CELEBA", Path(__file__).parents[1] / ".." / "shared" / "celeba"))
AVATARS = 200
SLOW_FIXTURES = {"avatars", "celeba", "trained"}


def pytest_configure():
    """One thread a process, before torch or faiss are loaded and workers started; no store of the shell's."""
    os.environ["OMP_NUM_THREADS"] = "1"
    for name in ("OLRSEARCH_STORE", "OLRSEARCH_DATABASE_URL"):
        os.environ.pop(name, None)
    # Programs that tests start find the tiny encoders, a plug-in, too.
    os.environ["PYTHONPATH"] = os.pathsep.join(
        filter(None, (os.environ.get("PYTHONPATH"), str(Path(__file__).parent)))
    )
    # A busy machine is no fault of what is tested.
    hypothesis.settings.register_profile("tests", deadline=None)
    hypothesis.settings.load_profile("tests")
    # Jobs in the background of a shell ignore Ctrl-C, and so would the processes that tests interrupt.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    """What asks for something trained, or for real faces, is slow: that takes longer than most tests."""
    for item in items:
        if SLOW_FIXTURES & set(item.fixturenames):
            item.add_marker(pytest.mark.slow)


@dataclass(frozen=True)
class World:
    """A trained store of avatars."""

    data: Path
    store: Path

    def copy(self, to):
        """A store one may change."""
        return Path(shutil.copytree(self.store, to))


@pytest.fixture(scope="session")
def celeba():
    """The folder of the real CelebA; tests that need it are skipped without."""
    if not CELEBA.is_dir():
        pytest.skip(f"no CelebA at {CELEBA}: name its folder in OLRSEARCH_CELEBA")
    return CELEBA.resolve()


@pytest.fixture(scope="session")
def avatars(tmp_path_factory):
    """Generated avatars in CelebA's layout."""
    try:
        avatar_drawing.check_installed()
    except OptionalDependencyError as error:
        pytest.skip(str(error))
    folder = tmp_path_factory.mktemp("avatars") / "avatars"
    good("unused", "-q", "datasets", "avatars", folder, "--count", AVATARS, "--seed", 5)
    return folder


@pytest.fixture(scope="session")
def imported(avatars, tmp_path_factory):
    """Avatars in a store, nothing trained."""
    store = tmp_path_factory.mktemp("imported") / "store"
    report = good(store, "-q", "import", "celeba", avatars, "--name", "avatars", "--json").row
    assert report["added"] == AVATARS
    return World(avatars, store)


@pytest.fixture(scope="session")
def world(imported, tmp_path_factory):
    """Avatars in a store, trained, encoded, calibrated, indexed: all by the command line."""
    one_thread()
    store = imported.copy(tmp_path_factory.mktemp("world") / "store")
    good(store, "-q", "train", "olr", "--profile", "tiny", "--set", "seed=3")
    good(store, "-q", "encode")
    good(store, "-q", "index", "build")
    return World(imported.data, store)


@dataclass(frozen=True)
class Gallery:
    """Small pictures in a store, encoded without torch."""

    data: Path
    store: Path
    model: Path

    def copy(self, to):
        """A store one may change."""
        return Path(shutil.copytree(self.store, to))


@pytest.fixture(scope="session")
def model(tmp_path_factory):
    """A model folder of the encoder that needs no torch, fitted to the pictures' labels."""
    from tiny_encoders.labels import TinyEncoder

    pixels, labels = pixels_and_labels(200, seed=9)
    encoder = TinyEncoder.fit(tmp_path_factory.mktemp("models"), LABELS, pixels, labels, k=6)
    return next(
        path.parent for path in tmp_path_factory.getbasetemp().rglob(f"{encoder.fingerprint}/config.json")
    )


@pytest.fixture(scope="session")
def gallery(model, tmp_path_factory):
    """120 pictures of one data set, encoded and calibrated."""
    folder = tmp_path_factory.mktemp("gallery")
    table = write_pictures(folder / "pictures", 120)
    store = folder / "store"
    good(store, "-q", "import", "folder", folder / "pictures", "--labels", table)
    good(store, "-q", "encode", "--encoder", model)
    return Gallery(folder / "pictures", store, model)


@dataclass(frozen=True)
class Published:
    """An encoder with its card, as it comes with the package, and the store it was trained in."""

    store: Path
    root: Path

    @property
    def folder(self):
        return self.root / "faces"


@pytest.fixture(scope="session")
def published(gallery, tmp_path_factory):
    """The pictures' encoder, published in half precision as the default encoder."""
    home = tmp_path_factory.mktemp("published")
    store = gallery.copy(home / "store")
    add_run(store)
    good(store, "-q", "calibrate")
    space = good(store, "store", "info", "--json").row["spaces"][0]["name"]
    good(store, "-q", "encoders", "publish", space, home / "models", "--name", "faces", "--half")
    return Published(store, home / "models")


@pytest.fixture
def nothing_shipped(tmp_path, monkeypatch):
    """A package that comes without encoders."""
    monkeypatch.setattr("olrsearch.core.resources.models_dir", lambda: tmp_path / "no-models")


@pytest.fixture
def shipped(published, monkeypatch):
    """A package that comes with the published encoder, and no other."""
    monkeypatch.setattr("olrsearch.core.resources.models_dir", lambda: published.root)
    return published
