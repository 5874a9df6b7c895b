"""What is built beside the segments of a space, so that queries answer faster."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from olrsearch.api.arguments import checked_verbs

if TYPE_CHECKING:
    from olrsearch.api.session import Session
    from olrsearch.maths.metric import Metric


@checked_verbs
class Indexes:
    """Indexes of a store: `Store.indexes`. Queries work without any: they then scan the segments.

    A space is named by name or fingerprint. When None it is the newest of label embeddings, and in a store
    without any the newest of posteriors; for a KL recipe it is the newest of posteriors.
    """

    def __init__(self, session: Session) -> None:
        self._session = session

    def build(self, recipe: str = "exact", *, space: str | None = None) -> list[str]:
        """Build label scores and what a recipe adds; returns what was built, a line each.

        Of posteriors, build the KL features of both directions and the word scores, or the index of a KL
        recipe.

        Args:
            recipe: Its name, or a file; posteriors know `exact` and those that begin with `kl-`.
            space: See the class.
        """
        from olrsearch.pipeline.indexing import build_index

        return build_index(self._session.backend, recipe, space, track=self._session.track)

    def estimate(self, recipe: str = "exact", *, space: str | None = None) -> tuple[int, int]:
        """Bytes that what `build` builds takes in memory and on disk, and on a GPU, roughly."""
        from olrsearch.pipeline.indexing import estimate_index

        return estimate_index(self._session.backend, recipe, space)

    def info(self, *, space: str | None = None) -> dict[str, Any]:
        """What is built for a space: recipe, sizes, measured recall; of posteriors, what is kept."""
        from olrsearch.search.spaces.registry import kind_of, space_of

        info = space_of(self._session.snapshot(), space)
        kind = kind_of(info)
        unused = kind.unused(info)
        built = {name: index for name, index in info.indexes.items() if name not in unused}
        return {"space": info.name, "scan": kind.kept(info), "indexes": built, "notes": [*unused.values()]}

    def metric(self, *, space: str | None = None) -> Metric:
        """The metric that the label indexes of a space compare by."""
        return self._session.space(space).metric
