"""Index recipes: what is built beside the exact scan, and what it must prove.

A recipe is a TOML file: faiss' description of an index for every label and for the whole
embedding, how many proposals to take from it, and the recall it promises.

Notation: N images, L labels, k numbers a label.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from olrsearch.core.errors import IndexBuildError
from olrsearch.core.files import is_file
from olrsearch.core.resources import recipes_dir
from olrsearch.core.shown import shown
from olrsearch.search.device import AUTO, DEVICES, device_bytes

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


KL_PREFIX = "kl-"
"""Files of recipes for searches by KL begin with it; see `olrsearch.search.kl.recipes`."""


@dataclass(frozen=True, slots=True)
class PartRecipe:
    """What is built for one label, or for the whole embedding.

    Attributes:
        factory: faiss' description of the index; or `torch`, a flat scan on the GPU that torch sees, and
            `torch:` with another device, such as `torch:cuda:1`.
        proposals: Proposals a hit asked for (at least 64 in all).
        ef_construction, ef_search, nprobe: Where the kind of index has them.
    """

    factory: str
    proposals: int = 4
    ef_construction: int | None = None
    ef_search: int | None = None
    nprobe: int | None = None

    @property
    def device(self) -> str | None:
        """The device of a flat scan by torch, as `DeviceScan` takes it; None for what faiss searches."""
        kind, _, device = self.factory.partition(":")
        return (device or AUTO) if kind == "torch" else None


@dataclass(frozen=True, slots=True)
class Recipe:
    """A named way to build a space's indexes.

    Attributes:
        name: The file's name without `.toml`.
        description: One line for people.
        label, whole: What is built; None leaves that to the exact scan.
        recall_at_10: Promised mean share of the true ten nearest among the ten returned.
    """

    name: str
    description: str
    recall_at_10: float
    label: PartRecipe | None = None
    whole: PartRecipe | None = None

    def part(self, label: int | None) -> PartRecipe | None:
        """What is built for a label, or (None) for the whole embedding."""
        return self.whole if label is None else self.label


def recipe_names() -> tuple[str, ...]:
    """Names of the recipes that come with the program, sorted; those for KL are `kl_recipe_names`'."""
    names = (path.stem for path in recipes_dir().glob("*.toml"))
    return tuple(sorted(name for name in names if not name.startswith(KL_PREFIX)))


def read_recipe(name: str | Path, what: str, known: Sequence[str]) -> tuple[Path, dict[str, Any]]:
    """The file of a recipe, and what it says.

    Args:
        name: Of a recipe of the program, or the path of a file.
        what: Kind of recipe, for the message.
        known: Names there are.

    Raises:
        IndexBuildError: there is none, or it is no TOML.
    """
    path = recipes_dir() / f"{name}.toml" if isinstance(name, str) else name
    if not is_file(path):
        raise IndexBuildError(f"no {what} recipe {shown(str(name))}: there are {', '.join(known)}")
    try:
        return path, tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise IndexBuildError(f"{path} is no TOML: {error}") from error


def load_recipe(name: str | Path) -> Recipe:
    """A recipe of the program by its name, or one's own by the path of its file.

    Raises:
        IndexBuildError: there is none, or the file does not say what a recipe says.
    """
    path, data = read_recipe(name, "index", recipe_names())
    try:
        parts = {part: PartRecipe(**data[part]) for part in ("label", "whole") if part in data}
        promise = float(data["promise"]["recall_at_10"])
        unknown = set(data) - {"description", "label", "whole", "promise"}
        sound = 0.0 <= promise <= 1.0 and all(_is_sound(part) for part in parts.values())
    except (KeyError, TypeError, ValueError) as error:
        raise IndexBuildError(
            f"{path} is no recipe ({error}): expected [promise] recall_at_10, [label] or [whole] factory"
        ) from error
    if unknown or not sound:
        raise IndexBuildError(
            f"{path} is no recipe: unknown tables {sorted(unknown)}, or numbers or devices out of range"
        )
    return Recipe(
        path.stem, str(data.get("description", "")), promise, parts.get("label"), parts.get("whole")
    )


def _is_sound(part: PartRecipe) -> bool:
    return part.proposals >= 1 and (part.device is None or DEVICES.fullmatch(part.device) is not None)


def estimate_memory(recipe: Recipe, count: int, labels: int, size: int) -> tuple[int, int]:
    """Bytes that a recipe's indexes take for `count` images, roughly: in memory and on disk; on a device."""
    total = inside = 0
    for part, number, numbers in ((recipe.label, labels, size), (recipe.whole, 1, labels * size)):
        if part is None:
            continue
        if part.device is not None:
            inside += number * device_bytes(count, numbers)
            continue
        a_number = 1 if "SQ8" in part.factory else 2 if "SQfp16" in part.factory else 4
        links = 0
        if part.factory.startswith("HNSW"):
            digits = part.factory.removeprefix("HNSW").partition(",")[0].partition("_")[0]
            links = 4 * 2 * int(digits or 32) + 16  # neighbours at the bottom level, and a few above
        total += number * count * ((numbers + 1) * a_number + links + 8)
    return total, inside
