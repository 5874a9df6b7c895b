"""`olrsearch describe`: predict the labels of images, or their words."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from olrsearch import WordEstimate
from olrsearch.apps.cli import completion
from olrsearch.apps.cli.columns import left, width
from olrsearch.apps.cli.common import examples, open_store, say_notes, show
from olrsearch.apps.cli.options import POSITIVE, json_option, meanings_option, space_option

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from olrsearch import Description, LabelEstimate

_STORED = {None: "", -1: "stored: absent", 0: "stored: unknown", 1: "stored: present"}

_NORM = "a line is a label, its probability, and its norm: the length of its vector, how much of it is seen"
_RATIO = (
    "a line is a word, its probability, and its ratio: how much likelier than the mean word, or than without "
    "the word where that was learned, in nats"
)


@click.command(
    "describe",
    epilog=examples(
        "olrsearch describe 000001.jpg holiday.jpg", "olrsearch describe 000001.jpg --words --open sunglasses"
    ),
)
@click.argument("images", nargs=-1, required=True, shell_complete=completion.images(files=True))
@click.option("--words", "by_words", is_flag=True, help="By words of the posterior, instead of labels.")
@click.option(
    "--open",
    "others",
    multiple=True,
    metavar="WORD",
    help="With --words: also this word, taken for a label or its absence (repeatable).",
)
@meanings_option
@click.option("-k", "--count", type=POSITIVE, default=10, show_default=True, help="Labels or words shown.")
@space_option("of its layout by default")
@json_option("One JSON object an image, with all labels or words.")
@click.pass_context
def describe_command(
    ctx: click.Context,
    images: tuple[str, ...],
    by_words: bool,
    others: tuple[str, ...],
    meanings: str | None,
    count: int,
    space: str | None,
    as_json: bool,
) -> None:
    """Predict the labels of IMAGES: keys, id:N, or image files that need not be in the store.

    With --words, the encoder's words that are likeliest of them.
    """
    if not by_words and (others or meanings is not None):
        raise click.UsageError("--open and --meanings are of words: add --words")
    found: list[Description[LabelEstimate]] | list[Description[WordEstimate]]
    with open_store(ctx, read_only=True) as store:
        if by_words:
            found = store.describe_words(images, others=others, meanings=meanings, space=space)
        else:
            found = store.describe(images, space=space)
        say_notes(store.encoders.advice(space))
    if not as_json:
        say_notes([_RATIO if by_words else _NORM])
    show([one.to_dict() for one in found], _lines(found, count), as_json=as_json)


def _lines(
    found: Iterable[Description[LabelEstimate] | Description[WordEstimate]], count: int
) -> Iterator[str]:
    for description in found:
        yield description.image
        rows = _rows(description, count)
        columns = max(width(name) for name, _ in rows)
        for name, said in rows:
            yield f"  {left(name, columns)}  {said}".rstrip()
        yield from (f"  {note}" for note in description.notes)


def _rows(
    description: Description[LabelEstimate] | Description[WordEstimate], count: int
) -> list[tuple[str, str]]:
    """Names and what is said of them: the first so many, and every word that was asked for."""
    rows, own = [], 0
    for item in description.estimates:
        if isinstance(item, WordEstimate):
            name, figure, is_own = item.word, f"ratio {item.ratio:>+z9.2f}", item.own
            if item.understood is not None:
                name = f"{item.word} ({item.understood.taken_for})"
        else:
            name, figure, is_own = item.label, f"norm {item.norm:.3f}", True
        if own < count or not is_own:
            chance = "    –" if item.probability is None else f"{item.probability:.3f}"
            rows.append((name, f"{chance}  {figure}  {_STORED[item.stored]}"))
        own += is_own
    return rows
