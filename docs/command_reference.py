"""The command reference, written from the program: `python docs/command_reference.py > docs/commands.md`.

What `--json` prints is described by the docstrings of the types that are printed, so that
the reference, the types and the output cannot drift apart unseen.
"""

from __future__ import annotations

import dataclasses
import inspect
import re
from typing import TYPE_CHECKING, Any, Final

import click

from olrsearch.apps.cli import cli

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


_HEAD: Final = """\
# Commands

<!-- Written by docs/command_reference.py; change the program, not this file. -->

`olrsearch [OPTIONS] COMMAND …`, also as `python -m olrsearch`. The options below may also stand after
the command, and the later one wins; [the command line](howto/command-line.md) says how the tab key
completes. Data goes to stdout, progress and notes to stderr. With `--json` stdout holds JSON objects,
one a line. The exit code is 0; 1 for an error of ours, told in one line; 2 for a command that is not
spelt right; 130 after Ctrl-C.

An IMAGE is a key (`000001.jpg`), a key of one data set (`celeba/000001.jpg`) or an id (`id:17`);
where no image has exactly this key, one that differs in Unicode's form alone is meant.
`similar`, `edit` and `describe` also take an image file that is in no store.
"""

_INFO: Final = {
    "path": "The store's folder.",
    "store_id": "32 hexadecimal digits, given at creation.",
    "generation": "Number of the state described; every change makes the next.",
    "images": "Living images.",
    "labels": "How many labels there are.",
    "label_revision": "Counts the changes of stored labels.",
    "datasets": "One object each: `name`, `kind`, `root`, `images` (living) and `deleted`.",
    "spaces": "One object each: `name`, `kind`, `layout` (`labels`: label embeddings; `posterior`), "
    "`fingerprint`, `labels` (how many), `k` (numbers a label; dimensions of posteriors), "
    "`embeddings`, `segments`, `calibrated`, `calibration_stale`, `metric`, `indexes`.",
}
_LABEL: Final = {
    "label": "Its name.",
    "present": "Living images that have it.",
    "absent": "Living images that lack it.",
    "unknown": "Living images of which nothing is said.",
}
_ENCODER: Final = {
    "name": "The shipped encoder's, the space's or the folder's.",
    "source": "`shipped`, `store` or `folder`.",
    "kind": "The registered kind.",
    "layout": "What it makes of an image: `labels` (label embeddings) or `posterior`.",
    "labels": "Label names, in the order of the embeddings.",
    "k": "Numbers a label.",
    "input_size": "Height and width of the pixels it takes.",
    "crop": "`none` or `center`.",
    "bytes": "Size of its folder.",
    "fingerprint": "64 hexadecimal digits.",
    "notice": "What it may be used for, in a few words; empty where nobody said.",
    "default": "Whether `encode` uses it when none is named.",
    "has_decoder": "Whether a decoder of its label embeddings lies beside it.",
    "path": "Its folder.",
}
_INDEX: Final = {
    "space": "Name of the space.",
    "scan": "What answers where no recipe is built; of posteriors, how much of it is kept.",
    "indexes": "One key a recipe that was built, by its name: the `recipe`, the `count` of images, on how "
    "many `queries` recall was measured, and `files` with `label` (a position, null for the whole "
    "embedding), `bytes` and `recall`.",
    "notes": "Which indexes of older programs are not used, and what to do instead.",
}


_EXPORTED: Final = "With --decisions how many decisions, all else but `path` and `form` being null."
_FIGURE: Final = {
    "metric": "What was measured, in words.",
    "value": "Its value; null where it could not be measured here.",
    "target": "What it is to reach; null where nothing is promised.",
    "passed": "Whether it does; null without a target.",
    "unit": "Of the value.",
    "seed": "Of everything random.",
    "paper": "The paper's figure; null where it has none.",
    "space": "Name of the space.",
    "labels": "What the labels are: `classes`, `pairs` or `many`.",
    "shrinkage": "λ of the priors.",
}


