"""`olrsearch train …`: train an encoder on the store's labelled images."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import click

from olrsearch.apps.cli import completion
from olrsearch.apps.cli.common import Group, examples, open_store, show
from olrsearch.apps.cli.everywhere import interruptible, this_call
from olrsearch.apps.cli.options import json_option, names, pairs, space_option, together

if TYPE_CHECKING:
    from olrsearch.apps.cli.options import Option


@click.group("train", cls=Group)
def train_command() -> None:
    """Train an encoder on the store's labelled images."""


def _training_options(profiles: str, default: str, example: str, *, of_encoders: bool = True) -> Option:
    """The options of every command that trains, those of encoders with the labels to learn."""
    labels = click.option(
        "--labels",
        shell_complete=completion.labels(listed=True),
        callback=names,
        help="Only these labels, comma-separated; all of the store's by default.",
    )
    return together(
        click.option(
            "--profile",
            shell_complete=completion.one_of(*re.findall(r"\w+", profiles.replace(" or ", " "))),
            default=default,
            show_default=True,
            help=f"{profiles}: networks, sizes and lengths.",
        ),
        click.option(
            "--set",
            "settings",
            multiple=True,
            metavar="KEY=VALUE",
            callback=pairs,
            help=f"Change one setting (repeatable), e.g. --set {example}; an unknown key lists them all.",
        ),
        *((labels,) if of_encoders else ()),
        click.option("--resume", is_flag=True, help="Go on with the last unfinished run."),
        json_option("What was trained, as one JSON object."),
    )


def _train(ctx: click.Context, kind: str, *, as_json: bool, **options: Any) -> None:
    """Train an encoder of a kind, and say what came of it."""
    with open_store(ctx) as store:
        try:
            trained = store.encoders.train(kind, progress=not this_call(ctx).quiet, **options)
        except KeyboardInterrupt:
            begun = store.encoders.has_unfinished_run(kind)
            interruptible(ctx, f"train {kind} --resume" if begun else None)
            raise
    lines = (*trained.lines(), "next: olrsearch encode")
    show([trained.to_dict()], lines, as_json=as_json, err=True)


@train_command.command(
    "olr",
    epilog=examples(
        "olrsearch train olr --profile faces", "olrsearch train olr --set k=16 --labels Smiling,Male"
    ),
)
@click.option("--teacher", help="Take the teacher of this run or space instead of training one.")
@_training_options("cpu, faces, demo, gpu or tiny", "cpu", "k=16")
@click.pass_context
def olr(ctx: click.Context, /, **options: Any) -> None:
    """Train OLR: a teacher, then the Siamese network whose embeddings the store holds."""
    _train(ctx, "olr", **options)


@train_command.command(
    "informed-prior", epilog=examples("olrsearch train informed-prior --set shrinkage=0.05")
)
@_training_options("faces, digits, pairs, demo or tiny", "faces", "shrinkage=0.05")
@click.pass_context
def informed_prior(ctx: click.Context, /, **options: Any) -> None:
    """Train posteriors: images become Gaussians near those of their words."""
    _train(ctx, "informed-prior", **options)


@train_command.command(
    "decoder",
    epilog=examples(
        "olrsearch train decoder", "olrsearch train decoder --space faces-46a681fc --set epochs=10"
    ),
)
@space_option("of label embeddings by default")
@_training_options("cpu, paper, demo or tiny", "cpu", "epochs=10", of_encoders=False)
@click.pass_context
def decoder(ctx: click.Context, /, *, as_json: bool, **options: Any) -> None:
    """Train a decoder: label embeddings of a space become pictures, made and not found."""
    with open_store(ctx) as store:
        try:
            trained = store.encoders.train_decoder(progress=not this_call(ctx).quiet, **options)
        except KeyboardInterrupt:
            begun = store.encoders.has_unfinished_run("decoder")
            interruptible(ctx, "train decoder --resume" if begun else None)
            raise
    show([trained.to_dict()], trained.lines(), as_json=as_json, err=True)


_VAE_PROFILES = "digits, faces, literal or tiny"


@train_command.command("pse", epilog=examples("olrsearch train pse --set size=20"))
@_training_options(_VAE_PROFILES, "digits", "size=20")
@click.pass_context
def pse(ctx: click.Context, /, **options: Any) -> None:
    """Train PSE: images and labels become Gaussians of one space, drawn together."""
    _train(ctx, "pse", **options)


