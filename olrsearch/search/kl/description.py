"""What `index.json` of an index for KL says: how it was built, of what, what it finds, and its files.

Notation: n images indexed, d dimensions.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Any, Final

from olrsearch.core.errors import IndexBuildError
from olrsearch.search.artefacts import KeptFile, read_index_json
from olrsearch.search.index.built import Recall
from olrsearch.search.kl.recipes import KINDS, KlParameters, KlRecipe

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from olrsearch.maths.divergences import Direction

FORMAT_VERSION: Final = 2

BOUNDS: Final = 3
"""In format 1 the last of the numbers stored of an image are so many bounds, which nothing uses any more."""

Query = str
"""A kind of query whose recall was measured: `words-1` to `words-5`, `images`."""


@dataclass(frozen=True, slots=True)
class KlDescription:
    """What `index.json` says.

    Attributes:
        recipe: How the index was built.
        direction: Of the divergence.
        frame: Digest of the frame of the features.
        ids: Digest of the ids of its images.
        count: How many images, n.
        size: Dimensions, d.
        queries: Kind of query → how many the recall was measured on.
        recall: Kind of query → measured.
        files: What was written beside `index.json`.
        format_version: Of the files.
    """

    recipe: KlRecipe
    direction: Direction
    frame: str
    ids: str
    count: int
    size: int
    queries: Mapping[Query, int]
    recall: Mapping[Query, Recall]
    files: tuple[KeptFile, ...]
    format_version: int = FORMAT_VERSION

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready dict."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> KlDescription:
        """The description `to_dict` gave, or an older program wrote.

        Raises:
            IndexBuildError: it is of a kind that is no longer searched, or damaged.
        """
        try:
            version = int(data["format_version"])
            if (retired := retired_note(str(data["recipe"]["name"]), data)) is not None:
                raise IndexBuildError(retired)
            recipe = dict(data["recipe"])
            known = {field.name for field in fields(KlParameters)}
            given = recipe["parameters"]
            if version < FORMAT_VERSION:  # had more of them
                given = {name: value for name, value in given.items() if name in known}
            recipe["parameters"] = KlParameters(**given)
            recipe["queries"] = tuple(recipe["queries"])
            return cls(
                KlRecipe(**recipe),
                data["direction"],
                str(data["frame"]),
                str(data["ids"]),
                int(data["count"]),
                int(data["size"]),
                {kind: int(count) for kind, count in data["queries"].items()},
                {kind: Recall(**found) for kind, found in data["recall"].items()},
                tuple(KeptFile(**file) for file in data["files"]),
                version,
            )
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise _damaged(error) from error


def read_description(folder: Path, registered: Mapping[str, Any] | None = None) -> KlDescription:
    """What the index in a folder says.

    Args:
        folder: Of the index.
        registered: What the store's metadata say of it; not compared when None.

    Raises:
        IndexBuildError: it is missing, damaged, not what was registered, of a newer format, or of a kind that
            is no longer searched.
    """
    return KlDescription.from_dict(read_index_json(folder, FORMAT_VERSION, registered))


def check_registered(folder: Path, registered: Mapping[str, Any]) -> None:
    """Compare what the metadata say of an index with the form it must have, and with what its folder says.

    Args:
        folder: Of the index; it may be gone.
        registered: What the store's metadata say of it.

    Raises:
        IndexBuildError: one of them is damaged, or the index is of a kind that is no longer searched.
    """
    KlDescription.from_dict(registered)
    if folder.exists():
        read_index_json(folder, FORMAT_VERSION, registered)


def retired_note(name: str, data: Mapping[str, Any]) -> str | None:
    """Says that an index that an older program built is no longer searched; None where it is.

    Args:
        name: Of the index.
        data: What its `index.json` says.

    Raises:
        IndexBuildError: it is damaged.
    """
    try:
        kind, parameters = data["recipe"]["kind"], data["recipe"]["parameters"]
        if kind in KINDS and not (kind == "projected" and parameters.get("prove")):
            return None
    except (AttributeError, KeyError, TypeError) as error:
        raise _damaged(error, name) from error
    return (
        f"the index {name!r} is not used: its kind was no quicker than the exact search, which answers "
        "without --recipe; for a quicker index run olrsearch index build --recipe kl-projected"
    )


def _damaged(error: Exception, name: str = "") -> IndexBuildError:
    of = f"the index {name!r}" if name else "an index for KL"
    return IndexBuildError(f"the description of {of} is damaged ({error!r}): run index build again")
