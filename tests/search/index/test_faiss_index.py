import subprocess
import sys

import numpy as np
import pytest

from olrsearch.core.errors import FaissInstallError, IndexBuildError, VectorError
from olrsearch.search.index import faiss_index
from olrsearch.search.index.faiss_index import FaissIndex, check_install, installed_faiss
from olrsearch.search.index.recipe import PartRecipe


@pytest.fixture(scope="module")
def vectors():
    return np.random.default_rng(0).normal(size=(300, 8)).astype(np.float32)


IDS = np.arange(300, dtype=np.int64) * 7 + 5


@pytest.mark.parametrize("factory", ["Flat", "HNSW16,Flat", "SQ8", "IVF8,Flat"])
def test_builds_searches_saves_and_loads(factory, vectors, tmp_path):
    index = FaissIndex.build(IDS, vectors, factory, ef_construction=40)
    options = PartRecipe("", ef_search=64, nprobe=8)
    found = index.search(vectors[42], 5, options)
    truth = IDS[np.argsort(((vectors - vectors[42]) ** 2).sum(axis=1))[:5]]
    assert found[0] == IDS[42]
    assert len(set(found.tolist()) & set(truth.tolist())) >= 4
    index.save(tmp_path / "a.faiss")
    again = FaissIndex.load(tmp_path / "a.faiss", size=8, count=300)
    assert again.search(vectors[42], 5, options).tolist() == found.tolist()
    assert len(index.search(vectors[0], 1000, options)) <= 300
    assert index.search(vectors[0], 0).shape == (0,)


def test_what_faiss_swallows_is_named(vectors):
    holed = vectors.copy()
    holed[7, 3] = np.nan
    with pytest.raises(VectorError, match=r"1 of 300 vectors hold NaN .* image 54"):
        FaissIndex.build(IDS, holed, "Flat")
    with pytest.raises(VectorError, match="1 ids occur twice"):
        FaissIndex.build(np.where(IDS == 5, 12, IDS), vectors, "Flat")
    with pytest.raises(VectorError, match="float64"):
        FaissIndex.build(IDS, vectors.astype(np.float64), "Flat")
    with pytest.raises(VectorError, match="float32 vectors"):
        FaissIndex.build(IDS[:0], vectors[:0], "Flat")
    with pytest.raises(VectorError, match="do not fit"):
        FaissIndex.build(IDS[:5], vectors, "Flat")
    index = FaissIndex.build(IDS, vectors, "Flat")
    for query in (vectors[0, :7], vectors[:1], np.full(8, np.inf, np.float32)):
        with pytest.raises(VectorError, match="a query vector"):
            index.search(query, 3)


def test_faiss_own_errors_are_named(vectors, tmp_path):
    with pytest.raises(IndexBuildError, match="cannot build 'Nonsense'"):
        FaissIndex.build(IDS, vectors, "Nonsense")
    with pytest.raises(IndexBuildError, match="cannot build 'IVF1024"):
        FaissIndex.build(IDS, vectors, "IVF1024,Flat")
    index = FaissIndex.build(IDS, vectors, "Flat")
    path = tmp_path / "a.faiss"
    with pytest.raises(IndexBuildError, match="cannot be written"):
        index.save(tmp_path / "no" / "a.faiss")
    with pytest.raises(IndexBuildError, match="missing"):
        FaissIndex.load(path, size=8, count=300)
    index.save(path)
    with pytest.raises(IndexBuildError, match="expected 299 of 8"):
        FaissIndex.load(path, size=8, count=299)
    path.write_bytes(path.read_bytes()[:500])
    with pytest.raises(IndexBuildError, match="damaged"):
        FaissIndex.load(path, size=8, count=300)


def test_installations_are_told_apart(monkeypatch):
    assert len(installed_faiss()) == 1
    check_install(["faiss-cpu"])
    with pytest.raises(FaissInstallError, match=r"olrsearch\[cpu\]"):
        check_install([])
    with pytest.raises(FaissInstallError, match="faiss-cpu and faiss-gpu are installed"):
        check_install(["faiss-cpu", "faiss-gpu"])
    faiss_index.load_faiss.cache_clear()
    monkeypatch.setattr(faiss_index, "installed_faiss", lambda: ("faiss-cpu", "faiss-gpu"))
    with pytest.raises(FaissInstallError, match="overwrite each other"):
        faiss_index.load_faiss()
    monkeypatch.setitem(sys.modules, "faiss", None)
    monkeypatch.setattr(faiss_index, "installed_faiss", lambda: ())
    with pytest.raises(FaissInstallError, match="no faiss is installed"):
        faiss_index.load_faiss()
    monkeypatch.setattr(faiss_index, "installed_faiss", lambda: ("faiss-cpu",))
    with pytest.raises(FaissInstallError, match="install it again"):
        faiss_index.load_faiss()


def test_queries_import_neither_faiss_nor_torch():
    code = (
        "import sys, olrsearch.search.attributes, olrsearch.search.similar, olrsearch.search.filters, "
        "olrsearch.search.index.label, olrsearch.search.device, olrsearch.search.index.built, "
        "olrsearch.search.kl.built, olrsearch.search.spaces.registry, olrsearch_benchmarks.speed.kl_device; "
        "print('faiss' in sys.modules, 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]