def json_keys() -> dict[str, tuple[str, dict[str, str]]]:
    """What each command prints with `--json`: what one object is, and its keys with their meaning."""
    from olrsearch import (
        Contribution,
        Decided,
        Decision,
        DecoderReport,
        Description,
        Hit,
        ImportReport,
        LabelEstimate,
        LabelExport,
        StoredImage,
        TrainedSpace,
        VerifyReport,
        WordEstimate,
    )
    from olrsearch.evaluation.report import Report
    from olrsearch.pipeline.reading_pixels import Failure
    from olrsearch.store.problems import Problem

    hit = _described(Hit, contributions=Contribution)
    report = _described(ImportReport, failed=Failure)
    report["issues"] += " Each has `code`, `message`, `count` and `examples`."
    describe = {
        "image": "Its key, or the file's path.",
        "image_id": "The image's stable id; null for a file.",
        "estimates": f"One object a label, most probable first:{_inner(LabelEstimate)} With --words one "
        f"object a word:{_inner(WordEstimate)}",
        "fit": "How well the image fits the encoder's training, 0 to 1: the share of images like its "
        "own that lie farther out. Below 0.02 it is foreign; null where unknown.",
        "notes": "What a reader must know of this image: that it is foreign, or squashed.",
    }
    if set(describe) != set(Description.__slots__):
        raise TypeError(f"the reference describes {sorted(describe)} of {Description.__slots__}")
    bench = {**_described(Report), "results": "The protocol's own figures."}
    checked = {"ok": "Whether nothing is damaged.", **_described(VerifyReport, problems=Problem)}
    return {
        "store info": ("One object", _INFO),
        "store verify": ("One object", checked),
        "store clean": ("One object", {"removed": "Names of what is gone, relative to the store's folder."}),
        "import celeba": ("One object", report),
        "import folder": ("One object", report),
        "import idx": ("One object", report),
        "import cifar100": ("One object", report),
        "label list": ("One object a label", _LABEL),
        "train decoder": ("One object", _described(DecoderReport)),
        **{f"train {kind}": ("One object", _described(TrainedSpace)) for kind in _trained_kinds()},
        "encoders list": ("One object an encoder", _ENCODER),
        "encoders info": ("One object", {**_ENCODER, **_details()}),
        "index info": ("One object", _INDEX),
        "list": ("One object an image", _described(StoredImage)),
        "search": ("One object a hit", hit),
        "words": ("One object a hit", hit),
        "similar": ("One object a hit", hit),
        "edit": ("One object; with --grid one an edit; with --find one a hit, as of `similar`", _edit()),
        "describe": ("One object an image", describe),
        "imagine": ("One object", _made()),
        "interpolate": ("One object", _made()),
        **_looks(),
        **_audits(),
        "audit decide": ("One object", _described(Decided)),
        "audit history": ("One object a decision", _described(Decision)),
        "audit export": ("One object", {**_described(LabelExport), "decisions": _EXPORTED}),
        **{f"bench {name}": ("One object", bench) for name in ("attributes", "queries", "similar")},
        "bench audit": ("One object a figure", dict(list(_FIGURE.items())[:7])),
    }


def _edit() -> dict[str, str]:
    """What `edit` prints without --find."""
    from olrsearch import EditedCell, EditedImage, EditedLabel

    cell = _described(EditedCell)
    edit = _described(EditedImage, labels=EditedLabel)
    return {
        **{name: edit[name] for name in ("image", "image_id", "edits", "way")},
        "made": "True: nothing in it was found.",
        "has_pictures": "Whether the space has a decoder, so that --sheet can show pictures.",
        **{name: edit[name] for name in ("labels", "fit", "notes")},
        "strength": f"With --grid, in the place of the labels: {cell['strength']}",
        "probabilities": f"With --grid: {cell['probabilities']}",
    }


