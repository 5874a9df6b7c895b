"""`olrsearch bench words`: whether words are understood."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from olrsearch.apps.cli.bench import shared_options
from olrsearch.apps.cli.common import examples, open_to_measure
from olrsearch.apps.cli.reports import render

if TYPE_CHECKING:
    from pathlib import Path


@click.command("words", epilog=examples("olrsearch bench words --out words"))
@shared_options
@click.pass_context
def words_command(ctx: click.Context, space: str | None, seed: int, out: Path | None, as_json: bool) -> None:
    """P5: 200 words and phrases that people may type, what each is taken for, and what is refused.

    On a store of CelebA with posteriors. Every way that is installed is measured: the table of meanings
    alone, with GloVe, with the sentence encoder; as it ships, and held out: with a table that lacks every
    listed word.
    """
    from olrsearch_benchmarks.on_a_store import posterior_data
    from olrsearch_benchmarks.words.understanding import run_words

    with open_to_measure(ctx) as store:
        report = run_words(posterior_data(store, space=space), seed=seed)
    render(report, out, as_json=as_json)
