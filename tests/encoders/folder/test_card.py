import dataclasses
import json

import pytest
from tiny_encoders.labels import TinyEncoder
from tiny_encoders.posteriors import TinyPosteriorEncoder

from olrsearch.core.errors import ModelFileError
from olrsearch.encoders.folder.card import (
    CELEBA_TERMS,
    OWN_TERMS,
    GroupFigures,
    LabelFigures,
    Measured,
    ModelCard,
    QueryFigures,
    Rounding,
    Training,
    WordSource,
    read_card,
    read_card_page,
    render_card,
    setting_text,
    write_card,
)
from olrsearch.encoders.folder.model_config import read_config

LABELS = ("Male", "Smiling", "a|b")


def group(name, images, offset=0.0):
    rows = tuple(
        LabelFigures(label, 10 + place, 20, 0.5 + offset, 0.25 + offset, None)
        for place, label in enumerate(LABELS)
    )
    return GroupFigures(name, images, 0.625 + offset, 0.75 + offset, None, rows)


CARD = ModelCard(
    name="faces",
    version="1.2.3",
    data=("celeba",),
    terms=CELEBA_TERMS,
    training=Training(
        commands=("olrsearch import celeba PATH", "olrsearch train olr --profile faces"),
        settings={"labels": list(LABELS), "pretrained": True, "image_size": [144, 120], "k": 32},
        seed=17,
        images=18_692,
        selection=1001,
        seconds={"teacher": 90.0},
        hardware="two CPU cores",
        prevalence={"Male": 0.417, "Smiling": 0.48, "a|b": None},
    ),
    rounding=Rounding(images=256, mean=0.00012, largest=0.0034),
    calibration="1,001 selection images of celeba",
    metric="ip, centred",
    measured=Measured(
        "celeba", "olrsearch bench attributes", 3, (group("all", 4042), group("Male", 1700, 0.125))
    ),
    queries=(QueryFigures("A & B", 100, 0.5625, 0.6875),),
)


@pytest.fixture
def folder(tmp_path):
    encoder = TinyEncoder.create(tmp_path, LABELS, k=5, input_size=(144, 120))
    return tmp_path / encoder.fingerprint


def test_a_card_is_read_back(folder):
    assert read_card(folder) is None
    with pytest.raises(ModelFileError, match=r"no readable MODEL_CARD\.md"):
        read_card_page(folder)
    write_card(folder, CARD)
    assert read_card(folder) == json.loads(json.dumps(dataclasses.asdict(CARD)))
    assert read_card_page(folder) == render_card(CARD, read_config(folder))


def test_the_page_says_what_a_card_must_say(folder):
    page = render_card(CARD, read_config(folder))
    headings = [line for line in page.splitlines() if line.startswith("#")]
    assert headings == [
        "# Model card: faces",
        "## Model",
        "## What it is for",
        "## What it must not be used for",
        "## Training data",
        "## Training",
        "## Figures",
        "### Only images labelled Male",
        "## Known limits",
        "## What a larger run would change",
        "## Licence",
    ]
    for said in (
        "non-commercial research only",
        "To identify anybody",
        "To decide about people",
        "not character",
        "no image, no label row",
        "18,692 images to train on, and 1,001 held back",
        "olrsearch train olr --profile faces",
        "Seed 17. Trained on two CPU cores, wall time teacher 1.5 min.",
        "| `image_size` | 144,120 |",
        "| `pretrained` | true |",
        "weights that were trained on ImageNet (Apache-2.0)",
        "on 256 images, calibrated probabilities of the two differ by\n0.00012 in the mean and by 0.0034 at",
        "| all | 4,042 | 0.625 | 0.750 | – |",
        "| Male | 1,700 | 0.750 | 0.875 | – |",
        "| Smiling | 48.0 % | 11 | 0.500 | 0.250 | – |",
        "| a\\|b | – | 12 | 0.500 | 0.250 | – |",
        "| A & B | 100 | 0.562 | 0.688 |",
        "Male: mAP 0.750, accuracy 0.875",
        "Of the training images 41.7 % are labelled Male.",
        "calibrated on 1,001 selection images of celeba",
        read_config(folder)["fingerprint"],
    ):
        assert said in page, said
    assert "\n\n\n" not in page
    assert not [line for line in page.splitlines() if line != line.rstrip()]
    assert page.endswith(".\n")


def test_other_data_have_other_terms(folder):
    card = dataclasses.replace(
        CARD,
        terms=OWN_TERMS,
        training=None,
        rounding=None,
        data=(),
        queries=(),
        measured=dataclasses.replace(CARD.measured, groups=CARD.measured.groups[:1]),
    )
    page = render_card(card, read_config(folder))
    assert "CelebA" not in page
    assert "data that are not known" in page
    assert "trained outside the store that it was published from" in page
    assert "## Training\n" not in page
    assert "float16" not in page
    assert OWN_TERMS.licence in page
    assert "\n\n\n" not in page


def test_settings_are_spelled_as_set_reads_them():
    values = (True, False, (0.2, 0.4), [144, 120], 3e-3, "mean")
    assert [setting_text(value) for value in values] == [
        "true",
        "false",
        "0.2,0.4",
        "144,120",
        "0.003",
        "mean",
    ]


def test_an_encoder_of_words_says_what_words_do(tmp_path):
    encoder = TinyPosteriorEncoder.create(tmp_path, LABELS, input_size=(144, 120))
    folder = tmp_path / encoder.fingerprint
    training = dataclasses.replace(
        CARD.training, settings={"pretrained": False, "start_from": "faces", "freeze_trunk": True}
    )
    card = dataclasses.replace(
        CARD,
        name="faces-words",
        metric=None,
        training=training,
        words=WordSource("glove", "ab" * 32, "whiten", 0.1),
        shared="faces",
        queries=(),
    )
    write_card(folder, card)
    assert read_card(folder) == json.loads(json.dumps(dataclasses.asdict(card)))
    page = read_card_page(folder)
    for said in (
        "Posteriors of faces in a space of words",
        "a Gaussian of d = 3 dimensions",
        "their vectors from GloVe 6B 50d (sha256 `abababababab…`), transform `whiten`",
        "λ = 0.1",
        "The trunk is that of the encoder `faces`, which training left as it was",
        "Public Domain Dedication and License (PDDL)",
        "ab" * 32,
        "in common with `faces` lie in that folder beside it",
        "`woman` lies near `man`, and so near the label `Male`",
        "- **A negated word** (`!male`)",
        "The rarer a word in GloVe 6B 50d",
        "To ask for words that no picture can show",
        "To identify anybody",
        "non-commercial research only",
        "average precision of describing",
        "Male: mAP 0.750, accuracy 0.875",
    ):
        assert said in page, said
    for unsaid in (
        "label distances",
        "Label embeddings of faces",
        "numbers for each of",
        "the choice of distances",
    ):
        assert unsaid not in page, unsaid
    assert "\n\n\n" not in page
    assert not [line for line in page.splitlines() if line != line.rstrip()]
    one_hot = dataclasses.replace(
        card, words=WordSource(None, None, "one-hot", 0.1), terms=OWN_TERMS, shared=None
    )
    page = render_card(one_hot, read_config(folder))
    assert "3 of its own, one-hot" in page
    for unsaid in ("GloVe", "Opposites", "`None`", "beside it"):
        assert unsaid not in page, unsaid
    assert "\n\n\n" not in page
