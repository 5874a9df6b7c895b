"""`olrsearch audit decide`, `history` and `export`: decisions on labels, and what they come to."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import click

from olrsearch.api.labels import VALUE_NAMES
from olrsearch.apps.cli import completion
from olrsearch.apps.cli.common import examples, open_store, show
from olrsearch.apps.cli.common import images as images_said
from olrsearch.apps.cli.options import PATH, conditions_option, json_option, who_option
from olrsearch.core.counted import counted
from olrsearch.core.label_values import as_json

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from olrsearch import Decided, Decision, LabelExport, Verdict

_DONE = {"accept": "accepted", "flip": "flipped", "unsure": "left unsure", "undo": "taken back"}


@click.command(
    "decide",
    epilog=examples(
        "olrsearch audit decide 000001.jpg Eyeglasses flip --why 'none to be seen'",
        "olrsearch audit decide --from review.csv",
    ),
)
@click.argument("image", required=False, shell_complete=completion.images())
@click.argument("label", required=False, shell_complete=completion.labels())
@click.argument("verdict", type=click.Choice(["accept", "flip", "unsure"]), required=False)
@click.option(
    "--from",
    "file",
    type=PATH,
    help="Decide what a file says instead: CSV with the columns image, label and decision (accept, flip, "
    "unsure, undo, or the value itself: present, absent, unknown), perhaps given, why, who and run; or JSON "
    "lines, as `audit export --decisions` writes them. All of it is taken, or nothing.",
)
@click.option("--undo", "take_back", is_flag=True, help="Take the latest decision on IMAGE and LABEL back.")
@click.option("--why", default="", help="The reason, kept beside the decision.")
@who_option("Who decides.")
@click.option("--run", shell_complete=completion.audits(), help="The audit run that led to it.")
@json_option("What was written as one JSON object.")
@click.pass_context
def decide(
    ctx: click.Context,
    image: str | None,
    label: str | None,
    verdict: Verdict | None,
    file: Path | None,
    take_back: bool,
    why: str,
    who: str,
    run: str | None,
    as_json: bool,
) -> None:
    """Decide on the stored label of an image: accept it, flip it, or leave it unsure.

    IMAGE LABEL accept|flip|unsure decides one, --undo IMAGE LABEL takes the latest decision back, --from FILE
    decides many. The annotation and all earlier decisions are kept (`audit history`).
    """
    if file is not None:
        if image is not None or take_back or why:
            raise click.UsageError("--from takes everything from the file: leave IMAGE, --undo and --why out")
        with open_store(ctx) as store:
            written = store.labels.decide_file(file, who=who, run=run)
        show([written.to_dict()], _decided_lines(written), as_json=as_json, err=True)
        return
    if image is None or label is None or (verdict is None) != take_back:
        raise click.UsageError("expected IMAGE LABEL accept|flip|unsure, --undo IMAGE LABEL, or --from FILE")
    from olrsearch import DecisionRequest

    with open_store(ctx) as store:
        request = DecisionRequest(image, label, verdict or "undo", why=why)
        written = store.labels.decide([request], who=who, run=run)
        (latest,) = store.labels.history(image, label)[-1:]
    held = "the annotation is in force" if latest.value is None else f"is {VALUE_NAMES[latest.value]}"
    line = f"{latest.key}: {latest.label}: {_DONE.get(latest.verdict, latest.verdict)}; {held}"
    show([written.to_dict()], [line], as_json=as_json, err=True)


def _decided_lines(written: Decided) -> Iterator[str]:
    parts = ", ".join(f"{count:,} {verdict}" for verdict, count in sorted(written.verdicts.items()))
    yield f"{written.decisions:,} decisions: {parts}"
    if written.undecided:
        yield f"note: {written.undecided:,} lines say no decision and were left out"


@click.command("history", epilog=examples("olrsearch audit history --label Eyeglasses"))
@click.argument("image", required=False, shell_complete=completion.images())
@click.option(
    "--label", multiple=True, shell_complete=completion.labels(), help="Of this label only (repeatable)."
)
@json_option("One JSON object a decision.")
@click.pass_context
def history(ctx: click.Context, image: str | None, label: tuple[str, ...], as_json: bool) -> None:
    """List the decisions on labels, oldest first: of IMAGE, or of all images."""
    with open_store(ctx, read_only=True) as store:
        rows = store.labels.history(image, label)
    nothing = "nothing of this was decided yet"
    show([_to_dict(row) for row in rows], _history_lines(rows), as_json=as_json, nothing=nothing)


def _history_lines(rows: Iterable[Decision]) -> Iterator[str]:
    for row in rows:
        change = f"{_value_name(row.given)} > {_value_name(row.value)}"
        said = f"{row.when:%Y-%m-%d %H:%M}  {row.key}  {row.label}  {row.verdict:<6}  {change:<18}  {row.who}"
        seen = f"  (of other bytes: sha256 {row.sha256[:12]}…)" if row.replaced else ""
        yield f"{said}  {row.why}".rstrip() + seen


def _value_name(value: int | None) -> str:
    """A label's value in words; `-` where none is meant: the annotation is in force."""
    return "-" if value is None else VALUE_NAMES[value]


def _to_dict(row: Decision) -> dict[str, Any]:
    """A row of the history, JSON-ready, as `audit decide --from` reads it too."""
    found: dict[str, Any] = as_json(row)
    return found


@click.command("export", epilog=examples("olrsearch audit export labels.csv --where \"partition = 'train'\""))
@click.argument("out", type=PATH)
@click.option(
    "--form",
    type=click.Choice(["txt", "csv", "json"]),
    help="txt: CelebA's list_attr_celeba.txt; csv; json: JSON lines. By the name of OUT when left out.",
)
@click.option("--dataset", shell_complete=completion.datasets(), help="Of this data set only.")
@conditions_option("Of these images only: \"partition = 'train' and Smiling = present\".")
@click.option("--decisions", "history_only", is_flag=True, help="Write the history of decisions instead.")
@click.option("--replace", is_flag=True, help="Write over OUT if it is there.")
@json_option("What was written as one JSON object.")
@click.pass_context
def export(
    ctx: click.Context, /, out: Path, history_only: bool, replace: bool, as_json: bool, **options: Any
) -> None:
    """Write stored labels with all decisions applied to OUT, to train on elsewhere or to import again.

    Imports take the file in place of the original labels: `import folder IMAGES --labels OUT`,
    `import celeba PATH --annotations OUT`. With --decisions OUT holds the decisions themselves, as JSON
    lines, for `audit decide --from OUT` in a store of the original labels.
    """
    with open_store(ctx, read_only=True) as store:
        if history_only:
            if any(value is not None for value in options.values()):
                raise click.UsageError(
                    "--decisions writes the whole history: leave --form, --dataset and --where out"
                )
            count = store.labels.export_history(out, replace=replace)
            nothing = dict.fromkeys(("images", "labels", "changed", "unlabelled"))
            told = {"path": str(out), "form": "decisions", **nothing, "decisions": count}
            lines = iter([f"{count:,} decisions in {out}"])
        else:
            written = store.labels.export(out, replace=replace, **options)
            told, lines = {**dataclasses.asdict(written), "decisions": None}, _export_lines(written)
    show([told], lines, as_json=as_json, err=True)


def _export_lines(written: LabelExport) -> Iterator[str]:
    yield (
        f"{counted(written.labels, 'label')} of {images_said(written.images)} in {written.path}; "
        f"{counted(written.changed, 'value differs', 'values differ')} from what was annotated"
    )
    if written.unlabelled:
        yield f"note: {images_said(written.unlabelled)} without stored labels left out"
