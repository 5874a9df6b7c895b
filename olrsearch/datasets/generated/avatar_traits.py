"""Who is drawn: the generative model of avatars, and the labels read off the drawn traits.

A label says what can be *seen*: it is present exactly where the trait is drawn and
nothing covers it. A hat hides the hair, so under one there is neither hair colour nor
length; under sunglasses the eyes are open; a hijab hides the clothes.

The model. A person has latent numbers — style (0 masculine … 1 feminine, mostly near an
end), age (0 … 1), a skin tone — and lasting traits drawn given them; a picture of the person has
a mood, a weather and an occasion:

```
skin tone ─► natural hair colour, curls            age ─► grey or no hair, glasses, long beard
style     ─► hair length, facial hair, headscarf    style, age ─► baldness, clothes
mood      ─► mouth, eyes, eyebrows                  sun ─► sunglasses, sun hat;  cold ─► woollen hat, hoodie
```

So labels are correlated as labels of real faces are (beards with moustaches and short
hair, baldness with grey hair, smiles with closed eyes), with base rates from a few percent
to half.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping

_SHORT: Final = {
    "shortFlat": 1.5,
    "shortRound": 1.0,
    "shortWaved": 1.2,
    "shortCurly": 1.0,
    "theCaesar": 1.0,
    "theCaesarAndSidePart": 0.8,
    "shaggy": 0.7,
    "dreads01": 0.5,
    "frizzle": 0.4,
}
_MEDIUM: Final = {
    "bob": 1.5,
    "bun": 1.0,
    "curly": 0.9,
    "fro": 0.5,
    "froBand": 0.4,
    "longButNotTooLong": 1.3,
    "miaWallace": 1.0,
    "dreads02": 0.4,
    "shaggyMullet": 0.5,
}
_LONG: Final = {
    "bigHair": 1.0,
    "curvy": 1.0,
    "dreads": 0.5,
    "shavedSides": 0.4,
    "straight01": 1.4,
    "straight02": 1.4,
    "straightAndStrand": 1.3,
}
_CURLY: Final = frozenset({"curly", "fro", "froBand", "curvy", "dreads", "dreads01", "dreads02"})
_BANGS: Final = frozenset(
    {"miaWallace", "straightAndStrand", "longButNotTooLong", "shaggy", "shaggyMullet", "curvy"}
)
_BALDING = "sides"  # hair above the ears only
_SUN_HAT = "hat"
_WOOLLEN_HATS: Final = ("winterHat1", "winterHat02", "winterHat03", "winterHat04")
_HATS: Final = frozenset({_SUN_HAT, *_WOOLLEN_HATS})
_HIJAB, _TURBAN = "hijab", "turban"
_SCARVES: Final = frozenset({_HIJAB, _TURBAN})
_COVERED: Final = _HATS | _SCARVES

_BEARDS: Final = frozenset({"beardLight", "beardMedium", "beardMajestic"})
_SUNGLASSES: Final = ("sunglasses", "wayfarers")
_GLASSES: Final = ("prescription01", "prescription02", "round")

_SKINS: Final = {
    "pale": "#ffe2cf",
    "light": "#edb98a",
    "tan": "#d08b5b",
    "brown": "#ae5d29",
    "dark": "#614335",
}
_TONES: Final = {"pale": 0.18, "light": 0.36, "tan": 0.20, "brown": 0.14, "dark": 0.12}
_HAIRS: Final = {
    "black": ("#2c1b18", "#1d1717"),
    "brown": ("#724133", "#6a4028"),
    "blond": ("#d6b370", "#e6c98c"),
    "red": ("#c93305", "#bf4a1d"),
    "gray": ("#b7b4b2", "#d2cecb"),
}
_HAIR_BY_TONE: Final[Mapping[str, Mapping[str, float]]] = {
    "pale": {"black": 0.10, "brown": 0.36, "blond": 0.36, "red": 0.18},
    "light": {"black": 0.20, "brown": 0.44, "blond": 0.26, "red": 0.10},
    "tan": {"black": 0.46, "brown": 0.44, "blond": 0.07, "red": 0.03},
    "brown": {"black": 0.70, "brown": 0.26, "blond": 0.03, "red": 0.01},
    "dark": {"black": 0.86, "brown": 0.11, "blond": 0.02, "red": 0.01},
}
_CURLS_BY_TONE: Final = {"pale": 0.5, "light": 0.7, "tan": 1.0, "brown": 2.5, "dark": 4.0}
_CLOTH_COLORS: Final = (
    "#262e33",
    "#65c9ff",
    "#5199e4",
    "#25557c",
    "#929598",
    "#3c4f5c",
    "#b1e2ff",
    "#a7ffc4",
    "#ffafb9",
    "#ffffb1",
    "#ff488e",
    "#ff5c5c",
    "#e6e6e6",
    "#7a4fa3",
    "#2f7d4f",
)
_FRAME_COLORS: Final = ("#262e33", "#3c4f5c", "#25557c", "#5b2e1e")
_GRAPHICS: Final = ("bat", "bear", "cumbia", "deer", "diamond", "hola", "pizza", "resist", "skull")

_SMILES: Final = frozenset({"default", "smile", "twinkle", "tongue"})
_FROWNS: Final = frozenset({"sad", "disbelief", "concerned"})
_OPEN_MOUTHS: Final = frozenset({"default", "smile", "tongue", "screamOpen", "disbelief", "concerned"})
_CLOSED_EYES: Final = frozenset({"closed", "happy"})


@dataclass(frozen=True, slots=True)
class Person:
    """What stays the same in all pictures of one person.

    Attributes:
        style: 0 masculine … 1 feminine.
        age: 0 … 1.
        tone: A key of the skin tones.
        skin: Its colour, `#rrggbb`.
        top: Hair style or headscarf; None is a bald head.
        hair: A key of the hair colours.
        hair_color: `#rrggbb`.
        facial_hair: A style, or None.
        glasses: A style of clear glasses, or None.
        frame_color: `#rrggbb`, of any glasses.
        cheer: Mean of the person's moods.
    """

    style: float
    age: float
    tone: str
    skin: str
    top: str | None
    hair: str
    hair_color: str
    facial_hair: str | None
    glasses: str | None
    frame_color: str
    cheer: float


@dataclass(frozen=True, slots=True)
class Traits:
    """What one picture shows; names are those of the drawing style's parts."""

    person: Person
    top: str | None
    accessory: str | None
    eyes: str
    eyebrows: str
    mouth: str
    clothes: str
    graphic: str
    clothes_color: str
    hat_color: str


