"""Model cards: what everybody who uses a shared encoder must know of it.

`MODEL_CARD.md` is for people and written from a template; `card.json` holds the same for
programs and is bound to the model like every companion of a model folder.

Source: Mitchell et al., "Model Cards for Model Reporting", 2019, for what a card says.

Notation: L labels, or words of an encoder of posteriors.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import jinja2

from olrsearch.core.errors import ModelFileError
from olrsearch.encoders.folder.fit_file import FIT
from olrsearch.encoders.folder.model_config import read_companion, read_config, write_companion

if TYPE_CHECKING:
    from collections.abc import Mapping

CARD: Final = "card.json"
CARD_PAGE: Final = "MODEL_CARD.md"


@dataclass(frozen=True, slots=True)
class Terms:
    """What an encoder may be used for, as its training data decide.

    Attributes:
        subject: `celeba`, or `own` for data of whoever published it.
        notice: The shortest form, for a terminal.
        data: The terms of the training data.
        licence: The terms of the weights.
    """

    subject: str
    notice: str
    data: str
    licence: str


CELEBA_TERMS: Final = Terms(
    subject="celeba",
    notice="for aligned face crops and non-commercial research only",
    data=(
        "CelebA is given out for non-commercial research purposes only, and its images may not be "
        "passed on. Nothing of it is in this folder or in olrsearch: no image, no label row, no name "
        "of a file."
    ),
    licence=(
        "The weights are for non-commercial research only, because the data they were learnt from are. "
        "The MIT licence of olrsearch covers the program and not these weights."
    ),
)
OWN_TERMS: Final = Terms(
    subject="own",
    notice="for images like those it was trained on, on the terms of whoever published it",
    data="The terms of these data are those of whoever owns them. None of them is in this folder.",
    licence=(
        "Whoever passes the weights on says on what terms; those of the training data go first. "
        "The MIT licence of olrsearch covers the program and not these weights."
    ),
)


@dataclass(frozen=True, slots=True)
class LabelFigures:
    """How well one label is read, in one group of images.

    Attributes:
        label: Its name.
        positives: Images that have it.
        negatives: Images that lack it.
        ap: Average precision; null where no image has the label.
        accuracy: Share on the right side of probability 0.5.
        balanced_accuracy: Mean of true positive and true negative rate; null where one side is empty.
    """

    label: str
    positives: int
    negatives: int
    ap: float | None
    accuracy: float | None
    balanced_accuracy: float | None


@dataclass(frozen=True, slots=True)
class GroupFigures:
    """How well labels are read, in one group of images.

    Attributes:
        group: `all`, or a label that all images of the group have (`Male`) or lack (`!Male`).
        images: How many.
        map: Average precision, averaged over labels that have a positive.
        accuracy: Over all entries, at probability 0.5.
        balanced_accuracy: Averaged over labels.
        labels: One entry a label.
    """

    group: str
    images: int
    map: float | None
    accuracy: float | None
    balanced_accuracy: float | None
    labels: tuple[LabelFigures, ...]


@dataclass(frozen=True, slots=True)
class Measured:
    """What protocol P1 found: the calibrated readout of each label's own embedding, or of each word.

    Attributes:
        data: Whose images, in words.
        command: What was run.
        seed: Of everything random in it.
        groups: All images first, then the groups.
    """

    data: str
    command: str
    seed: int
    groups: tuple[GroupFigures, ...]


@dataclass(frozen=True, slots=True)
class QueryFigures:
    """What protocol P2 found for one class of attribute queries.

    Attributes:
        kind: `A`, `A & B`, …; `all` for all queries.
        queries: How many.
        ap: Mean average precision.
        p20: Mean precision of the first 20.
    """

    kind: str
    queries: int
    ap: float | None
    p20: float | None


@dataclass(frozen=True, slots=True)
class Training:
    """How an encoder was trained.

    Attributes:
        commands: What to run to train it again, a line each.
        settings: The configuration of the run.
        seed: Of everything random in it.
        images: Images trained on.
        selection: Images held back for validation and calibration.
        seconds: Wall time of each stage.
        hardware: What it was trained on, in words.
        prevalence: Share of the known values that say present, by label, in the training images.
    """

    commands: tuple[str, ...]
    settings: Mapping[str, Any]
    seed: int
    images: int
    selection: int
    seconds: Mapping[str, float]
    hardware: str
    prevalence: Mapping[str, float | None]


@dataclass(frozen=True, slots=True)
class WordSource:
    """Where the words of an encoder of posteriors lie, and why there.

    Attributes:
        source: The table of word vectors, `glove` or a file's name; null for one-hot words.
        digest: Its sha256; null where there is none.
        transform: How its vectors became points of the latent space.
        shrinkage: λ of the priors; null where Gaussians of words were learned.
    """

    source: str | None
    digest: str | None
    transform: str
    shrinkage: float | None


@dataclass(frozen=True, slots=True)
class Rounding:
    """What storing matrices as float16 changed.

    Attributes:
        images: Images compared.
        mean: Mean difference of calibrated probabilities, over images and labels.
        largest: The largest one.
    """

    images: int
    mean: float
    largest: float


@dataclass(frozen=True, slots=True)
class ModelCard:
    """Everything a model card says.

    Attributes:
        name: What the encoder is called.
        version: The olrsearch that wrote the card.
        data: The data sets it was trained on, by name.
        terms: What it may be used for.
        training: How it was trained; null where that is not known.
        rounding: What half precision changed; null in full precision, or where it was rounded before.
        calibration: What probabilities were calibrated on, in words.
        metric: How labels' vectors are compared; null for posteriors.
        measured: Figures on images it had not seen.
        queries: Figures of attribute queries; empty where they were not measured.
        words: Of an encoder of posteriors; null for others.
        shared: The encoder beside this one that some of its tensors lie in; null where it is whole.
    """

    name: str
    version: str
    data: tuple[str, ...]
    terms: Terms
    training: Training | None
    rounding: Rounding | None
    calibration: str
    metric: str | None
    measured: Measured
    queries: tuple[QueryFigures, ...] = ()
    words: WordSource | None = None
    shared: str | None = None


def write_card(folder: Path, card: ModelCard) -> None:
    """Write `card.json` and `MODEL_CARD.md` beside a model.

    Args:
        folder: The model folder.
        card: What to say.

    Raises:
        ModelFileError: the folder holds no model.
    """
    write_companion(folder, CARD, asdict(card))
    (Path(folder) / CARD_PAGE).write_text(_page(folder, card), encoding="utf-8")


def _page(folder: Path, card: ModelCard) -> str:
    return render_card(card, read_config(folder), fit=read_companion(folder, FIT) is not None)


def read_card(folder: Path) -> dict[str, Any] | None:
    """`card.json` of a model folder, with the keys of `ModelCard`; None where there is none.

    Raises:
        ModelFileError: it is damaged, or about another model.
    """
    return read_companion(folder, CARD)


def read_card_page(folder: Path) -> str:
    """`MODEL_CARD.md` of a model folder.

    Raises:
        ModelFileError: there is none.
    """
    path = Path(folder) / CARD_PAGE
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, ValueError):
        raise ModelFileError(
            f"{path.parent} has no readable {CARD_PAGE}: olrsearch encoders publish writes one"
        ) from None


def render_card(card: ModelCard, config: Mapping[str, Any], *, fit: bool = False) -> str:
    """The card as Markdown.

    Args:
        card: What to say.
        config: The model's configuration, of `model_config.read_config`.
        fit: Whether the encoder knows how well images fit its training.
    """
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("olrsearch.encoders.folder", "."),
        autoescape=False,  # noqa: S701 - Markdown, and nothing of it comes from strangers
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters.update(figure=_figure, percent=_percent, cell=_cell, setting=setting_text)
    tensors = config["tensors"]
    return environment.get_template("model_card.md.jinja").render(
        card=card,
        config=config,
        fit=fit,
        numbers=sum(math.prod(entry["shape"]) for entry in tensors.values()),
        half=any(entry["dtype"] == "float16" for entry in tensors.values()),
        everyone=card.measured.groups[0],
        groups=card.measured.groups[1:],
    )


def setting_text(value: Any) -> str:  # noqa: ANN401 - a setting of any type
    """A setting as `olrsearch train olr --set` reads it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return ",".join(map(str, value)) if isinstance(value, tuple | list) else str(value)


def _figure(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.1f} %"


def _cell(text: str) -> str:
    """Text that cannot end a cell of a Markdown table."""
    return text.replace("|", "\\|")
