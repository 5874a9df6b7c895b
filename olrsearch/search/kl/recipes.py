"""Recipes for searches by KL in large galleries: what proposes images, to be scored in full afterwards.

A recipe is a TOML file `kl-*.toml`: a kind, its parameters, and the recall it promises for which kinds of
query. Six kinds:

| kind | proposes by |
| --- | --- |
| `fp16` | a scan of all F numbers as float16 |
| `sq8` | a scan of all F numbers in 8 bits each |
| `hnsw` | a graph over all F numbers, in the coordinates of `Projection`, as L2 |
| `projected` | a scan of the first numbers of `Projection`, with a bound that may prove the answer |
| `projected-hnsw` | a graph over these few numbers |
| `torch` | a scan of all F numbers on a torch device, with a bound that may prove the answer |

Notation: N images, F = d(d+1)/2 + d + 1 numbers a feature, W numbers stored an image.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Literal, get_args

from olrsearch.core.errors import IndexBuildError, VectorError
from olrsearch.core.resources import recipes_dir
from olrsearch.search.index.built import MIN_PROPOSALS
from olrsearch.search.index.recipe import KL_PREFIX
from olrsearch.search.kl.projection import BOUNDS, Projection, check_features
from olrsearch.search.kl.proposers import FlatKl, GraphKl, ProjectedKl, padded
from olrsearch.search.kl.torch_flat import AUTO, DEVICES, TYPES, TorchFlatKl, TorchType, device_bytes

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from olrsearch.core.arrays import F32, F64
    from olrsearch.search.kl.proposers import KlProposer

KlKind = Literal["fp16", "sq8", "hnsw", "projected", "projected-hnsw", "torch"]

KINDS: Final = get_args(KlKind)

QUERY_KINDS: Final = ("words", "images")
"""Sets of one to five words, and posteriors of images."""


@dataclass(frozen=True, slots=True)
class KlParameters:
    """How an index is built and asked.

    Attributes:
        proposals: Proposals a hit asked for (at least 64 in all); with `prove`, at most.
        width: W of `projected`, its three bounds among them, and of `projected-hnsw`.
        prove: Whether `projected` and `torch` propose in the order of their bounds and stop when they prove
            the answer; else they propose in the order of what they hold the divergences for.
        links, ef_construction, ef_search: Of graphs.
        headroom: M² of graphs, as a multiple of the longest squared length.
        device: Of `torch`: `cpu`, `cuda`, `cuda:N`, or `auto`, the GPU that torch sees. Of `fp16`: `auto`,
            which is the CPU, `cpu`, or `cuda`, where faiss-gpu searches. Others know the CPU alone.
        dtype: Of the features of `torch`: `float16` or `float32`.
    """

    proposals: int = 16
    width: int = 64
    prove: bool = False
    links: int = 32
    ef_construction: int = 80
    ef_search: int = 256
    headroom: float = 1.2
    device: str = AUTO
    dtype: TorchType = "float16"

    def asked(self, count: int) -> int:
        """Proposals for an answer of so many images."""
        return max(MIN_PROPOSALS, self.proposals * count)


@dataclass(frozen=True, slots=True)
class KlRecipe:
    """A named way to index KL features.

    Attributes:
        name: The file's name without `.toml`.
        description: One line for people.
        kind: One of `KINDS`.
        queries: The kinds of query it promises for, of `QUERY_KINDS`.
        recall_at_10, recall_at_100: Promised mean share of the true nearest among those returned.
        parameters: The rest.
    """

    name: str
    description: str
    kind: KlKind
    queries: tuple[str, ...]
    recall_at_10: float
    recall_at_100: float
    parameters: KlParameters = field(default_factory=KlParameters)


def kl_recipe_names() -> tuple[str, ...]:
    """Names of the KL recipes that come with the program, sorted."""
    return tuple(sorted(path.stem for path in recipes_dir().glob(f"{KL_PREFIX}*.toml")))


def load_kl_recipe(name: str | Path) -> KlRecipe:
    """A KL recipe of the program by its name, or one's own by the path of its file.

    Raises:
        IndexBuildError: there is none, or the file does not say what a KL recipe says.
    """
    path = recipes_dir() / f"{name}.toml" if isinstance(name, str) else name
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise IndexBuildError(
            f"no KL recipe {str(name)!r}: there are {', '.join(kl_recipe_names())}"
        ) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise IndexBuildError(f"{path} is no TOML: {error}") from error
    try:
        promise = dict(data["promise"])
        parameters = KlParameters(**data.get("parameters", {}))
        recipe = KlRecipe(
            path.stem,
            str(data.get("description", "")),
            data["kind"],
            tuple(promise.pop("queries")),
            float(promise.pop("recall_at_10")),
            float(promise.pop("recall_at_100")),
            parameters,
        )
        unknown = {*promise, *(set(data) - {"description", "kind", "parameters", "promise"})}
        sound = _is_sound(recipe)
    except (KeyError, TypeError, ValueError) as error:
        raise IndexBuildError(
            f"{path} is no KL recipe ({error}): expected kind, [parameters], and [promise] with queries, "
            "recall_at_10 and recall_at_100"
        ) from error
    if unknown or not sound:
        raise IndexBuildError(
            f"{path} is no KL recipe: unknown keys {sorted(unknown)}, a kind other than {', '.join(KINDS)}, "
            f"queries other than {', '.join(QUERY_KINDS)}, or numbers out of range"
        )
    return recipe


def _is_sound(recipe: KlRecipe) -> bool:
    parameters = recipe.parameters
    whole = (parameters.proposals, parameters.links, parameters.ef_construction, parameters.ef_search)
    return (
        recipe.kind in KINDS
        and bool(recipe.queries)
        and set(recipe.queries) <= set(QUERY_KINDS)
        and 0 <= recipe.recall_at_10 <= 1
        and 0 <= recipe.recall_at_100 <= 1
        and all(isinstance(number, int) and number >= 1 for number in whole)
        and parameters.width > BOUNDS
        and parameters.headroom >= 1
        and _is_on_a_device(recipe)
    )


def _is_on_a_device(recipe: KlRecipe) -> bool:
    """Whether a recipe names a device and a type that its kind knows."""
    device, dtype = recipe.parameters.device, recipe.parameters.dtype
    if recipe.kind == "torch":
        return DEVICES.fullmatch(device) is not None and dtype in TYPES
    return (
        device in ({AUTO, "cpu", "cuda"} if recipe.kind == "fp16" else {AUTO, "cpu"}) and dtype == "float16"
    )


def estimate_kl_memory(recipe: KlRecipe, count: int, size: int) -> int:
    """Bytes that a recipe's index takes for `count` images of `size` numbers (F), roughly.

    Those of `torch` are taken on its device.
    """
    width, links = recipe.parameters.width, 8 * recipe.parameters.links + 16
    an_image: dict[KlKind, int] = {
        "fp16": 2 * padded(size) + 8,
        "sq8": padded(size) + 8,
        "hnsw": 4 * (size + 1) + links + 8,
        "projected": 2 * width + 8,
        "projected-hnsw": 4 * (width + 1) + links + 8,
        "torch": device_bytes(1, size, recipe.parameters.dtype),
    }
    return count * an_image[recipe.kind]


def build_proposer(
    recipe: KlRecipe, features: F32, samples: Mapping[str, F64], *, seed: int = 0
) -> KlProposer:
    """Build a recipe's index; its recall is another matter, see `olrsearch.search.kl.recall`.

    Args:
        recipe: What to build.
        features: float32 [N, F], of images in one direction and one frame.
        samples: Kind of query → float64 [q, F], sampled queries; the kinds promised for are used.
        seed: Of drawings.

    Raises:
        VectorError: bad features, or no samples of a kind the recipe promises for.
        IndexBuildError: faiss cannot build it.
        FaissInstallError: no usable faiss.
        DeviceError: the recipe's device is not there, or has too little memory.
    """
    check_features(features)
    missing = [kind for kind in recipe.queries if kind not in samples]
    if missing:
        raise VectorError(f"{recipe.name} promises for {', '.join(missing)}: give samples of such queries")
    given, size = recipe.parameters, features.shape[1]
    if recipe.kind == "torch":
        return TorchFlatKl.of(features, device=given.device, dtype=given.dtype, prove=given.prove, seed=seed)
    if recipe.kind == "sq8":
        return FlatKl(features, "SQ8", seed=seed)
    if recipe.kind == "fp16":
        return FlatKl(features, "SQfp16", seed=seed, gpu=given.device == "cuda")
    projection = Projection.of(features, {kind: samples[kind] for kind in recipe.queries}, seed=seed)
    if recipe.kind == "projected":
        width = min(given.width, size + BOUNDS)
        return ProjectedKl(features, projection, width, prove=given.prove, seed=seed)
    return GraphKl(
        features,
        projection,
        size if recipe.kind == "hnsw" else min(given.width, size),
        links=given.links,
        ef_construction=given.ef_construction,
        ef_search=given.ef_search,
        headroom=given.headroom,
    )
