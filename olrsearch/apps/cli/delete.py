"""`olrsearch delete`."""

from __future__ import annotations

import click

from olrsearch.apps.cli import completion
from olrsearch.apps.cli.common import examples, open_store, say
from olrsearch.apps.cli.common import images as images_said
from olrsearch.apps.cli.options import conditions_option


@click.command(
    "delete",
    epilog=examples(
        "olrsearch delete 000001.jpg 000002.jpg", "olrsearch delete --where \"partition = 'val'\""
    ),
)
@click.argument("images", nargs=-1, shell_complete=completion.images())
@conditions_option("Delete every image this selects, e.g. \"partition = 'test'\".")
@click.option("--yes", is_flag=True, help="Do not ask before a --where.")
@click.pass_context
def delete_command(ctx: click.Context, images: tuple[str, ...], where: str | None, yes: bool) -> None:
    """Take IMAGES (keys or id:N) out of every answer, at once.

    Files of the data set are not touched. Importing them again leaves the images deleted, unless
    --restore is said there; then they come back with their labels and all decisions.
    """
    if bool(images) == bool(where):
        raise click.UsageError("name images or give --where, one of the two")
    with open_store(ctx) as store:
        if where is not None and not yes:
            count = len(store.select(where))
            if count and not click.confirm(f"delete {images_said(count)} from the store?", err=True):
                say("nothing deleted")
                ctx.exit(1)
        count = store.delete(images) if images else store.delete(where=where)
    say(f"{images_said(count)} deleted")
