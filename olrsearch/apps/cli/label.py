"""`olrsearch label …`: list labels and correct stored values."""

from __future__ import annotations

import getpass

import click

from olrsearch.apps.cli.common import Group, emit_json, examples, open_store, say
from olrsearch.apps.cli.common import images as images_said


@click.group("label", cls=Group)
def label_command() -> None:
    """List labels and correct stored values."""


@label_command.command("list", epilog=examples("olrsearch label list"))
@click.option("--json", "as_json", is_flag=True, help="One JSON object a label.")
@click.pass_context
def list_labels(ctx: click.Context, as_json: bool) -> None:
    """The labels of the store, with how often each is present, absent and unknown."""
    with open_store(ctx, read_only=True) as store:
        rows = store.labels.counts()
    if as_json:
        for row in rows:
            emit_json(row)
        return
    width = max((len(row["label"]) for row in rows), default=5)
    click.echo(f"{'label':<{width}}  present   absent  unknown")
    for row in rows:
        click.echo(
            f"{row['label']:<{width}}  {row['present']:>7,}  {row['absent']:>7,}  {row['unknown']:>7,}"
        )


@label_command.command(
    "set", epilog=examples("olrsearch label set Smiling absent 000001.jpg --why 'the mouth is closed'")
)
@click.argument("label")
@click.argument("value", type=click.Choice(["present", "absent", "unknown"]))
@click.argument("images", nargs=-1, required=True)
@click.option("--why", default="", help="The reason, kept beside the correction.")
@click.option("--who", default=getpass.getuser, show_default="your user name", help="Who says so.")
@click.pass_context
def set_label(
    ctx: click.Context, label: str, value: str, images: tuple[str, ...], why: str, who: str
) -> None:
    """Correct a stored label of IMAGES; the original annotation is kept."""
    with open_store(ctx) as store:
        count = store.labels.set(images, label, value, who=who, why=why)
    say(f"{label} is now {value} for {images_said(count)}")