def _trained_kinds() -> list[str]:
    """The kinds of encoder that have a command to train them."""
    from olrsearch.apps.cli.train import train_command

    return [name for name in train_command.commands if name != "decoder"]


def _made() -> dict[str, str]:
    """What `imagine` and `interpolate` print."""
    from olrsearch import AskedImage, Imagined, ImaginedPicture, NearImage, ReadWord

    keys = _described(Imagined, asked=AskedImage, pictures=ImaginedPicture)
    keys["pictures"] += f" Of `reads` each has{_inner(ReadWord)} Of `near` each has{_inner(NearImage)}"
    return {"made": "Always true: nobody took these pictures.", **keys}


def _looks() -> dict[str, tuple[str, dict[str, str]]]:
    """What `look …` prints."""
    from olrsearch import Components, Disagreements, LatentMap, NormCorrelations
    from olrsearch.evaluation.looks.components import ComponentImage, ComponentLabel
    from olrsearch.evaluation.looks.correlations import LabelPair, NormCorrelation
    from olrsearch.evaluation.looks.disagreements import Disagreement, DisagreementCount

    norms = _described(NormCorrelations, together=LabelPair, apart=LabelPair, paper=NormCorrelation)
    components = _described(Components, others=ComponentLabel, shown=ComponentImage)
    counts = _described(Disagreements, labels=DisagreementCount, shown=Disagreement)
    counts["total"] += " Keys as in `labels`."
    return {
        "look norms": ("One object", norms),
        "look components": ("One object", components),
        "look disagreements": ("One object", counts),
        "look map": ("One object", _described(LatentMap)),
        "look reconstruct": ("One object an image", _RECONSTRUCTION),
    }


def _audits() -> dict[str, tuple[str, dict[str, str]]]:
    """What `audit …` prints but for decisions."""
    from olrsearch import AuditedEntry, AuditReport, AuditRun, ErrorCount, LabelIssue, LabelSummary, RuleCount
    from olrsearch.audit.runs.results import DecisionMade, Evidence, EvidenceImage

    report = _described(AuditReport)
    entry = _described(AuditedEntry, evidence=Evidence, decisions=DecisionMade)
    entry["evidence"] += f" Of the images each has{_inner(EvidenceImage)}"
    summary = _described(LabelSummary, total=ErrorCount)
    for name in ("false_present", "false_absent"):
        summary[name] += " Keys as in `total`."
    return {
        "audit run": ("One object", report),
        "audit refit": ("One object", report),
        "audit list": ("One object an entry", _described(LabelIssue)),
        "audit show": ("One object", entry),
        "audit summary": ("One object a label", summary),
        "audit rules": ("One object a rule", _described(RuleCount)),
        "audit runs": ("One object an audit", _described(AuditRun)),
    }


_RECONSTRUCTION = {
    "image": "Its key, or the file's path.",
    "image_id": "The image's stable id; null for a file.",
    "made": "True: the picture is made, not found.",
    "ssim": "Structural similarity of picture and image; null where the image's file is gone.",
    "psnr": "The same in dB.",
    "mse": "Mean squared error on the scale 0 to 1.",
    "linear": "`ssim`, `psnr` and `mse` of the linear reconstruction.",
}


def _details() -> dict[str, str]:
    """What `encoders info` says beyond the list."""
    from olrsearch.encoders.folder.card import ModelCard

    return {
        "settings": "Its configuration.",
        "calibration": "What the calibration it brings was fitted on; null where it brings none.",
        "metric": "The metric it brings; null where it brings none.",
        "decoder": "What the decoder beside it says of itself: `config`, the number of `images` it learnt "
        "from and of `selection` images that chose its weights, and `metrics` on these; null without one.",
        "card": f"Its model card, null where it has none:{_inner(ModelCard)}",
    }


