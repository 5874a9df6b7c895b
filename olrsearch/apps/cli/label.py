"""`olrsearch label …`: list labels and correct stored values."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from olrsearch.apps.cli import completion
from olrsearch.apps.cli.columns import table
from olrsearch.apps.cli.common import Group, examples, open_store, say, show
from olrsearch.apps.cli.common import images as images_said
from olrsearch.apps.cli.options import json_option, who_option

if TYPE_CHECKING:
    from collections.abc import Iterator


@click.group("label", cls=Group)
def label_command() -> None:
    """List labels and correct stored values."""


@label_command.command("list", epilog=examples("olrsearch label list"))
@json_option("One JSON object a label.")
@click.pass_context
def list_labels(ctx: click.Context, as_json: bool) -> None:
    """The labels of the store, with how often each is present, absent and unknown."""
    with open_store(ctx, read_only=True) as store:
        rows = store.labels.counts()
    nothing = "no label is stored: olrsearch import folder IMAGES --labels labels.csv brings some"
    show(rows, _lines(rows), as_json=as_json, nothing=nothing)


def _lines(rows: list[dict[str, Any]]) -> Iterator[str]:
    if rows:
        counts = ("present", "absent", "unknown")
        cells = [(row["label"], *(f"{row[name]:,}" for name in counts)) for row in rows]
        yield from table(("label", *counts), cells, align="lrrr")


@label_command.command(
    "set", epilog=examples("olrsearch label set Smiling absent 000001.jpg --why 'the mouth is closed'")
)
@click.argument("label", shell_complete=completion.labels())
@click.argument("value", type=click.Choice(["present", "absent", "unknown"]))
@click.argument("images", nargs=-1, required=True, shell_complete=completion.images())
@click.option("--why", default="", help="The reason, kept beside the correction.")
@who_option("Who says so.")
@click.pass_context
def set_label(
    ctx: click.Context, label: str, value: str, images: tuple[str, ...], why: str, who: str
) -> None:
    """Correct a stored label of IMAGES; the original annotation is kept."""
    with open_store(ctx) as store:
        count = store.labels.set(images, label, value, who=who, why=why)
    say(f"{label} is now {value} for {images_said(count)}")
