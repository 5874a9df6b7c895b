"""How good the answers of a store are, by the published protocols P1 to P4."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from olrsearch.api.arguments import checked_verbs
from olrsearch.store.vectors.layout import LABELS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from olrsearch.api.session import Session
    from olrsearch.audit.benchmark.report import AuditBenchReport
    from olrsearch.evaluation.attributes import AttributesReport
    from olrsearch.evaluation.data import BenchData
    from olrsearch.evaluation.describing import DescribingReport
    from olrsearch.evaluation.queries import QueriesReport
    from olrsearch.evaluation.query_set import QuerySet
    from olrsearch.evaluation.similar import SimilarReport


@checked_verbs
class Bench:
    """The protocols of a store: `Store.bench`. Figures are of the val and test partitions.

    A space is named by name or fingerprint; when None it is the newest of label embeddings.
    """

    def __init__(self, session: Session) -> None:
        self._session = session

    def data(self, *, space: str | None = None, name: str | None = None) -> BenchData:
        """The arrays that the protocols measure.

        Args:
            space: See the class.
            name: What reports call the data; the data sets' names when None.

        Raises:
            BenchmarkError: there is nothing to measure on, or against.
        """
        from olrsearch.pipeline.measuring import bench_data

        return bench_data(self._session.backend, self._session.space(space), name=name)

    def attributes(self, *, space: str | None = None, seed: int = 0) -> AttributesReport | DescribingReport:
        """P1 of a space: what its label embeddings, or its posteriors, know of each label.

        Args:
            space: See the class; in a store without label embeddings the newest of posteriors.
            seed: Of everything random.

        Raises:
            BenchmarkError: there is nothing to measure on, or against.
            EmptyStoreError: nothing is encoded.
        """
        from olrsearch.evaluation.attributes import run_attributes
        from olrsearch.pipeline.measuring import describing_report
        from olrsearch.search.spaces.registry import space_of

        info = space_of(self._session.living(), space)
        if info.layout != LABELS:
            opened = self._session.posteriors(info.fingerprint)
            return describing_report(self._session.backend, opened, seed=seed)
        return run_attributes(self.data(space=space), seed=seed)

    def queries(
        self,
        *,
        queries: Path | str | None = None,
        write: Path | str | None = None,
        svm: bool = True,
        space: str | None = None,
        seed: int = 0,
    ) -> QueriesReport:
        """P2: attribute-set queries, against the teacher, an SVM and chance.

        Args:
            queries: A published query file; drawn from the gallery when None.
            write: Write the queries that were asked to this file.
            svm: Also train an SVM for every query, the strongest baseline and the one that takes time.
            space: See the class.
            seed: Of everything random.
        """
        from olrsearch.evaluation.queries import SVM_STRENGTHS, run_queries
        from olrsearch.evaluation.query_set import generate_queries, write_queries

        data = self.data(space=space)
        asked = _read(queries)
        if asked is None:
            asked = generate_queries(data, seed=seed)
        if write is not None:
            write_queries(Path(write), asked)
        return run_queries(data, queries=asked, seed=seed, svm_strengths=SVM_STRENGTHS if svm else ())

    def similar(
        self, *, queries: Path | str | None = None, space: str | None = None, seed: int = 0
    ) -> SimilarReport:
        """P3: similar images overall and by exemplar, triplets, and what of identity shows.

        Args:
            queries: A published query file; drawn from the gallery when None.
            space: See the class.
            seed: Of everything random.
        """
        from olrsearch.evaluation.similar import run_similar

        asked, metric = _read(queries), self._session.space(space).metric
        return run_similar(self.data(space=space), metric=metric, queries=asked, seed=seed)

    def audit(
        self,
        *,
        space: str | None = None,
        views: Literal["pictures", "space"] = "pictures",
        hard: str | None = None,
        scorers: Sequence[str] | None = None,
        noises: Sequence[str],
        seeds: Sequence[int],
        cache: Path | None = None,
    ) -> AuditBenchReport:
        """P4: how well audits find errors that are put into the stored labels.

        Args:
            space: See the class.
            views: How images look to what is measured: `pictures`, a frozen trunk that met no label and heads
                for every fold; `space`, the embeddings of the space, whose encoder may know the labels.
            hard: The space of another encoder, for N3 in the embeddings of a space; left out without.
            scorers: Names; all that can be asked when None.
            noises: Keys of `olrsearch.audit.benchmark.cases.NOISES`.
            seeds: Of the noise.
            cache: A folder that keeps evidence, so that an interrupted run goes on.

        Raises:
            AuditError: no label is stored for these images, too few people for folds, or an unknown scorer.
            BenchmarkError: a noise, seed or other space that cannot be used.
            EmptyStoreError: nothing is encoded.
        """
        from olrsearch.audit.benchmark.on_a_store import audit_report

        return audit_report(
            self._session.backend,
            self._session.space(space),
            views=views,
            hard=None if hard is None else self._session.space(hard),
            scorers=scorers,
            noises=noises,
            seeds=seeds,
            cache=cache,
            track=self._session.track,
        )


def _read(queries: Path | str | None) -> QuerySet | None:
    from olrsearch.evaluation.query_set import read_queries

    return None if queries is None else read_queries(Path(queries))
