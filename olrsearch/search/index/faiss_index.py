"""The only place that imports faiss, and only when an index is built, loaded or searched.

faiss takes NaN, duplicate ids and wrong dimensions in silence or answers with an empty
assertion; here each is a named error before faiss sees it.

Notation: n vectors of d numbers.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib import metadata
from typing import TYPE_CHECKING, Any, Final, Literal

import numpy as np

from olrsearch.core.errors import FaissInstallError, IndexBuildError, VectorError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from olrsearch.core.arrays import F32, I64

DISTRIBUTIONS = ("faiss-cpu", "faiss-gpu", "faiss-gpu-cu11", "faiss-gpu-cu12")
"""All of them install the one module `faiss`, and overwrite each other's files."""

Device = Literal["cpu", "gpu"]

FaissMetric = Literal["l2", "ip"]
"""Squared L2, smallest first, or the inner product, largest first."""


GPU_COUNT: Final = 2048
"""The longest answer of faiss' GPU indexes; longer ones come from the CPU."""


@dataclass(frozen=True, slots=True)
class SearchOptions:
    """How hard an index looks; they travel with each search and never change the index.

    Attributes:
        ef_search: Breadth of an HNSW search; faiss' default when None.
        nprobe: Cells an IVF search reads; faiss' default when None.
    """

    ef_search: int | None = None
    nprobe: int | None = None


def installed_faiss() -> tuple[str, ...]:
    """The distributions installed that bring the module `faiss`."""
    return tuple(name for name in DISTRIBUTIONS if _is_installed(name))


def check_install(installed: Iterable[str]) -> None:
    """Refuse any number of faiss distributions but one.

    Raises:
        FaissInstallError: none, or several.
    """
    found = tuple(installed)
    if not found:
        raise FaissInstallError("no faiss is installed: pip install 'olrsearch[cpu]' (or 'olrsearch[gpu]')")
    if len(found) > 1:
        raise FaissInstallError(
            f"{' and '.join(found)} are installed and overwrite each other: uninstall all of them, "
            "then install the extra cpu or gpu alone"
        )


@cache
def load_faiss() -> Any:  # noqa: ANN401 - faiss has no types
    """The module.

    Raises:
        FaissInstallError: none is installed, several are, or it cannot be loaded.
    """
    found = installed_faiss()
    if found:  # a build of one's own has no distribution; the import below says whether it is there
        check_install(found)
    try:
        import faiss
    except ImportError as error:
        check_install(found)
        raise FaissInstallError(f"{found[0]} does not load ({error}): install it again") from error
    return faiss


