"""Recipes for searches by KL in large galleries: what proposes images, to be scored in full afterwards.

A recipe is a TOML file `kl-*.toml`: a kind, its parameters, and the recall it promises for which kinds of
query. Two kinds:

| kind | what it does |
| --- | --- |
| `projected` | proposes by a scan of the first numbers of `Projection` |
| `torch` | searches exactly, with the scan of all F numbers on a torch device |

Notation: N images, F = d(d+1)/2 + d + 1 numbers a feature, W numbers stored an image.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Literal, get_args

from olrsearch.core.errors import IndexBuildError, VectorError
from olrsearch.core.resources import recipes_dir
from olrsearch.search.device import AUTO, DEVICES, device_bytes
from olrsearch.search.index.built import MIN_PROPOSALS
from olrsearch.search.index.recipe import KL_PREFIX, read_recipe
from olrsearch.search.kl.projected import ProjectedKl
from olrsearch.search.kl.projection import Projection, check_features

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from olrsearch.core.arrays import F32, F64

KlKind = Literal["projected", "torch"]

KINDS: Final = get_args(KlKind)

QUERY_KINDS: Final = ("words", "images")
"""Sets of one to five words, and posteriors of images."""


@dataclass(frozen=True, slots=True)
class KlParameters:
    """How an index is built and asked.

    Attributes:
        proposals: Proposals of `projected` a hit asked for (at least 64 in all).
        width: W of `projected`.
        device: Of `torch`: `cpu`, `cuda`, `cuda:N`, or `auto`, the GPU that torch sees.
    """

    proposals: int = 16
    width: int = 64
    device: str = AUTO

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
    path, data = read_recipe(name, "KL", kl_recipe_names())
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
    return (
        recipe.kind in KINDS
        and bool(recipe.queries)
        and set(recipe.queries) <= set(QUERY_KINDS)
        and 0 <= recipe.recall_at_10 <= 1
        and 0 <= recipe.recall_at_100 <= 1
        and all(
            isinstance(number, int) and number >= 1 for number in (parameters.proposals, parameters.width)
        )
        and DEVICES.fullmatch(parameters.device) is not None
        and (recipe.kind == "torch" or parameters.device in {AUTO, "cpu"})
    )


def estimate_kl_memory(recipe: KlRecipe, count: int, size: int) -> int:
    """Bytes that a recipe's index takes for `count` images of `size` numbers (F), roughly.

    Those of `torch` are taken on its device.
    """
    if recipe.kind == "torch":
        return device_bytes(count, size)
    return count * (2 * recipe.parameters.width + 8)


def build_proposer(
    recipe: KlRecipe, features: F32, samples: Mapping[str, F64], *, seed: int = 0
) -> ProjectedKl:
    """Build the index of a recipe of the kind `projected`; its recall is another matter, see `recall`.

    Args:
        recipe: What to build.
        features: float32 [N, F], of images in one direction and one frame.
        samples: Kind of query → float64 [q, F], sampled queries; the kinds promised for are used.
        seed: Of drawings.

    Raises:
        VectorError: bad features, or no samples of a kind the recipe promises for.
        IndexBuildError: faiss cannot build it.
        FaissInstallError: no usable faiss.
    """
    check_features(features)
    missing = [kind for kind in recipe.queries if kind not in samples]
    if missing:
        raise VectorError(f"{recipe.name} promises for {', '.join(missing)}: give samples of such queries")
    projection = Projection.of(features, {kind: samples[kind] for kind in recipe.queries}, seed=seed)
    width = min(recipe.parameters.width, features.shape[1])
    return ProjectedKl.build(features, projection, width, seed=seed)
