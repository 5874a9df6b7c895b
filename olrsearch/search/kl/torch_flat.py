"""Flat search by KL on a torch device, a GPU as a rule; torch is imported when an index is made or opened.

Features lie on the device in float16 or float32, as `olrsearch.search.kl.scaling` has them. Images are scored
in blocks, by a product with all queries of a batch that is summed in float32; the first of each block and of
those before it are all that is kept. Beside its features an image has a bound of what its score may be
off by, so that proposals can come in the order of lower bounds and prove an answer.

It has been tested on torch's CPU device alone; on a GPU nothing was measured yet.

Notation: N images, F numbers a feature (stored: F padded to a multiple of 16), m queries of a batch.
"""

from __future__ import annotations

import re
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, Literal, get_args

import numpy as np

from olrsearch.core.errors import DeviceError, IndexBuildError
from olrsearch.search.kl.projection import BLOCK, check_features, row_blocks
from olrsearch.search.kl.proposers import Proposals, padded
from olrsearch.search.kl.scaling import ROUNDING, SLACK, TINY, TOP, Scaling

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    import torch
    from numpy.typing import NDArray

    from olrsearch.core.arrays import F32, F64, I64

TorchType = Literal["float16", "float32"]

TYPES: Final = get_args(TorchType)

AUTO: Final = "auto"
"""The GPU that torch sees; never the CPU, which a recipe must name."""

DEVICES: Final = re.compile(r"auto|cpu|cuda(:\d+)?")

OTHERS: Final = "leave --recipe out to search exactly, or use kl-projected or kl-fp16"
"""What to do where there is no device."""

MOST_FAR: Final = 0.01
"""Share of the images that may lie too far out for the scaling."""

_COLUMNS: Final = 8
"""Queries of a product of float16 come in multiples of this: matrix units want 16 bytes aligned."""

_SCORES: Final = 1 << 26
"""Scores of a block of images at once, 256 MB."""

_WIDENED: Final = 1 << 24
"""Numbers of a block that float32 copies are made of, 64 MB."""

_COPIED: Final = {"cuda": 1 << 30, "cpu": 1 << 24}
"""Bytes copied to measure a device's memory, more than a GPU's cache holds."""


