"""`olrsearch bench audit`: whether audits find errors that were put into labels."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from olrsearch.apps.cli.common import examples, open_to_measure
from olrsearch.apps.cli.everywhere import interruptible
from olrsearch.apps.cli.options import json_option, names, report_option, space_option
from olrsearch.apps.cli.reports import render

_NOISES = ("n1-1", "n1-5", "n1-10", "n2", "n3")


def _numbers(ctx: click.Context, parameter: click.Parameter, text: str) -> tuple[int, ...]:
    """Seeds such as `0,1,2`."""
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError:
        raise click.BadParameter(
            f"{text!r} is no list of whole numbers, such as 0,1,2", ctx, parameter
        ) from None


@click.command(
    "audit", epilog=examples("olrsearch bench audit --noise n1-5 --seeds 0 --cache p4-cache --out p4")
)
@click.option(
    "--noise",
    "noises",
    type=click.Choice(_NOISES),
    multiple=True,
    help="Errors that are put in: n1-1, n1-5 and n1-10 per cent alike, n2 mostly into positives, n3 where "
    "another encoder is unsure. May be given several times; all by default.",
)
@click.option(
    "--seeds", default="0,1,2", show_default=True, callback=_numbers, help="Of the noise, comma-separated."
)
@click.option(
    "--scorers", callback=names, help="What to ask, comma-separated; all that can be asked by default."
)
@click.option(
    "--views",
    type=click.Choice(["pictures", "space"]),
    default="pictures",
    show_default=True,
    help="How images look: to a frozen trunk that met no label, with heads trained for every fold; or to the "
    "encoder of the space, which may know the labels.",
)
@click.option(
    "--hard",
    metavar="SPACE",
    help="The space of another encoder, which says what is hard for n3 with --views space.",
)
@click.option(
    "--cache",
    type=click.Path(path_type=Path, file_okay=False),
    help="Keep evidence in this folder: an interrupted run goes on from there.",
)
@space_option("of label embeddings")
@report_option
@json_option("One JSON object a figure.")
@click.pass_context
def audit(
    ctx: click.Context, /, noises: tuple[str, ...], out: Path | None, as_json: bool, **options: Any
) -> None:
    """P4: errors put into the stored labels, and how well they are found again.

    For each kind of noise and each seed every scorer is asked, and all evidence together stands against each
    scorer alone, against cleanlab and other baselines, and against itself without each scorer. Takes minutes
    for each of them: name a --cache. With --json, one object a line and figure: metric, value, target,
    passed, unit, seed.
    """
    if options["cache"] is not None:
        interruptible(ctx)
    with open_to_measure(ctx) as store:
        report = store.bench.audit(noises=noises or _NOISES, **options)
    render(report, out, as_json=as_json, lines=report.lines())
