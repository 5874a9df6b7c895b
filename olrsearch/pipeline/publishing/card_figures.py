"""What reports of the benchmarks say, as the figures of a model card."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from olrsearch.core.errors import BenchmarkError
from olrsearch.encoders.folder.card import GroupFigures, LabelFigures, Measured, QueryFigures

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from olrsearch.store.values import SpaceInfo


def read_reports(paths: Iterable[Path], info: SpaceInfo) -> dict[str, dict[str, Any]]:
    """Reports of P1 and P2 by protocol.

    Args:
        paths: JSON files, as `olrsearch bench … --out` writes them.
        info: The space they must be of, told by its labels and its numbers.

    Raises:
        BenchmarkError: a file is no report of P1 or P2, comes second, or is of something else.
    """
    found: dict[str, dict[str, Any]] = {}
    shape = len(info.labels), info.k
    for path in paths:
        try:
            report = json.loads(path.read_text(encoding="utf-8"))
            protocol, data = report["protocol"], report["data"]
            of = data["labels"], data["dimensions"]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise BenchmarkError(
                f"{path} is no report ({error!r}): give the .json of olrsearch bench attributes --out"
            ) from None
        if protocol not in {"P1", "P2"} or protocol in found:
            again = "another" if protocol in found else "a"
            raise BenchmarkError(
                f"{path} is {again} report of {protocol}: a card takes one of P1 and one of P2"
            )
        names = list(info.labels)
        if of != shape or report["results"].get("label_names", names) != names:
            raise BenchmarkError(
                f"{path} is of {of[0]} labels × {of[1]} numbers, or of labels by other names; "
                f"{info.name} has {shape[0]} × {shape[1]}: measure it with olrsearch bench"
            )
        if protocol == "P1" and "support" not in report["results"]:
            raise BenchmarkError(
                f"{path} does not say how many images stand behind each figure: an older olrsearch wrote it, "
                "run olrsearch bench attributes --out again"
            )
        found[protocol] = report
    return found


def measured(report: Mapping[str, Any]) -> Measured:
    """A card's figures from a report of P1, of labels or of words; its keys are those of `bench.report`."""
    results = report["results"]
    methods = {"all": results["methods"], **results["groups"]}
    return Measured(
        data=str(report["data"]["name"]),
        command=str(report["command"]),
        seed=int(report["seed"]),
        groups=tuple(
            _group(group, results["label_names"], found["encoder"], results["support"][group])
            for group, found in methods.items()
        ),
    )


def _group(
    group: str, names: Sequence[str], scores: Mapping[str, Any], support: Mapping[str, Any]
) -> GroupFigures:
    return GroupFigures(
        group=group,
        images=int(support["images"]),
        map=scores["map"],
        accuracy=scores["accuracy"],
        balanced_accuracy=scores["balanced_accuracy"],
        labels=tuple(
            LabelFigures(
                label=name,
                positives=int(support["positives"][row]),
                negatives=int(support["negatives"][row]),
                ap=scores["label_ap"][row],
                accuracy=scores["label_accuracy"][row],
                balanced_accuracy=scores["label_balanced_accuracy"][row],
            )
            for row, name in enumerate(names)
        ),
    )


def queries(report: Mapping[str, Any]) -> tuple[QueryFigures, ...]:
    """A card's figures of attribute queries from a report of P2."""
    results = report["results"]
    return tuple(
        QueryFigures(kind, int(results["counts"][kind]), methods["ours"]["ap"], methods["ours"]["p20"])
        for kind, methods in results["scores"].items()
    )