class TorchFlatKl:
    """A scan of all numbers on a torch device: kind `torch`.

    Args:
        scaling: From features to stored numbers.
        blocks: Features float32 [n, F] of all images, in their order; each its own memory.
        count: N.
        device: `auto`, `cpu`, `cuda` or `cuda:N`.
        dtype: Of what lies on the device.
        prove: Whether to propose in the order of lower bounds.

    Attributes:
        index: None: faiss has no part in it.
        count: N.
        size: F.
        bounds: Whether it proposes in the order of lower bounds.
        device: Where the features lie, such as `cuda:0`.
        far: int64, rows too far out for the scaling, always proposed.

    Raises:
        IndexBuildError: too many images lie too far out for the scaling.
        DeviceError: there is no such device, or it has too little memory.
    """

    index: None = None

    def __init__(
        self,
        scaling: Scaling,
        blocks: Iterable[F32],
        count: int,
        *,
        device: str = AUTO,
        dtype: TorchType = "float16",
        prove: bool = True,
    ) -> None:
        where = check_device(device, count, scaling.size, dtype)
        import torch

        self._scaling, self._device, self.device = scaling, where, str(where)
        self.count, self.size, self.bounds = count, scaling.size, prove
        self._type = torch.float16 if dtype == "float16" else torch.float32
        self._mixed = dtype == "float16" and _mixes(where)
        with _in_memory(where, f"KL features of {count:,} images"):
            self._features = torch.zeros((count, padded(self.size)), dtype=self._type, device=where)
            self._errors = torch.zeros(count, dtype=torch.float32, device=where)
            numbers = (
                scaling.centre,
                1.0 / scaling.scale,
                scaling.scale / scaling.spread,
                1.0 / scaling.spread,
            )
            constants = [torch.from_numpy(some.astype(np.float32)).to(where) for some in numbers]
            start, far = 0, [np.empty(0, np.int64)]
            for block in blocks:
                rows = slice(start, start + len(block))
                far.append(start + self._store(rows, torch.from_numpy(block).to(where), *constants))
                start = rows.stop
        self.far: I64 = np.concatenate(far)
        if len(self.far) > MOST_FAR * count:
            raise IndexBuildError(
                f"{len(self.far)} of {count} images lie too far from the others for their features' scaling: "
                "run index build again, look at their posteriors, or use the recipe kl-hnsw"
            )

    @classmethod
    def of(
        cls,
        features: F32,
        *,
        device: str = AUTO,
        dtype: TorchType = "float16",
        prove: bool = True,
        seed: int = 0,
    ) -> TorchFlatKl:
        """Of these features.

        Args:
            features: float32 [N, F].
            device: `auto`, `cpu`, `cuda` or `cuda:N`.
            dtype: Of what lies on the device.
            prove: Whether to propose in the order of lower bounds.
            seed: Of the drawing of images that typical sizes are taken of.

        Raises:
            VectorError: bad features.
            IndexBuildError: too many images lie far from the others.
            DeviceError: there is no such device, or it has too little memory.
        """
        check_features(features)
        count, size = features.shape
        check_device(device, count, size, dtype)  # before all features are looked at
        scaling = Scaling.of(features, seed=seed)
        blocks = (np.array(features[rows]) for rows in row_blocks(count))
        return cls(scaling, blocks, count, device=device, dtype=dtype, prove=prove)

    def arrays(self) -> dict[str, NDArray[Any]]:
        """See `KlProposer`: the scaling; features are kept anyway."""
        return {"centre": self._scaling.centre, "scale": self._scaling.scale, "spread": self._scaling.spread}

    @property
    def bytes(self) -> int:
        """Memory taken on the device."""
        return self._features.nbytes + self._errors.nbytes

    def propose(self, query: F64, count: int) -> Proposals:
        """See `KlProposer`; with lower bounds where it is to prove.

        Raises:
            VectorError: the query has another length, or is not finite.
            DeviceError: as `propose_batch`.
        """
        return self.propose_batch(query[None], count)[0]

    def propose_batch(self, queries: F64, count: int) -> list[Proposals]:
        """Rows worth scoring in full for every query, by one pass over the features.

        Args:
            queries: float64 [m, F].
            count: How many for each.

        Raises:
            VectorError: a query has another length, or is not finite.
            DeviceError: the device has too little memory, or torch multiplies in less than float32.
        """
        import torch

        asked = self._scaling.queries(queries, half=self._mixed)
        many, wanted = len(asked.unit), min(count, self.count)
        if wanted <= 0 or not many:
            return [Proposals(np.empty(0, np.int64), np.empty(0) if self.bounds else None)] * many
        if not self._mixed and torch.get_float32_matmul_precision() != "highest":
            raise DeviceError(
                "torch multiplies float32 with fewer bits in this process, which no bound covers: call "
                "torch.set_float32_matmul_precision('highest') before searching"
            )
        with torch.inference_mode(), _in_memory(self._device, f"the scores of {many} queries"):
            rows, scores = self._first(asked.columns, asked.reach, wanted)
        found = []
        lower = asked.offset[:, None] + asked.unit[:, None] * scores.astype(np.float64)
        for mine, values in zip(rows, lower, strict=True):
            order = np.lexsort((mine, values))
            order = order[np.isin(mine[order], self.far, invert=True)]
            first = np.full(len(self.far), -np.inf)  # it might be anything
            found.append(
                Proposals(
                    np.concatenate([self.far, mine[order]]),
                    np.concatenate([first, values[order]]) if self.bounds else None,
                )
            )
        return found

    def _store(
        self,
        rows: slice,
        features: torch.Tensor,
        centre: torch.Tensor,
        inverse: torch.Tensor,
        narrow: torch.Tensor,
        typical: torch.Tensor,
    ) -> I64:
        """Put a block of images on the device, with their bounds; of vectors c, 1/s, s/w and 1/w.

        Returns:
            int64, places in the block of images too far out, whose numbers are zeros.
        """
        import torch

        scaled = (features - centre) * inverse
        far = (scaled.abs() > 2.0**TOP).any(dim=1)
        scaled[far] = 0.0
        stored = scaled.to(self._type)
        self._features[rows, : self.size] = stored
        if self.bounds:
            held, norm = stored.to(torch.float32), torch.linalg.vector_norm
            lost = norm((scaled - held) * narrow, dim=1) + ROUNDING * norm(features * typical, dim=1)
            self._errors[rows] = SLACK * (lost + self._scaling.summing * norm(held * narrow, dim=1)) + TINY
        return far.nonzero()[:, 0].cpu().numpy()

    def _first(self, asked: NDArray[Any], reach: F64, wanted: int) -> tuple[I64, F32]:
        """The rows of the smallest scores, int64 [m, wanted], and these, float32, in no order."""
        import torch

        many, where = len(reach), self._device
        aligned = -(-len(asked) // _COLUMNS) * _COLUMNS if self._mixed else len(asked)
        columns = torch.zeros((aligned, padded(self.size)), dtype=torch.float16 if self._mixed else None)
        columns[: len(asked), : self.size] = torch.from_numpy(asked)
        columns, far = columns.to(where), torch.from_numpy(reach.astype(np.float32)).to(where)
        step = _SCORES // aligned
        step = max(step, BLOCK) if self._mixed else max(1, min(step, _WIDENED // padded(self.size)))
        best = torch.empty((many, 0), device=where)
        rows = torch.empty((many, 0), dtype=torch.int64, device=where)
        for start in range(0, self.count, step):
            block = slice(start, start + step)
            scores = self._products(columns, self._features[block], many)
            if self.bounds:
                scores.addr_(far, self._errors[block], alpha=-1)
            values, places = _smallest(scores, wanted)
            best, rows = torch.cat([best, values], dim=1), torch.cat([rows, places + start], dim=1)
            best, kept = _smallest(best, wanted)
            rows = rows.gather(1, kept)
        return rows.cpu().numpy(), best.cpu().numpy()

    def _products(self, columns: torch.Tensor, features: torch.Tensor, many: int) -> torch.Tensor:
        """Inner products of some images with all queries, float32 [m, n]."""
        if not self._mixed:
            return columns @ features.float().T
        found = _mixed_product(columns, features)
        return found[:many] + found[many : 2 * many]


def device_bytes(count: int, size: int, dtype: TorchType) -> int:
    """Memory that an index takes on its device.

    Args:
        count: N.
        size: F.
        dtype: Of the features.
    """
    return count * ((2 if dtype == "float16" else 4) * padded(size) + 4)


def find_device(name: str) -> torch.device:
    """The device of a recipe.

    Args:
        name: `auto`, `cpu`, `cuda` or `cuda:N`.

    Raises:
        DeviceError: torch does not load, or there is no such device.
    """
    try:
        import torch
    except ImportError as error:
        raise DeviceError(f"torch does not load ({error}): install it again, or {OTHERS}") from error
    if not DEVICES.fullmatch(name):
        raise DeviceError(f"no device is called {name!r}: expected auto, cpu, cuda or cuda:N")
    if name == "cpu":
        return torch.device("cpu")
    if not torch.cuda.is_available():
        raise DeviceError(f"torch sees no GPU here, and the index is for the device {name}: {OTHERS}")
    wanted = int(name.partition(":")[2] or torch.cuda.current_device())
    if wanted >= torch.cuda.device_count():
        raise DeviceError(
            f"torch sees GPUs up to cuda:{torch.cuda.device_count() - 1}, and the index is for the device "
            f"{name}: name another one in its recipe"
        )
    return torch.device("cuda", wanted)


def check_device(name: str, count: int, size: int, dtype: TorchType) -> torch.device:
    """The device of a recipe, where an index fits.

    Args:
        name: As `find_device` takes it.
        count: N.
        size: F.
        dtype: Of the features.

    Raises:
        DeviceError: there is no such device, or it has too little memory free.
    """
    where = find_device(name)
    import torch

    needed = device_bytes(count, size, dtype)
    free = torch.cuda.mem_get_info(where)[0] if where.type == "cuda" else needed
    if needed > free:
        raise DeviceError(
            f"KL features of {count:,} images take {needed / 1e6:,.0f} MB, {where} has {free / 1e6:,.0f} MB "
            f"free: free some, or {OTHERS}"
        )
    return where


def copy_rate(device: str, *, turns: int = 5) -> float:
    """Bytes a second that a device reads and writes while it copies memory of its own, the median of turns.

    Args:
        device: As `find_device` takes it.
        turns: Copies timed, after one to warm up.

    Raises:
        DeviceError: there is no such device, or it has too little memory.
    """
    where = find_device(device)
    import torch

    size = _COPIED[where.type]
    with _in_memory(where, f"two times {size / 1e6:,.0f} MB"):
        source = torch.ones(size, dtype=torch.uint8, device=where)
        target = torch.empty_like(source)
    seconds = []
    for _ in range(turns + 1):
        started = time.perf_counter()
        target.copy_(source)
        if where.type == "cuda":
            torch.cuda.synchronize(where)
        seconds.append(time.perf_counter() - started)
    return 2 * size / float(np.median(seconds[1:]))


def _smallest(scores: torch.Tensor, count: int) -> tuple[torch.Tensor, torch.Tensor]:
    """The smallest of each row, at most so many, and their places."""
    found = scores.topk(min(count, scores.shape[1]), dim=1, largest=False, sorted=False)
    return found.values, found.indices


def _mixes(device: torch.device) -> bool:
    """Whether torch multiplies float16 with sums and results in float32: on GPUs, from 2.8 on."""
    import torch

    if device.type != "cuda":
        return False
    some = torch.zeros((_COLUMNS, _COLUMNS), dtype=torch.float16, device=device)
    try:
        _mixed_product(some, some)
    except (TypeError, RuntimeError):
        return False
    return True


def _mixed_product(columns: torch.Tensor, features: torch.Tensor) -> torch.Tensor:
    """float16 [m, F] times float16 [n, F] transposed, summed in float32: float32 [m, n]."""
    import torch

    return torch.mm(columns, features.T, out_dtype=torch.float32)


@contextmanager
def _in_memory(device: torch.device, what: str) -> Iterator[None]:
    """Give a device's lack of memory a name; torch has an error of its own for it on GPUs alone."""
    try:
        yield
    except RuntimeError as error:
        if not any(sign in str(error) for sign in ("out of memory", "allocate memory", "not enough memory")):
            raise
        raise DeviceError(f"{device} has too little memory for {what}: free some, or {OTHERS}") from error
