"""`olrsearch train …`: train an encoder on the store's labelled images."""

from __future__ import annotations

import click

from olrsearch.cli.common import emit_json, open_store, parse_pairs, say


@click.group("train")
def train_command() -> None:
    """Train an encoder on the store's labelled images."""


@train_command.command("olr")
@click.option(
    "--profile",
    default="cpu",
    show_default=True,
    help="cpu, faces, demo, gpu or tiny: networks, sizes and lengths.",
)
@click.option(
    "--set",
    "settings",
    multiple=True,
    metavar="KEY=VALUE",
    help="Change one setting (repeatable), e.g. --set k=16; an unknown key lists them all.",
)
@click.option("--labels", help="Only these labels, comma-separated; all of the store's by default.")
@click.option("--teacher", help="Take the teacher of this run or space instead of training one.")
@click.option("--resume", is_flag=True, help="Go on with the last unfinished run.")
@click.option("--json", "as_json", is_flag=True, help="What was trained, as one JSON object.")
@click.pass_context
def olr(
    ctx: click.Context,
    profile: str,
    settings: tuple[str, ...],
    labels: str | None,
    teacher: str | None,
    resume: bool,
    as_json: bool,
) -> None:
    """Train OLR: a teacher, then the Siamese network whose embeddings the store holds."""
    with open_store(ctx) as store:
        trained = store.train_olr(
            profile,
            settings=parse_pairs(settings, "--set", "KEY=VALUE"),
            labels=None if labels is None else [part.strip() for part in labels.split(",")],
            teacher=teacher,
            resume=resume,
            progress=not ctx.obj["quiet"],
        )
    if as_json:
        emit_json(trained.to_dict())
        return
    for line in trained.lines():
        say(line)
    say("next: olrsearch encode")
