"""Foreign images that can be made: charts, avatars, drawn hands, faces pasted into scenes.

All return PIL images in RGB, the same for the same seed (and versions of the libraries).
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Final

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from olrsearch.core.errors import BenchmarkError
from olrsearch.datasets.generated import avatar_drawing
from olrsearch.datasets.generated.avatar_traits import sample_person, sample_traits

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from matplotlib.axes import Axes

    from olrsearch.core.arrays import U8

_SIZE: Final = (218, 178)
"""Height and width of aligned faces, in pixels."""

_HANDS: Final = (
    0x1F44B, 0x1F91A, 0x1F590, 0x270B, 0x1F596, 0x1F44C, 0x1F90F, 0x270C, 0x1F91E, 0x1F91F, 0x1F918, 0x1F919,
    0x1F448, 0x1F449, 0x1F446, 0x1F447, 0x261D, 0x1F44D, 0x1F44E, 0x270A, 0x1F44A, 0x1F91B, 0x1F91C, 0x1F44F,
    0x1F64C, 0x1F450, 0x1F932, 0x1F64F, 0x270D, 0x1F485, 0x1F4AA,
)  # fmt: skip
_TONES: Final = (0x1F3FB, 0x1F3FC, 0x1F3FD, 0x1F3FE, 0x1F3FF)
_EMOJI_SIZE: Final = 109
"""Pixels: the one size that Noto Color Emoji has."""


def charts(count: int, seed: int) -> Iterator[Image.Image]:
    """Plots drawn with matplotlib: lines, bars, points, histograms, pies, grids of colours."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    rng = np.random.default_rng((seed, 1))
    kinds: tuple[Callable[[Axes, np.random.Generator], object], ...] = (
        lambda axes, rng: axes.plot(rng.normal(size=(60, int(rng.integers(1, 5)))).cumsum(axis=0)),
        lambda axes, rng: axes.bar(range(8), rng.random(8), color=rng.random((8, 3))),
        lambda axes, rng: axes.scatter(
            rng.normal(size=150), rng.normal(size=150), c=rng.random(150), cmap="viridis"
        ),
        lambda axes, rng: axes.hist(rng.normal(size=400), bins=int(rng.integers(8, 40))),
        lambda axes, rng: axes.pie(rng.random(5) + 0.1, labels=list("abcde")),
        lambda axes, rng: axes.imshow(rng.random((12, 9)), cmap=("magma", "RdBu", "Greys")[rng.integers(3)]),
    )
    for number in range(count):
        figure = Figure(
            figsize=(float(rng.uniform(2, 7)), float(rng.uniform(2, 7))),
            dpi=80,
            facecolor=rng.choice(["white", "#222", "#f4efe6"]),
        )
        FigureCanvasAgg(figure)
        axes = figure.subplots()
        kinds[number % len(kinds)](axes, rng)
        axes.set_title(f"Figure {number}")
        content = io.BytesIO()
        figure.savefig(content, format="png")
        yield Image.open(content).convert("RGB")


def avatars(count: int, seed: int) -> Iterator[Image.Image]:
    """Faces as `olrsearch import avatars` draws them: DiceBear's style avataaars."""
    rng = np.random.default_rng((seed, 2))
    for _ in range(count):
        traits = sample_traits(rng, sample_person(rng))
        yield Image.open(io.BytesIO(avatar_drawing.draw(traits, rng, _SIZE))).convert("RGB")