def sample_person(rng: np.random.Generator) -> Person:
    """Draw a person."""
    style = float(_sigmoid(3.0 * rng.standard_normal()))
    age = float(rng.beta(1.8, 2.2))
    tone = _choose(rng, _TONES)
    hair = _choose(rng, _HAIR_BY_TONE[tone])
    if rng.random() < _sigmoid(14 * (age - 0.68)):
        hair = "gray"
    return Person(
        style=style,
        age=age,
        tone=tone,
        skin=_jitter(rng, _SKINS[tone], 5),
        top=_hair_style(rng, style, age, tone),
        hair=hair,
        hair_color=_jitter(rng, _any(rng, _HAIRS[hair]), 7),
        facial_hair=_facial_hair(rng, style, age),
        glasses=_any(rng, _GLASSES) if rng.random() < 0.10 + 0.28 * age else None,
        frame_color=_any(rng, _FRAME_COLORS),
        cheer=float(0.35 * rng.standard_normal() + 0.3 * (style - 0.3)),
    )


def sample_traits(rng: np.random.Generator, person: Person) -> Traits:
    """Draw what one picture of a person shows."""
    mood = float(person.cheer + 0.8 * rng.standard_normal())
    arousal = float(rng.standard_normal())
    weather = rng.random()
    sunny, cold = weather < 0.16, weather > 0.86

    top, accessory = person.top, person.glasses
    if top not in _SCARVES:
        if cold and rng.random() < 0.55:
            top = _any(rng, _WOOLLEN_HATS)
        elif rng.random() < (0.25 if sunny else 0.02):
            top = _SUN_HAT
    if rng.random() < (0.5 if sunny else 0.03):
        accessory = _any(rng, _SUNGLASSES)
    eyes = _eyes(rng, mood, arousal)
    return Traits(
        person=person,
        top=top,
        accessory=accessory,
        eyes="default" if accessory in _SUNGLASSES else eyes,  # dark glasses let a little through
        eyebrows=_eyebrows(rng, mood, arousal),
        mouth=_mouth(rng, mood, arousal),
        clothes=_clothes(rng, person, cold=cold),
        graphic=_any(rng, _GRAPHICS),
        clothes_color=_jitter(rng, _any(rng, _CLOTH_COLORS), 6),
        hat_color=_jitter(rng, _any(rng, _CLOTH_COLORS), 6),
    )