class FaissIndex:
    """An index of faiss over vectors with ids.

    Label indexes are built for L2 alone: other metrics are turned into it before (see
    `olrsearch.search.index.recipe`). Flat indexes over KL features take the inner product as it is.

    What concerns GPUs follows faiss' documentation and source; it was tested with stand-ins, never on one.
    """

    def __init__(self, index: Any, gpu: Any = None) -> None:  # noqa: ANN401 - faiss has no types
        self._index = index
        self._gpu = gpu

    @classmethod
    def build(
        cls,
        ids: I64,
        vectors: F32,
        factory: str,
        *,
        ef_construction: int | None = None,
        device: Device = "cpu",
    ) -> FaissIndex:
        """Train where the kind needs it, and add all vectors.

        Args:
            ids: int64 [n], each once.
            vectors: float32 [n, d], finite.
            factory: faiss' description, such as `HNSW32,Flat`, `SQ8` or `IVF256,Flat`.
            ef_construction: Breadth while an HNSW graph is built.
            device: `gpu` trains and adds there, for kinds faiss has there; the result is a CPU index.

        Raises:
            VectorError: no vectors, NaN, another shape or dtype, or duplicate ids.
            IndexBuildError: faiss does not know the description or cannot build it.
            FaissInstallError: no usable faiss, or none with the device asked for.
        """
        _check(ids, vectors)
        faiss = load_faiss()
        try:
            inner = faiss.index_factory(vectors.shape[1], factory, faiss.METRIC_L2)
            if ef_construction is not None and hasattr(inner, "hnsw"):
                inner.hnsw.efConstruction = ef_construction
            index = faiss.IndexIDMap(faiss.index_cpu_to_all_gpus(inner) if _on_gpu(faiss, device) else inner)
            contiguous = np.ascontiguousarray(vectors)
            if not index.is_trained:
                index.train(contiguous)
            index.add_with_ids(contiguous, np.ascontiguousarray(ids))
            return cls(faiss.index_gpu_to_cpu(index) if device == "gpu" else index)
        except (RuntimeError, AssertionError) as error:
            raise IndexBuildError(
                f"faiss cannot build {factory!r} from {len(vectors)} vectors of {vectors.shape[1]} numbers: "
                f"{_short(error)}"
            ) from error

    @classmethod
    def of_blocks(
        cls,
        training: F32,
        blocks: Iterable[tuple[I64, F32]],
        factory: str,
        *,
        metric: FaissMetric = "l2",
        ef_construction: int | None = None,
    ) -> FaissIndex:
        """Train on some vectors and add all of them block by block, so that no second copy of them is needed.

        Args:
            training: float32 [m, d], some of the vectors; kinds that need no training take only d from it.
            blocks: Pairs of ids int64 [b] and vectors float32 [b, d]. Each id occurs once: within a block
                that is checked, across blocks it is the caller's to see to.
            factory: faiss' description.
            metric: What the nearest are nearest by.
            ef_construction: Breadth while an HNSW graph is built.

        Raises:
            VectorError: NaN, another shape or dtype, or duplicate ids.
            IndexBuildError: faiss does not know the description or cannot build it.
            FaissInstallError: no usable faiss.
        """
        _check(np.arange(len(training)), training)
        faiss = load_faiss()
        kind = faiss.METRIC_L2 if metric == "l2" else faiss.METRIC_INNER_PRODUCT
        try:
            inner = faiss.index_factory(training.shape[1], factory, kind)
            if ef_construction is not None and hasattr(inner, "hnsw"):
                inner.hnsw.efConstruction = ef_construction
            if not inner.is_trained:
                inner.train(np.ascontiguousarray(training))
            made = cls(faiss.IndexIDMap(inner))
        except (RuntimeError, AssertionError) as error:
            raise IndexBuildError(
                f"faiss cannot build {factory!r} for vectors of {training.shape[1]} numbers: {_short(error)}"
            ) from error
        for ids, vectors in blocks:
            made.add(ids, vectors)
        return made

    def on_gpu(self) -> FaissIndex:
        """The same index, searched on the first GPU; what is saved stays on the CPU.

        Of scalar quantisers faiss has `SQfp16` there alone, as a flat index. It rounds queries to float16
        too, so they must fit.

        Raises:
            FaissInstallError: no usable faiss, or none with a GPU.
            IndexBuildError: faiss has no such index there, or too little memory.
        """
        faiss = load_faiss()
        _on_gpu(faiss, "gpu")
        try:
            return FaissIndex(
                self._index, faiss.index_cpu_to_gpu(faiss.StandardGpuResources(), 0, self._index)
            )
        except (RuntimeError, AssertionError) as error:
            raise IndexBuildError(
                f"faiss cannot put an index of {self.count} vectors of {self.size} numbers on the GPU: "
                f"{_short(error)}"
            ) from error

    def add(self, ids: I64, vectors: F32) -> None:
        """Add vectors to the index.

        Args:
            ids: int64 [b], each once and none of them in the index.
            vectors: float32 [b, d], finite.

        Raises:
            VectorError: NaN, another shape or dtype, or duplicate ids among these.
            IndexBuildError: it is searched on a GPU, whose copy would lack them.
        """
        if self._gpu is not None:
            raise IndexBuildError("an index that is searched on a GPU takes no more vectors: build it again")
        _check(ids, vectors)
        if vectors.shape[1] != self.size:
            raise VectorError(f"vectors of {vectors.shape[1]} numbers do not fit an index of {self.size}")
        self._index.add_with_ids(np.ascontiguousarray(vectors), np.ascontiguousarray(ids))

    @property
    def count(self) -> int:
        """How many vectors it holds, n."""
        return int(self._index.ntotal)

    @property
    def size(self) -> int:
        """Numbers a vector, d."""
        return int(self._index.d)

    def search(self, query: F32, count: int, options: SearchOptions | None = None) -> I64:
        """Ids of the nearest vectors it finds, int64 [≤ count], nearest first.

        Args:
            query: float32 [d].
            count: How many; an approximate index may find fewer than there are.
            options: How hard to look.

        Raises:
            VectorError: the query has another length, or holds NaN or infinities.
        """
        return self.nearest(query, count, options)[0]

    def nearest(self, query: F32, count: int, options: SearchOptions | None = None) -> tuple[I64, F32]:
        """As `search`, with what faiss found between query and vectors.

        Returns:
            Ids int64 [≤ count], nearest first, and float32 squared distances, or inner products, of the
            vectors as the index stores them.

        Raises:
            VectorError: the query has another length, or holds NaN or infinities.
        """
        asked = np.ascontiguousarray(query, np.float32)
        if asked.shape != (self.size,) or not np.isfinite(asked).all():
            raise VectorError(f"a query vector must be {self.size} finite numbers, found shape {asked.shape}")
        wanted = min(int(count), self.count)  # faiss takes no integers of numpy
        if wanted <= 0:
            return np.empty(0, np.int64), np.empty(0, np.float32)
        if self._gpu is not None and wanted <= GPU_COUNT:
            values, ids = self._gpu.search(asked[None], wanted)
        else:
            values, ids = self._index.search(
                asked[None], wanted, params=self._parameters(options or SearchOptions())
            )
        found = ids[0] >= 0  # −1 fills the places for which nothing was found
        return ids[0][found], values[0][found]

    def save(self, path: Path) -> None:
        """Write the index to a file, replacing it.

        Raises:
            IndexBuildError: the file cannot be written.
        """
        try:
            load_faiss().write_index(self._index, str(path))
        except RuntimeError as error:
            raise IndexBuildError(f"{path} cannot be written: {_short(error)}") from error

    @classmethod
    def load(cls, path: Path, *, size: int, count: int) -> FaissIndex:
        """Read an index from a file.

        Args:
            path: Written by `save`.
            size: d it must have.
            count: n it must have.

        Raises:
            IndexBuildError: the file is missing, damaged, or of another index.
        """
        faiss = load_faiss()
        if not path.is_file():
            raise IndexBuildError(f"{path} is missing: run index build again")
        try:
            index = faiss.read_index(str(path))
        except RuntimeError as error:
            raise IndexBuildError(f"{path} is damaged ({_short(error)}): run index build again") from error
        if (index.d, index.ntotal) != (size, count) or not isinstance(index, faiss.IndexIDMap):
            raise IndexBuildError(
                f"{path} holds {index.ntotal} vectors of {index.d} numbers, expected {count} of {size}: "
                "run index build again"
            )
        return cls(index)

    def _parameters(self, options: SearchOptions) -> Any:  # noqa: ANN401 - faiss has no types
        """The parameters this kind of index understands, or None for its own."""
        faiss = load_faiss()
        inner = faiss.downcast_index(self._index.index)
        if isinstance(inner, faiss.IndexHNSW) and options.ef_search is not None:
            return faiss.SearchParametersHNSW(efSearch=options.ef_search)
        if isinstance(inner, faiss.IndexIVF) and options.nprobe is not None:
            return faiss.SearchParametersIVF(nprobe=options.nprobe)
        return None