@train_command.command(
    "pse-star",
    epilog=examples("olrsearch train pse-star", "olrsearch train pse-star --set words=glove"),
)
@_training_options(_VAE_PROFILES, "digits", "size=20")
@click.pass_context
def pse_star(ctx: click.Context, /, **options: Any) -> None:
    """Train PSE*: PSE with a classifier that reads the labels off the reconstruction."""
    _train(ctx, "pse-star", **options)


@train_command.command("jmvae", epilog=examples("olrsearch train jmvae --set alpha=0.1"))
@_training_options(_VAE_PROFILES, "digits", "alpha=0.1")
@click.pass_context
def jmvae(ctx: click.Context, /, **options: Any) -> None:
    """Train JMVAE: an encoder of image and label together, and one of each drawn to it."""
    _train(ctx, "jmvae", **options)


@train_command.command("trelbo", epilog=examples("olrsearch train trelbo --set lambda_1=50"))
@_training_options(_VAE_PROFILES, "digits", "lambda_1=50")
@click.pass_context
def trelbo(ctx: click.Context, /, **options: Any) -> None:
    """Train TrELBO: a bound for image and label together, and one for each alone."""
    _train(ctx, "trelbo", **options)


@train_command.command("scan", epilog=examples("olrsearch train scan --set beta=4"))
@_training_options(_VAE_PROFILES, "digits", "beta=4")
@click.pass_context
def scan(ctx: click.Context, /, **options: Any) -> None:
    """Train SCAN: a β-VAE of the images, and label Gaussians fitted to it."""
    _train(ctx, "scan", **options)


_AUTO_PROFILES = "digits, faces or tiny"


@train_command.command(
    "atnl",
    epilog=examples(
        "olrsearch train atnl --degree Smiling",
        "olrsearch train atnl --order 'No_Beard,5_o_Clock_Shadow,Goatee|Mustache'",
        "olrsearch train atnl --profile digits --order 0,1,2,3,4,5,6,7,8,9",
    ),
)
@click.option(
    "--order",
    shell_complete=completion.labels(listed=True),
    callback=names,
    help="Labels from the lowest to the highest, comma-separated; | joins those of one step.",
)
@click.option(
    "--degree",
    shell_complete=completion.labels(),
    help="Take for the order how probable the newest label embeddings make this label, in tenths.",
)
@_training_options(_AUTO_PROFILES, "faces", "graded=true")
@click.pass_context
def atnl(ctx: click.Context, /, **options: Any) -> None:
    """Train ATNL: images on a sphere, where angles follow an order of labels.

    The order is one of labels (--order) or the degree of one (--degree). An image stands at the highest
    step whose label it shows; one that shows none is learnt from, but has no place in the order.
    """
    _train(ctx, "atnl", **options)


@train_command.command("vae-tl", epilog=examples("olrsearch train vae-tl --profile digits"))
@_training_options(_AUTO_PROFILES, "faces", "margin=2")
@click.pass_context
def vae_tl(ctx: click.Context, /, **options: Any) -> None:
    """Train VAE-TL: a variational auto-encoder that keeps classes apart, without an order."""
    _train(ctx, "vae-tl", **options)


@train_command.command("ae", epilog=examples("olrsearch train ae --profile digits"))
@_training_options(_AUTO_PROFILES, "faces", "size=64")
@click.pass_context
def ae(ctx: click.Context, /, **options: Any) -> None:
    """Train a plain auto-encoder: points that images can be drawn from again."""
    _train(ctx, "ae", **options)


@train_command.command("vae", epilog=examples("olrsearch train vae --set kl_weight=0.5"))
@_training_options(_AUTO_PROFILES, "faces", "kl_weight=0.5")
@click.pass_context
def vae(ctx: click.Context, /, **options: Any) -> None:
    """Train a variational auto-encoder: Gaussians that fill the space without gaps."""
    _train(ctx, "vae", **options)


@train_command.command("aae", epilog=examples("olrsearch train aae --profile digits"))
@_training_options(_AUTO_PROFILES, "faces", "adversary_weight=20")
@click.pass_context
def aae(ctx: click.Context, /, **options: Any) -> None:
    """Train an adversarial auto-encoder: points that a critic takes for draws of a Gaussian."""
    _train(ctx, "aae", **options)


@train_command.command("acai", epilog=examples("olrsearch train acai --profile digits"))
@_training_options(_AUTO_PROFILES, "faces", "adversary_weight=1")
@click.pass_context
def acai(ctx: click.Context, /, **options: Any) -> None:
    """Train ACAI: an auto-encoder whose mixtures of two images a critic takes for images."""
    _train(ctx, "acai", **options)