def visible_labels(traits: Traits) -> dict[str, bool]:
    """Every label and whether it can be seen in the picture, sorted by name."""
    person = traits.person
    hair_seen = traits.top is not None and traits.top not in _COVERED
    style = traits.top if hair_seen else None
    color = person.hair if hair_seen else None
    clothes = None if traits.top == _HIJAB else traits.clothes
    return {
        "Angry_Eyebrows": traits.eyebrows.startswith("angry"),
        "Bald": traits.top in {None, _BALDING},
        "Bangs": style in _BANGS,
        "Beard": person.facial_hair in _BEARDS,
        "Black_Hair": color == "black",
        "Blond_Hair": color == "blond",
        "Brown_Hair": color == "brown",
        "Curly_Hair": style in _CURLY,
        "Dark_Skin": person.tone in {"brown", "dark"},
        "Eyeglasses": traits.accessory in _GLASSES,
        "Eyes_Closed": traits.eyes in _CLOSED_EYES,
        "Frowning": traits.mouth in _FROWNS,
        "Gray_Hair": color == "gray",
        "Long_Hair": style in _LONG,
        "Looking_Sideways": traits.eyes == "side",
        "Mouth_Open": traits.mouth in _OPEN_MOUTHS,
        "Mustache": person.facial_hair is not None,  # every beard of this style has one
        "Pale_Skin": person.tone == "pale",
        "Raised_Eyebrows": traits.eyebrows.startswith("raised"),
        "Red_Hair": color == "red",
        "Short_Hair": style in _SHORT,
        "Smiling": traits.mouth in _SMILES,
        "Sunglasses": traits.accessory in _SUNGLASSES,
        "Tongue_Out": traits.mouth == "tongue",
        "Wearing_Blazer": clothes is not None and clothes.startswith("blazer"),
        "Wearing_Hat": traits.top in _HATS,
        "Wearing_Headscarf": traits.top in _SCARVES,
        "Wearing_Hoodie": clothes == "hoodie",
        "Wide_Eyes": traits.eyes == "surprised",
        "Winking": traits.eyes == "wink",
    }


def _hair_style(rng: np.random.Generator, style: float, age: float, tone: str) -> str | None:
    if rng.random() < 0.035:
        return _HIJAB if style > 0.5 else _TURBAN
    if rng.random() < (1 - style) * (0.06 + 0.55 * _sigmoid(12 * (age - 0.62))):
        return _BALDING if rng.random() < 0.4 + 0.3 * age else None
    length = _choose(
        rng, {"short": 0.9 - 0.72 * style, "medium": 0.07 + 0.30 * style, "long": 0.03 + 0.45 * style}
    )
    styles = {"short": _SHORT, "medium": _MEDIUM, "long": _LONG}[length]
    curls = _CURLS_BY_TONE[tone]
    return _choose(rng, {name: w * (curls if name in _CURLY else 1.0) for name, w in styles.items()})


