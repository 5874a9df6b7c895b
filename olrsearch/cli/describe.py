"""`olrsearch describe`: predict the labels of images."""

from __future__ import annotations

import click

from olrsearch.cli.common import emit_json, open_store

_STORED = {None: "", -1: "stored: absent", 0: "stored: unknown", 1: "stored: present"}


@click.command("describe")
@click.argument("images", nargs=-1, required=True)
@click.option(
    "-k", "--count", type=click.IntRange(min=1), default=10, show_default=True, help="Labels shown."
)
@click.option("--space", help="Name or fingerprint; the newest by default.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object an image, with all labels.")
@click.pass_context
def describe_command(
    ctx: click.Context, images: tuple[str, ...], count: int, space: str | None, as_json: bool
) -> None:
    """Predict the labels of IMAGES: keys, id:N, or image files that need not be in the store."""
    with open_store(ctx, read_only=True) as store:
        descriptions = store.describe(images, space=space)
    for description in descriptions:
        if as_json:
            emit_json(description.to_dict())
            continue
        click.echo(description.image)
        width = max(len(item.label) for item in description.estimates[:count])
        for item in description.estimates[:count]:
            figures = f"{item.probability:.3f}  norm {item.norm:.3f}"
            line = f"  {item.label:<{width}}  {figures}  {_STORED[item.stored]}"
            click.echo(line.rstrip())
