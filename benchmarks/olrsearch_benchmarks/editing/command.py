"""`olrsearch bench papers editing`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from olrsearch.apps.cli.bench import shared_options
from olrsearch.apps.cli.common import examples, open_store, say
from olrsearch.apps.cli.options import PATH, POSITIVE
from olrsearch.apps.cli.reports import render

if TYPE_CHECKING:
    from pathlib import Path


@click.command("editing", epilog=examples("olrsearch bench papers editing --cache editing --out p5-editing"))
@click.option("--cache", type=PATH, help="A folder that keeps pixels and the judge for another run.")
@click.option("--epochs", type=POSITIVE, default=6, show_default=True, help="Of the judge's training.")
@click.option("--images", type=POSITIVE, default=40, show_default=True, help="Images a label and side.")
@shared_options
@click.pass_context
def editing(
    ctx: click.Context,
    cache: Path | None,
    epochs: int,
    images: int,
    space: str | None,
    seed: int,
    out: Path | None,
    as_json: bool,
) -> None:
    """P5: edited pictures, read by a judge of their own, and edited embeddings as queries.

    Pictures need a decoder of the space (olrsearch train decoder). With --json, one object a figure. Takes
    half an hour, most of it for the judge.
    """
    from olrsearch_benchmarks.editing.on_a_store import run_editing

    with open_store(ctx, read_only=True) as store:
        report = run_editing(
            store, cache=cache, epochs=epochs, images=images, seed=seed, space=space, say=say
        )
    render(report, out, as_json=as_json, lines=report.lines())
