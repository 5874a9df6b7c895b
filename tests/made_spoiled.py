"""A store with planted errors, audited once."""

import shutil

import pytest
from made_audits import Scorers, spoil

from olrsearch import Store


@pytest.fixture(scope="session")
def spoiled(gallery, tmp_path_factory):
    """A store with wrong labels, not audited yet; copy it to change it."""
    return spoil(gallery, tmp_path_factory.mktemp("spoiled"))


@pytest.fixture(scope="session")
def audited(spoiled, tmp_path_factory):
    """The same after an audit; copy it to change it."""
    home = shutil.copytree(spoiled, tmp_path_factory.mktemp("audited") / "store")
    with pytest.MonkeyPatch.context() as patch:
        Scorers().install(patch)
        with Store.open(home) as store:
            store.audit.run(weights="injected")
    return home


@pytest.fixture
def scorers(monkeypatch):
    """Scorers that are counted, in place of the program's."""
    return Scorers().install(monkeypatch)


@pytest.fixture
def fresh(spoiled, tmp_path, scorers):
    """A store that one may audit."""
    with Store.open(shutil.copytree(spoiled, tmp_path / "store")) as store:
        yield store
    scorers.calls.clear()


@pytest.fixture
def asked(audited, tmp_path, scorers):
    """An audited store that one may change."""
    with Store.open(shutil.copytree(audited, tmp_path / "store")) as store:
        yield store
    scorers.calls.clear()
