"""`olrsearch words`: find images by a set of words."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from olrsearch.apps.cli import completion
from olrsearch.apps.cli.common import examples, open_store
from olrsearch.apps.cli.options import meanings_option
from olrsearch.apps.cli.search import ranking_options, render

if TYPE_CHECKING:
    from pathlib import Path

DIRECTIONS = ("query-to-image", "image-to-query", "jeffreys")


@click.command(
    "words",
    epilog=examples(
        "olrsearch words beard eyeglasses '!male' -k 10",
        "olrsearch words woman 'without glasses'",
        "olrsearch words 'blonde hair^2' smiling --mode match --sheet answer.html",
    ),
)
@click.argument("words", nargs=-1, required=True, shell_complete=completion.words())
@click.option(
    "--mode",
    type=click.Choice(["contains", "match", "likelihood"]),
    default="contains",
    show_default=True,
    help="contains: how likely every word is, added up. match: how far the set's prior is from the whole "
    "posterior, in nats. likelihood: how dense the prior is at the image's mean, in nats.",
)
@click.option(
    "--direction", type=click.Choice(DIRECTIONS), help="Of the divergence, for match; query-to-image."
)
@click.option(
    "--shrinkage", type=float, help="λ of the prior, for match and likelihood; the encoder's by default."
)
@click.option("--farthest", is_flag=True, help="The farthest images instead, for match.")
@click.option("--recipe", help="Use the index built by this KL recipe, for match.")
@click.option("--attributes", metavar="QUERY", help="Also an attribute query, as search takes it.")
@click.option(
    "--attributes-mode",
    type=click.Choice(["filter", "rank"]),
    default="filter",
    show_default=True,
    help="filter: only images of which it holds (p ≥ 0.5). rank: both rankings fused.",
)
@click.option(
    "--vectors",
    is_flag=True,
    help="Take words that are no labels by their own vectors, not for labels: for encoders trained on word "
    "vectors.",
)
@meanings_option
@ranking_options
@click.pass_context
def words_command(
    ctx: click.Context, /, words: tuple[str, ...], sheets: tuple[Path, ...], as_json: bool, **options: Any
) -> None:
    """Find images by WORDS: beard eyeglasses '!male' 'blonde hair^2'.

    Every argument is a word or a phrase: ! asks for its absence, ^ weighs it. A word is a label of the
    encoder, or is taken for one, or for the absence of one, and the answer says for which: woman for !Male,
    'without glasses' for !Eyeglasses. What is not understood surely enough is refused.
    """
    with open_store(ctx, read_only=True) as store:
        render(store, store.words(words, **options), sheets, as_json=as_json)
