"""The only place that imports faiss, and only when an index is built, loaded or searched.

faiss takes NaN, duplicate ids and wrong dimensions in silence or answers with an empty
assertion; here each is a named error before faiss sees it.

Notation: n vectors of d numbers.
"""

from __future__ import annotations

from functools import cache
from importlib import metadata
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from olrsearch.core.errors import FaissInstallError, IndexBuildError, VectorError
from olrsearch.maths.metric import check_query

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from olrsearch.core.arrays import F32, I64
    from olrsearch.search.index.recipe import PartRecipe

DISTRIBUTIONS = ("faiss-cpu", "faiss-gpu", "faiss-gpu-cu11", "faiss-gpu-cu12")
"""All of them install the one module `faiss`, and overwrite each other's files."""

FaissMetric = Literal["l2", "ip"]
"""Squared L2, smallest first, or the inner product, largest first."""


def installed_faiss() -> tuple[str, ...]:
    """The distributions installed that bring the module `faiss`."""
    return tuple(name for name in DISTRIBUTIONS if any(metadata.distributions(name=name)))


def check_install(installed: Iterable[str]) -> None:
    """Refuse any number of faiss distributions but one.

    Raises:
        FaissInstallError: none, or several.
    """
    found = tuple(installed)
    if not found:
        raise FaissInstallError("no faiss is installed: pip install 'olrsearch[cpu]'")
    if len(found) > 1:
        raise FaissInstallError(
            f"{' and '.join(found)} are installed and overwrite each other: uninstall all of them, "
            "then install the extra cpu alone"
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
    """

    def __init__(self, index: Any) -> None:  # noqa: ANN401 - faiss has no types
        self._index = index

    @classmethod
    def build(cls, ids: I64, vectors: F32, factory: str, *, ef_construction: int | None = None) -> FaissIndex:
        """Train where the kind needs it, and add all vectors: `of_blocks` of one block, for L2.

        Args:
            ids: int64 [n], each once.
            vectors: float32 [n, d], finite.
            factory: faiss' description, such as `HNSW32,Flat`, `SQ8` or `IVF256,Flat`.
            ef_construction: Breadth while an HNSW graph is built.

        Raises:
            VectorError, IndexBuildError, FaissInstallError: as `of_blocks`.
        """
        _check(ids, vectors)  # names the image, which training does not know
        return cls.of_blocks(vectors, ((ids, vectors),), factory, ef_construction=ef_construction)

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
            index = faiss.IndexIDMap(inner)
            for ids, vectors in blocks:
                _check(ids, vectors)
                if vectors.shape[1] != index.d:
                    raise VectorError(
                        f"vectors of {vectors.shape[1]} numbers do not fit an index of {index.d}"
                    )
                index.add_with_ids(np.ascontiguousarray(vectors), np.ascontiguousarray(ids))
        except (RuntimeError, AssertionError) as error:
            raise IndexBuildError(
                f"faiss cannot build {factory!r} for vectors of {training.shape[1]} numbers: {_short(error)}"
            ) from error
        return cls(index)

    @property
    def count(self) -> int:
        """How many vectors it holds, n."""
        return int(self._index.ntotal)

    def search(self, query: F32, count: int, recipe: PartRecipe | None = None) -> I64:
        """Ids of the nearest vectors it finds, int64 [≤ count], nearest first.

        Args:
            query: float32 [d].
            count: How many; an approximate index may find fewer than there are.
            recipe: Says how hard to look (`ef_search`, `nprobe`), which never changes the index; as faiss
                does when None.

        Raises:
            VectorError: the query has another length, or holds NaN or infinities.
        """
        asked = check_query(query, self._index.d)
        wanted = min(int(count), self.count)  # faiss takes no integers of numpy
        if wanted <= 0:
            return np.empty(0, np.int64)
        _, ids = self._index.search(asked[None], wanted, params=self._parameters(recipe))
        found: I64 = ids[0][ids[0] >= 0]  # −1 fills the places for which nothing was found
        return found

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

    def _parameters(self, recipe: PartRecipe | None) -> Any:  # noqa: ANN401 - faiss has no types
        """The parameters this kind of index understands, or None for its own."""
        if recipe is None:
            return None
        faiss = load_faiss()
        inner = faiss.downcast_index(self._index.index)
        if isinstance(inner, faiss.IndexHNSW) and recipe.ef_search is not None:
            return faiss.SearchParametersHNSW(efSearch=recipe.ef_search)
        if isinstance(inner, faiss.IndexIVF) and recipe.nprobe is not None:
            return faiss.SearchParametersIVF(nprobe=recipe.nprobe)
        return None


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
