"""`olrsearch bench papers atnl` and `olrsearch bench papers label-shots`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from olrsearch.apps.cli.bench import shared_options
from olrsearch.apps.cli.common import examples, open_to_measure, say
from olrsearch.apps.cli.options import PATH, POSITIVE, json_option, pairs, report_option
from olrsearch.apps.cli.reports import render

if TYPE_CHECKING:
    from pathlib import Path


@click.command("atnl", epilog=examples("olrsearch bench papers atnl --data ../shared/mnist --folder p5-atnl"))
@click.option("--data", type=PATH, required=True, help="The folder of MNIST's four idx files.")
@click.option("--folder", type=PATH, required=True, help="Keeps what is trained; a run that was cut goes on.")
@click.option(
    "--seeds", type=POSITIVE, default=3, show_default=True, help="Of ATNL and VAE-TL; the others have one."
)
@click.option(
    "--set",
    "settings",
    multiple=True,
    metavar="KEY=VALUE",
    callback=pairs,
    help="Change a setting of every encoder, e.g. --set epochs=3.",
)
@report_option
@json_option("One object a figure: metric, value, target, passed, unit, seed, paper.")
def atnl(
    data: Path, folder: Path, seeds: int, settings: dict[str, str], out: Path | None, *, as_json: bool
) -> None:
    """P5: tables 1 and 2 of ATNL on MNIST, with AE, VAE, AAE, ACAI and VAE-TL on the same networks.

    Trains twelve small encoders where they are not there yet, which takes most of an hour on one core.
    """
    from olrsearch_benchmarks.papers.atnl.digits import open_digits
    from olrsearch_benchmarks.papers.atnl.run import run_atnl_paper

    told = "".join(f" --set {key}={value}" for key, value in settings.items())
    report = run_atnl_paper(
        open_digits(data),
        folder,
        seeds=seeds,
        settings=settings,
        say=say,
        command=f"olrsearch bench papers atnl --data DATA --folder FOLDER --seeds {seeds}{told}",
    )
    render(report, out, as_json=as_json, lines=report.lines())


@click.command("label-shots", epilog=examples("olrsearch bench papers label-shots --draws 5"))
@click.option("--draws", type=POSITIVE, default=5, show_default=True, help="Draws of examples.")
@shared_options
@click.pass_context
def label_shots(
    ctx: click.Context, draws: int, space: str | None, seed: int, out: Path | None, *, as_json: bool
) -> None:
    """P5: 5, 10 and 20 examples of each label, with and without embeddings made between them."""
    from olrsearch_benchmarks.papers.atnl.label_report import run_label_shots

    with open_to_measure(ctx) as store:
        report = run_label_shots(store.bench.data(space=space), draws=draws, seed=seed)
    render(report, out, as_json=as_json)