def drawn_hands(count: int, seed: int, font: Path, scenes: Sequence[Image.Image]) -> Iterator[Image.Image]:
    """Hands of an emoji font in five skin colours, turned, on plain grounds and on pieces of scenes.

    Args:
        count: How many.
        seed: Of everything random.
        font: Noto Color Emoji, a `.ttf` file.
        scenes: Where every second one lies; all lie on plain grounds where there are none.

    Raises:
        BenchmarkError: the font cannot be read.
    """
    try:
        letters = ImageFont.truetype(str(font), _EMOJI_SIZE)
    except OSError as error:
        raise BenchmarkError(
            f"{font} is no font that can be read ({error}): name NotoColorEmoji.ttf"
        ) from None
    rng = np.random.default_rng((seed, 3))
    for number in range(count):
        text = chr(_HANDS[number % len(_HANDS)]) + chr(_TONES[rng.integers(len(_TONES))])
        hand = Image.new("RGBA", (136, 128))
        ImageDraw.Draw(hand).text((0, 0), text, font=letters, embedded_color=True)
        side = int(rng.integers(110, 190))
        hand = hand.resize((side, side)).rotate(float(rng.uniform(-40, 40)), expand=True)
        ground = _ground(rng, scenes if number % 2 else ())
        left, top = (
            int(rng.integers(-20, max(1, whole - part + 20)))
            for whole, part in zip(ground.size, hand.size, strict=True)
        )
        ground.paste(hand, (left, top), hand)
        yield ground


def composed_groups(
    count: int, seed: int, faces: Sequence[Image.Image], scenes: Sequence[Image.Image]
) -> Iterator[Image.Image]:
    """Scenes with two to seven faces pasted in, of other sizes and places than an aligned face has.

    Args:
        count: How many.
        seed: Of everything random.
        faces: Aligned faces; an ellipse of each is pasted.
        scenes: What they stand before.

    Raises:
        BenchmarkError: there are no faces, or no scenes.
    """
    if not faces or not scenes:
        raise BenchmarkError("groups are composed of faces and scenes: name folders that hold both")
    rng = np.random.default_rng((seed, 4))
    for _ in range(count):
        scene = _one(scenes, rng)
        width = 480
        height = int(width * rng.uniform(0.55, 1.3))
        ground = piece(scene, rng, (height, width))
        people = int(rng.integers(2, 8))
        for place in range(people):
            face = _one(faces, rng)
            tall = int(height * rng.uniform(0.22, 0.45))
            wide = int(tall * face.width / face.height)
            small = face.resize((wide, tall))
            mask = Image.new("L", small.size)
            ImageDraw.Draw(mask).ellipse((wide * 0.12, tall * 0.08, wide * 0.88, tall * 0.96), fill=255)
            left = int(width * (place + 0.5) / people - wide / 2)
            ground.paste(small, (left, int(rng.uniform(0.05, 0.5) * height)), mask)
        yield ground


def pieces(scenes: Sequence[Image.Image], seed: int, each: int = 3) -> Iterator[Image.Image]:
    """Every scene, and some parts of it, of the shape of an aligned face."""
    rng = np.random.default_rng((seed, 5))
    for scene in scenes:
        yield scene
        for _ in range(each):
            yield piece(scene, rng, _SIZE)


def piece(scene: Image.Image, rng: np.random.Generator, size: tuple[int, int]) -> Image.Image:
    """A random part of a scene, of half to all of its sides, scaled to (height, width)."""
    share = rng.uniform(0.5, 1.0)
    wide, tall = int(scene.width * share), int(scene.height * share)
    left, top = int(rng.integers(scene.width - wide + 1)), int(rng.integers(scene.height - tall + 1))
    found = scene.crop((left, top, left + wide, top + tall)).resize((size[1], size[0]))
    return found.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if rng.random() < 0.5 else found


def _one(images: Sequence[Image.Image], rng: np.random.Generator) -> Image.Image:
    return images[int(rng.integers(len(images)))]


def _ground(rng: np.random.Generator, scenes: Sequence[Image.Image]) -> Image.Image:
    if scenes:
        return piece(_one(scenes, rng), rng, _SIZE)
    colour: U8 = rng.integers(0, 256, 3, dtype=np.uint8)
    return Image.new("RGB", (_SIZE[1], _SIZE[0]), (int(colour[0]), int(colour[1]), int(colour[2])))