def _facial_hair(rng: np.random.Generator, style: float, age: float) -> str | None:
    if rng.random() >= (1 - style) ** 2 * (0.36 + 0.3 * age):
        return None
    weights = {
        "beardLight": 1.0,
        "beardMedium": 1.1,
        "beardMajestic": 0.3 + 1.2 * age,
        "moustacheFancy": 0.6,
        "moustacheMagnum": 0.7,
    }
    return _choose(rng, weights)


def _mouth(rng: np.random.Generator, mood: float, arousal: float) -> str:
    glad, low = float(np.exp(1.6 * mood)), float(np.exp(-1.6 * mood))
    loud = float(np.exp(0.6 * arousal))
    weights = {
        "default": 0.7 * glad,
        "smile": 0.9 * glad,
        "twinkle": 0.8 * glad / loud,
        "tongue": 0.18 * glad * loud,
        "serious": 1.1,
        "grimace": 0.2 * loud,
        "screamOpen": 0.25 * loud,
        "sad": 0.45 * low,
        "disbelief": 0.3 * low,
        "concerned": 0.25 * low * loud,
    }
    return _choose(rng, weights)


def _eyes(rng: np.random.Generator, mood: float, arousal: float) -> str:
    glad, wide = float(np.exp(1.2 * mood)), float(np.exp(1.2 * arousal))
    weights = {
        "default": 4.0,
        "happy": 0.5 * glad,
        "closed": 0.35 / wide,
        "side": 0.6,
        "surprised": 0.35 * wide,
        "squint": 0.3,
        "wink": 0.22 * glad,
    }
    return _choose(rng, weights)


def _eyebrows(rng: np.random.Generator, mood: float, arousal: float) -> str:
    low, wide = float(np.exp(-1.3 * mood)), float(np.exp(1.2 * arousal))
    weights = {
        "default": 3.0,
        "flat": 0.5,
        "upDown": 0.3,
        "angry": 0.5 * low,
        "raisedExcited": 0.7 * wide,
        "sadConcerned": 0.3 * low,
    }
    kind = _choose(rng, weights)
    if kind == "flat":
        return "flatNatural"
    return f"{kind}Natural" if rng.random() < 0.5 else kind


def _clothes(rng: np.random.Generator, person: Person, *, cold: bool) -> str:
    formal = float(np.exp(1.8 * (person.age - 0.4)))
    weights = {
        "blazerAndShirt": 0.55 * formal,
        "blazerAndSweater": 0.45 * formal,
        "collarAndSweater": 0.6 * formal,
        "hoodie": 0.6 / formal * (3.0 if cold else 1.0),
        "graphicShirt": 0.5 / formal,
        "overall": 0.3 / formal,
        "shirtCrewNeck": 1.1,
        "shirtScoopNeck": 0.2 + 0.9 * person.style,
        "shirtVNeck": 0.7,
    }
    return _choose(rng, weights)


def _choose(rng: np.random.Generator, weights: Mapping[str, float]) -> str:
    """One of the names, with probability in proportion to its weight."""
    total = np.cumsum(list(weights.values()))
    at = int(np.searchsorted(total, rng.random() * total[-1], side="right"))
    return list(weights)[min(at, len(weights) - 1)]


def _any(rng: np.random.Generator, names: tuple[str, ...]) -> str:
    return names[int(rng.integers(len(names)))]


def _jitter(rng: np.random.Generator, color: str, amount: int) -> str:
    """The colour, each channel changed by up to `amount` of 255."""
    channels = [int(color[at : at + 2], 16) for at in (1, 3, 5)]
    shifts = rng.integers(-amount, amount + 1, size=3).tolist()
    return "#" + "".join(f"{min(255, max(0, c + s)):02x}" for c, s in zip(channels, shifts, strict=True))


def _sigmoid(value: float) -> float:
    return float(1.0 / (1.0 + np.exp(-value)))