def reference() -> str:
    """The whole reference as Markdown."""
    parts = [_HEAD, f"## olrsearch\n\n{_options(cli, click.Context(cli, info_name='olrsearch'))}"]
    keys = json_keys()
    for name, command, context in _commands(cli, click.Context(cli, info_name="olrsearch")):
        parts.append(_section(name, command, context, keys.get(name)))
    return "\n".join(parts)


def _commands(
    group: click.Group, context: click.Context
) -> Iterator[tuple[str, click.Command, click.Context]]:
    """All commands that do something, groups before what is in them, in the order of the help."""
    # A group's own: what other packages bring is theirs to describe.
    own = group.commands or group.list_commands(context)
    for name in (name for name in group.list_commands(context) if name in own):
        command = group.get_command(context, name)
        if command is None:  # a group lists no name that it does not have
            continue
        inner = click.Context(command, info_name=name, parent=context)
        full = inner.command_path.removeprefix("olrsearch ")
        yield full, command, inner
        if isinstance(command, click.Group):
            yield from _commands(command, inner)


def _section(
    name: str, command: click.Command, context: click.Context, printed: tuple[str, Mapping[str, str]] | None
) -> str:
    text = inspect.cleandoc(command.help or "")
    if isinstance(command, click.Group):
        return f"## {name} …\n\n{text}\n"
    level = "##" if " " not in name else "###"
    pieces = " ".join(command.collect_usage_pieces(context))
    lines = [f"{level} {name}", "", "```", f"olrsearch {name} {pieces}", "```", "", text, ""]
    lines += ["```", *(line.strip() for line in (command.epilog or "").splitlines()[2:]), "```", ""]
    options = _options(command, context)
    if options:
        lines += [options]
    if printed is not None:
        what, keys = printed
        lines += [f"With `--json`: {what[0].lower()}{what[1:]}.", "", *_listed(keys), ""]
    return "\n".join(lines)


def _options(command: click.Command, context: click.Context) -> str:
    rows = [
        record
        for record in (_record(parameter, context) for parameter in command.get_params(context))
        if record
    ]
    body = "\n".join(f"| {names} | {meaning} |" for names, meaning in rows)
    return f"| option | |\n| --- | --- |\n{body}\n" if rows else ""


def _record(parameter: click.Parameter, context: click.Context) -> tuple[str, str] | None:
    found = parameter.get_help_record(context)
    if found is None or isinstance(parameter, click.Argument) or "--help" in parameter.opts:
        return None
    names, meaning = found
    return f"`{names}`".replace("|", "\\|"), " ".join(meaning.split()).replace("|", "\\|")


def _listed(keys: Mapping[str, str]) -> list[str]:
    return [f"* `{key}`: {meaning}" for key, meaning in keys.items()]


def _described(kind: type[Any], **inner: type) -> dict[str, str]:
    """Fields of a dataclass with what its docstring says; `inner` names the types of lists of objects."""
    found = _attributes(kind)
    if list(found) != [field.name for field in dataclasses.fields(kind)]:
        raise TypeError(f"the docstring of {kind.__name__} describes {list(found)}")
    return {
        name: meaning + (f" Each has{_inner(inner[name])}" if name in inner else "")
        for name, meaning in found.items()
    }


def _inner(kind: type) -> str:
    return (
        " "
        + "; ".join(f"`{name}`: {meaning.rstrip('.')}" for name, meaning in _attributes(kind).items())
        + "."
    )


def _attributes(kind: type) -> dict[str, str]:
    """The `Attributes:` section of a docstring: names and meanings, in Markdown."""
    _, _, section = inspect.cleandoc(kind.__doc__ or "").partition("Attributes:\n")
    found: dict[str, str] = {}
    for line in section.splitlines():
        entry = re.match(r"    (\w+): (.*)", line)
        if entry:
            found[entry[1]] = entry[2]
        elif line.startswith("     ") and found:
            found[next(reversed(found))] += " " + line.strip()
        elif line.strip():
            break
    return found


if __name__ == "__main__":
    print(reference(), end="")
