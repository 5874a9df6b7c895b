"""`olrsearch datasets …`: generate data sets."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from olrsearch.apps.cli.common import Group, counter, examples, say
from olrsearch.apps.cli.options import PATH, POSITIVE, seed_option

if TYPE_CHECKING:
    from pathlib import Path

_seed_option = seed_option("The same seed, the same files.")


@click.group("datasets", cls=Group)
def datasets_command() -> None:
    """Generate data sets."""


@datasets_command.command(
    "avatars", epilog=examples("olrsearch datasets avatars avatars --count 600 --seed 1")
)
@click.argument("out", type=PATH)
@click.option("--count", type=POSITIVE, default=4000, show_default=True, help="How many images.")
@click.option(
    "--label-noise",
    type=click.FloatRange(0, 1),
    default=0.0,
    show_default=True,
    help="Probability that an entry is flipped; the truth is written beside it.",
)
@_seed_option
@click.pass_context
def avatars(ctx: click.Context, out: Path, count: int, label_noise: float, seed: int) -> None:
    """Draw avatar faces with exact labels, in CelebA's own layout."""
    from olrsearch import generate_avatars

    with counter(ctx, total=count, what="draw") as drawn:
        made = generate_avatars(out, count=count, label_noise=label_noise, seed=seed, progress=drawn)
    flipped = f", {made.flipped:,} label entries flipped" if label_noise else ""
    say(f"{made.count:,} avatars with {len(made.label_names)} labels in {made.path}{flipped}")
    say(f"next: olrsearch import celeba {made.path}")


@datasets_command.command("pairs", epilog=examples("olrsearch datasets pairs mnist pairs"))
@click.argument("source", metavar="IDX_DIR", type=PATH)
@click.argument("out", type=PATH)
@click.option("--train", type=POSITIVE, default=60000, show_default=True, help="How many training pairs.")
@click.option("--test", type=POSITIVE, default=10000, show_default=True, help="How many test pairs.")
@_seed_option
def pairs(source: Path, out: Path, train: int, test: int, seed: int) -> None:
    """Put random digits of MNIST side by side, with the classes of both, as idx files.

    IDX_DIR holds MNIST's four files, or those of a data set in its format.
    """
    from olrsearch import generate_pairs

    made = generate_pairs(source, out, train=train, test=test, seed=seed)
    height, width = made.size
    say(f"{made.train:,} training and {made.test:,} test pairs of {width} × {height} pixels in {made.path}")
    say(f"next: olrsearch import idx {made.path}")
