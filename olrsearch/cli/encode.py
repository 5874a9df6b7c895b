"""`olrsearch encode` and `olrsearch calibrate`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from olrsearch.cli.common import open_store, say

if TYPE_CHECKING:
    from olrsearch.ingest import OnError


@click.command("encode")
@click.option("--encoder", help="Name or fingerprint of a space, or a model folder; the newest by default.")
@click.option(
    "--batch-size", type=click.IntRange(min=1), default=256, show_default=True, help="Images at once."
)
@click.option(
    "--on-error",
    type=click.Choice(["skip", "fail"]),
    default="skip",
    show_default=True,
    help="Unreadable images: count and skip them, or stop at the first.",
)
@click.pass_context
def encode_command(ctx: click.Context, encoder: str | None, batch_size: int, on_error: OnError) -> None:
    """Encode images that have no embedding yet; calibrates a new space when it can."""
    with open_store(ctx) as store:
        report = store.encode(encoder, batch_size=batch_size, on_error=on_error)
    say(
        f"{report.space}: {report.encoded:,} encoded, {report.present:,} had embeddings, "
        f"{len(report.failed):,} unreadable"
    )
    for failure in report.failed[:10]:
        say(f"unreadable: {failure.key}: {failure.reason}")
    for note in report.notes:
        say(f"note: {note}")


@click.command("calibrate")
@click.option("--space", help="Name or fingerprint; the newest by default.")
@click.option("--where", help="Fit on the labelled images this selects; the selection images by default.")
@click.pass_context
def calibrate_command(ctx: click.Context, space: str | None, where: str | None) -> None:
    """Fit probabilities and the label indexes' metric to stored labels."""
    with open_store(ctx) as store:
        report = store.calibrate(space, where=where)
    for line in report.lines():
        say(line)