def largest_products(queries: F32, vectors: F32, count: int) -> tuple[I64, F32]:
    """The vectors with the largest inner product with each query, by a scan over all of them.

    Args:
        queries: float32 [m, d], finite.
        vectors: float32 [n, d], finite, which is not checked.
        count: How many for each query; all when there are fewer.

    Returns:
        Rows int64 [m, ≤ count] and inner products float32, largest first.

    Raises:
        VectorError: queries of another length or dtype, or not finite.
        FaissInstallError: no usable faiss.
    """
    if queries.ndim != 2 or queries.shape[1] != vectors.shape[1] or queries.dtype != np.float32:
        raise VectorError(
            f"{queries.dtype} queries {queries.shape} do not fit vectors of {vectors.shape[1]} numbers"
        )
    if not np.isfinite(queries).all():
        raise VectorError("queries hold NaN or infinity: expected finite numbers")
    faiss = load_faiss()
    wanted = min(count, len(vectors))
    values, rows = faiss.knn(queries, vectors, wanted, metric=faiss.METRIC_INNER_PRODUCT)
    return rows, values


def _is_installed(name: str) -> bool:
    try:
        metadata.version(name)
    except metadata.PackageNotFoundError:
        return False
    return True


def _on_gpu(faiss: Any, device: Device) -> bool:  # noqa: ANN401 - faiss has no types
    """Whether to build on a GPU; asking for one that is not there is an error, never a silent CPU run."""
    if device == "cpu":
        return False
    if not hasattr(faiss, "index_cpu_to_all_gpus") or not hasattr(faiss, "StandardGpuResources"):
        raise FaissInstallError("the faiss installed has no GPU code: install the extra gpu instead of cpu")
    if not faiss.get_num_gpus():
        raise FaissInstallError("faiss sees no GPU: build on the CPU, or look at the driver with nvidia-smi")
    return True


def _check(ids: I64, vectors: F32) -> None:
    if vectors.ndim != 2 or not vectors.size or vectors.dtype != np.float32:
        raise VectorError(f"an index needs float32 vectors [n, d], found {vectors.dtype} {vectors.shape}")
    if ids.shape != (len(vectors),) or ids.dtype != np.int64:
        raise VectorError(
            f"{ids.dtype} ids {ids.shape} do not fit {len(vectors)} vectors: expected an int64 each"
        )
    if len(np.unique(ids)) != len(ids):
        raise VectorError(f"{len(ids) - len(np.unique(ids))} ids occur twice in the vectors of an index")
    finite = np.isfinite(vectors).all(axis=1)
    if not finite.all():
        raise VectorError(
            f"{int((~finite).sum())} of {len(vectors)} vectors hold NaN or infinities, "
            f"first that of image {ids[np.flatnonzero(~finite)[0]]}: encode it again"
        )


def _short(error: BaseException) -> str:
    """What faiss says, without the path of its source file."""
    lines = str(error).splitlines()
    return (lines[0] if lines else type(error).__name__).rpartition("Error: ")[2] or type(error).__name__
