"""`olrsearch encode` and `olrsearch calibrate`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from olrsearch.apps.cli import completion
from olrsearch.apps.cli.common import examples, open_store, say, say_notes
from olrsearch.apps.cli.everywhere import interruptible
from olrsearch.apps.cli.options import POSITIVE, conditions_option, on_error_option, space_option

if TYPE_CHECKING:
    from olrsearch import OnError, Store


@click.command("encode", epilog=examples("olrsearch encode", "olrsearch encode --encoder faces-words"))
@click.option(
    "--encoder",
    shell_complete=completion.encoders(),
    help="Name or fingerprint of a space, a shipped encoder, or a model folder; by default the newest "
    "space's, else the shipped face encoder.",
)
@click.option("--batch-size", type=POSITIVE, default=256, show_default=True, help="Images at once.")
@on_error_option
@click.pass_context
def encode_command(ctx: click.Context, encoder: str | None, batch_size: int, on_error: OnError) -> None:
    """Encode images that have no embedding yet; calibrates a new space when it can."""
    interruptible(ctx)
    with open_store(ctx) as store:
        _announce(store, encoder)
        report = store.encode(encoder, batch_size=batch_size, on_error=on_error)
    say(
        f"{report.space}: {report.encoded:,} encoded, {report.present:,} had embeddings, "
        f"{len(report.failed):,} unreadable"
    )
    for failure in report.failed[:10]:
        say(f"unreadable: {failure.key}: {failure.reason}")
    say_notes(report.notes)


def _announce(store: Store, encoder: str | None) -> None:
    """Say which encoder is taken where nobody chose one: its terms are the user's to keep."""
    if encoder is not None or not store.info()["images"]:
        return
    chosen = store.encoders.default()
    if chosen is not None and chosen.source == "shipped":
        say(
            f"no encoder here yet: using {chosen.name}, which comes with olrsearch, {chosen.notice} "
            f"(olrsearch encoders info {chosen.name} --card)"
        )


@click.command("calibrate", epilog=examples("olrsearch calibrate --where \"partition = 'val'\""))
@space_option("of label embeddings by default, else of posteriors")
@conditions_option("Fit on the labelled images this selects; the selection images by default.")
@click.pass_context
def calibrate_command(ctx: click.Context, space: str | None, where: str | None) -> None:
    """Fit probabilities to stored labels, and the metric of label indexes."""
    with open_store(ctx) as store:
        report = store.encoders.calibrate(space, where=where)
    for line in report.lines():
        say(line)
