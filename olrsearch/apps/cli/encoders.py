"""`olrsearch encoders …`: which encoders there are, what they are, and publishing one."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from olrsearch.apps.cli import completion
from olrsearch.apps.cli.common import Group, examples, open_store, open_to_measure, say, show, store_path
from olrsearch.apps.cli.options import PATH, json_option

if TYPE_CHECKING:
    from collections.abc import Iterator

    from olrsearch import EncoderEntry


@click.group("encoders", cls=Group)
def encoders_command() -> None:
    """Encoders that come with olrsearch and those of the store: list, read up, publish."""


@encoders_command.command("list", epilog=examples("olrsearch encoders list"))
@json_option("One JSON object an encoder.")
@click.pass_context
def list_encoders(ctx: click.Context, as_json: bool) -> None:
    """Encoders that `encode` can use. Without a store, those that come with olrsearch."""
    from olrsearch import shipped_encoders

    if _has_store(ctx):
        with open_store(ctx, read_only=True) as store:
            entries = store.encoders.list()
    else:
        entries = shipped_encoders()
    nothing = "no encoder is shipped with this olrsearch, and the store has none: run olrsearch train"
    show([entry.to_dict() for entry in entries], _table(entries), as_json=as_json, nothing=nothing)


def _table(entries: tuple[EncoderEntry, ...]) -> Iterator[str]:
    if not entries:
        return
    width = max(4, *(len(entry.name) for entry in entries))
    kind = max(4, *(len(entry.kind) for entry in entries))
    head = f"  {'name':<{width}}  source   {'kind':<{kind}}"
    yield f"{head}  layout     labels    k  pixels        MB  decoder  fingerprint"
    for entry in entries:
        pixels = f"{entry.input_size[0]} × {entry.input_size[1]}"
        yield (
            f"{'*' if entry.default else ' '} {entry.name:<{width}}  {entry.source:<7}  "
            f"{entry.kind:<{kind}}  {entry.layout:<9}  {len(entry.labels):>6}  {entry.k:>3}  {pixels:<9} "
            f"{entry.bytes / 1e6:>6.1f}  {'yes' if entry.has_decoder else '':<7}  {entry.fingerprint[:12]}"
        )
    yield "* is what olrsearch encode uses when none is named"


@encoders_command.command("info", epilog=examples("olrsearch encoders info faces --card"))
@click.argument("name", shell_complete=completion.encoders())
@json_option("One JSON object.")
@click.option("--card", is_flag=True, help="Print the model card.")
@click.pass_context
def info(ctx: click.Context, name: str, as_json: bool, card: bool) -> None:
    """What encoder NAME is: configuration, training, figures, terms.

    NAME is a shipped encoder, a space of the store, a fingerprint or a model folder.
    """
    from olrsearch import encoder_details, find_encoder
    from olrsearch.api.encoders import card_page

    if as_json and card:
        raise click.UsageError("--json and --card are two forms: choose one")
    if _has_store(ctx):
        with open_store(ctx, read_only=True) as store:
            entry = store.encoders.get(name)
    else:
        entry = find_encoder(name)
    if card:
        click.echo(card_page(entry), nl=False)
        return
    found = encoder_details(entry)
    show([found], _lines(found), as_json=as_json)


def _lines(found: dict[str, Any]) -> list[str]:
    height, width = found["input_size"]
    lines = [
        f"{found['name']} ({found['source']}): {found['kind']}, {found['fingerprint']}",
        f"takes: {height} × {width} pixels, crop {found['crop']}; gives: {_given(found)}",
        f"labels: {', '.join(found['labels'])}",
        f"files: {found['bytes'] / 1e6:.1f} MB in {found['path']}",
    ]
    lines += [_brought(found), _decoded(found)]
    card = found["card"]
    if card is None:
        training = found["settings"].get("training", {})
        lines.extend(f"setting {key}: {value}" for key, value in training.items() if key != "labels")
        return [*lines, "no model card: olrsearch encoders publish writes one"]
    if card["training"] is not None:
        lines.extend(_training_lines(card))
    lines.extend(_figure_lines(card))
    lines += [f"training data: {card['terms']['data']}", f"licence: {card['terms']['licence']}"]
    return [*lines, "more, and what it must not be used for: --card"]


def _brought(found: dict[str, Any]) -> str:
    if not found["calibration"]:
        if found["layout"] == "labels":
            return "brings: neither calibration nor metric; they are fitted to the labels of a store"
        return "brings: no calibration; it is fitted to the labels of a store"
    metric = "" if found["metric"] is None else f", distances by {found['metric']}"
    return f"brings: probabilities calibrated on {found['calibration']}{metric}"


def _decoded(found: dict[str, Any]) -> str:
    decoder = found["decoder"]
    if decoder is None:
        if found["layout"] == "labels":
            return "decoder: none; olrsearch train decoder makes one of a space"
        return "decoder: of posteriors a part of the model, where it was trained with one"
    height, width = decoder["config"]["image_size"]
    figures = ", ".join(f"{name} {value:.3f}" for name, value in decoder["metrics"].items())
    return (
        f"decoder: pictures of {height} × {width} pixels, learnt from {decoder['images']:,} images, {figures}"
    )


def _given(found: dict[str, Any]) -> str:
    if found["layout"] == "labels":
        return f"{found['k']} numbers a label"
    return f"a posterior of {found['k']} dimensions"


def _training_lines(card: dict[str, Any]) -> list[str]:
    training, data = card["training"], ", ".join(card["data"])
    images = f"{training['images']:,} images and {training['selection']:,} held back"
    return [
        f"trained on: {data}, {images}, seed {training['seed']}, {training['hardware']}",
        *(f"  {command}" for command in training["commands"]),
    ]


def _figure_lines(card: dict[str, Any]) -> list[str]:
    measured = card["measured"]
    everyone, *groups = measured["groups"]
    lines = [f"figures: {measured['command']}, {everyone['images']:,} images of {measured['data']}"]
    for group in (everyone, *groups):
        figures = (
            f"{what} {_figure(group[key])}"
            for key, what in (
                ("map", "mAP"),
                ("accuracy", "accuracy"),
                ("balanced_accuracy", "balanced accuracy"),
            )
        )
        lines.append(f"  {group['group']} ({group['images']:,}): {', '.join(figures)}")
    lines.extend(
        f"  query {row['kind']} ({row['queries']}): AP {_figure(row['ap'])}, P@20 {_figure(row['p20'])}"
        for row in card["queries"]
    )
    width = max(5, *(len(row["label"]) for row in everyone["labels"]))
    lines.append(f"  {'label':<{width}}  positives     AP  accuracy  balanced")
    lines.extend(
        f"  {row['label']:<{width}}  {row['positives']:>9,}  {_figure(row['ap']):>5}  "
        f"{_figure(row['accuracy']):>8}  {_figure(row['balanced_accuracy']):>8}"
        for row in everyone["labels"]
    )
    return lines


def _figure(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


@encoders_command.command(
    "publish", epilog=examples("olrsearch encoders publish olr-1a2b3c4d encoders --name my-faces --half")
)
@click.argument("space", shell_complete=completion.spaces())
@click.argument("out_dir", type=PATH)
@click.option("--name", required=True, help="What the encoder is to be called: OUT_DIR/NAME is written.")
@click.option("--half", is_flag=True, help="Store matrices as float16: half the size, another fingerprint.")
@click.option(
    "--report",
    "reports",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    multiple=True,
    help="JSON of `bench attributes --out`, measured here by default, or of `bench queries --out` "
    "(repeatable).",
)
@click.option(
    "--hardware", help="What it was trained on, e.g. 'one GPU, 80 GB'; this machine's CPU cores by default."
)
@click.option(
    "--share",
    metavar="NAME|FOLDER",
    help="Another encoder in OUT_DIR: tensors that it has too, bit for bit, are left to it, and the two "
    "folders are used side by side.",
)
@click.option(
    "--decoder",
    is_flag=True,
    help="Take the space's decoder along, which makes pictures of embeddings; it is left out by default.",
)
@click.option("--replace", is_flag=True, help="Write over a folder of this name.")
@click.pass_context
def publish(ctx: click.Context, /, space: str, out_dir: Path, share: str | None, **options: Any) -> None:
    """Write the encoder of SPACE as a folder that others can use.

    The folder holds the model, the calibration and metric of the space (posteriors have no
    metric), and a model card with figures on the val and test partitions. No image or label
    row is in it.
    """
    with open_to_measure(ctx) as store:
        folder = store.encoders.publish(space, out_dir, share=share, **options)
        entry = store.encoders.get(folder)
    say(f"published {folder}: {entry.bytes / 1e6:.1f} MB, {entry.fingerprint}")
    if share is not None:
        say(f"it needs {Path(share).name} beside it: copy both folders")
    say(f"use it: olrsearch encode --encoder {folder}")


def _has_store(ctx: click.Context) -> bool:
    return (store_path(ctx) / "store.json").exists()
