"""How an avatar is drawn: traits, a random pose and a random light to JPEG bytes.

Drawn with DiceBear's style `avataaars`, a remix of Avataaars by Pablo Stanley
(https://avataaars.com, free for personal and commercial use), and resvg.
"""

from __future__ import annotations

import colorsys
import io
import json
import re
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from olrsearch.core.errors import OptionalDependencyError

if TYPE_CHECKING:
    from olrsearch.core.arrays import F32, U8
    from olrsearch.datasets.generated.avatar_traits import Traits

_CENTRE = (140.0, 127.0)  # of the part of the style's canvas (280 × 280) that is shown
_CANVAS_CLIP = re.compile(r' clip-path="url\(#clip-[^"]*"')
_SHOWN = 216.0  # units of the canvas from the upper to the lower edge


def check_installed() -> None:
    """Raise `OptionalDependencyError` unless the packages that draw avatars are there."""
    try:
        import resvg_py  # noqa: F401 - only whether it is there

        _style()
    except ModuleNotFoundError as cause:
        raise OptionalDependencyError(
            f"avatars need the package {cause.name}, which is not installed; run pip install "
            "'olrsearch[demo]'"
        ) from cause


def draw(traits: Traits, rng: np.random.Generator, size: tuple[int, int]) -> bytes:
    """Draw an avatar with a pose, a background and a light of its own.

    Args:
        traits: What to draw.
        rng: Decides the pose (scale ±8 %, shift ±2 %, rotation of about 4°, mirrored or not),
            the background (a gradient of two colours), brightness and contrast (±14 %),
            colour temperature, noise.
        size: Height and width in pixels.

    Returns:
        A JPEG, the same for the same arguments (and versions of the libraries).

    Raises:
        ModuleNotFoundError: The extra `demo` is not installed; `check_installed` says so in our words.
    """
    import resvg_py

    svg = _posed(traits, rng, size)
    ground = Image.fromarray(_ground(rng, size))
    png = bytes(resvg_py.svg_to_bytes(svg_string=svg, skip_system_fonts=True))
    with Image.open(io.BytesIO(png)) as avatar:
        ground.paste(avatar, mask=avatar)
    buffer = io.BytesIO()
    Image.fromarray(_lit(np.asarray(ground), rng)).save(buffer, "JPEG", quality=90)
    return buffer.getvalue()


def _ground(rng: np.random.Generator, size: tuple[int, int]) -> U8:
    """A background that goes from one colour to a similar, darker one."""
    height, width = size
    hue, near = rng.uniform(0, 1), rng.uniform(-0.1, 0.1)
    saturation, light = rng.uniform(0.1, 0.6), rng.uniform(0.55, 0.88)
    above = np.array(colorsys.hls_to_rgb(hue, light, saturation), dtype=np.float32)
    below = np.array(colorsys.hls_to_rgb((hue + near) % 1, light - 0.14, saturation), dtype=np.float32)
    slant = rng.uniform(-0.5, 0.5)
    slope = np.linspace(0, 1, height)[:, None] + slant * np.linspace(-1, 1, width)[None, :]
    way: F32 = np.clip(slope, 0, 1).astype(np.float32)[:, :, None]
    return np.rint(255 * (above + way * (below - above))).astype(np.uint8)


def _lit(pixels: U8, rng: np.random.Generator) -> U8:
    """The picture in another light, with some noise."""
    brightness, contrast = rng.uniform(0.86, 1.12), rng.uniform(0.86, 1.12)
    warmth = float(np.clip(0.03 * rng.standard_normal(), -0.07, 0.07))
    gain = (brightness * np.array([1 + warmth, 1.0, 1 - warmth])).astype(np.float32)
    noise = rng.standard_normal(pixels.shape, dtype=np.float32) * np.float32(rng.uniform(0.0, 5.0))
    lit = (pixels * gain - 128) * np.float32(contrast) + 128 + noise
    return np.clip(np.rint(lit), 0, 255).astype(np.uint8)


def _posed(traits: Traits, rng: np.random.Generator, size: tuple[int, int]) -> str:
    """The drawing, moved and turned, as an SVG of `size` pixels."""
    svg = _svg(traits)
    height, width = size
    scale = height / _SHOWN * rng.uniform(0.92, 1.08)
    mirror = -1 if rng.random() < 0.5 else 1
    turn = float(np.clip(4.0 * rng.standard_normal(), -9.0, 9.0))
    x, y = width / 2 + height * rng.uniform(-0.02, 0.02), height / 2 + height * rng.uniform(-0.005, 0.025)
    move = (
        f"translate({x:.3f} {y:.3f}) rotate({turn:.3f}) scale({mirror * scale:.5f} {scale:.5f}) "
        f"translate({-_CENTRE[0]} {-_CENTRE[1]})"
    )
    start = svg.index(">", svg.index("<svg")) + 1
    # Without the clip to the canvas it takes two thirds of the time, and
    # a turned avatar shows no edge of it: the rectangle goes on where the clothes end.
    inner = _CANVAS_CLIP.sub("", svg[start : svg.rindex("</svg>")], count=1)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" fill="none">'
        f'<g transform="{move}"><rect x="40" y="279" width="200" height="60" fill="{traits.clothes_color}"/>'
        f"{inner}</g></svg>"
    )


def _svg(traits: Traits) -> str:
    from dicebear import Avatar

    person = traits.person
    options: dict[str, Any] = {
        "seed": "avatar",
        "eyesVariant": traits.eyes,
        "eyebrowsVariant": traits.eyebrows,
        "mouthVariant": traits.mouth,
        "clothesVariant": traits.clothes,
        "clothesGraphicVariant": traits.graphic,
        "skinColor": person.skin,
        "hairColor": person.hair_color,
        "facialHairColor": person.hair_color,
        "accessoriesColor": person.frame_color,
        "clothesColor": traits.clothes_color,
        "hatColor": traits.hat_color,
    }
    parts = {"top": traits.top, "accessories": traits.accessory, "facialHair": person.facial_hair}
    for part, variant in parts.items():
        options[f"{part}Probability"] = 0 if variant is None else 100
        if variant is not None:
            options[f"{part}Variant"] = variant
    return str(Avatar(_style(), options))


@cache
def _style() -> Any:  # noqa: ANN401 - dicebear is optional, and so are its types
    from dicebear import Style

    text = resources.files("dicebear_styles").joinpath("avataaars.json").read_text(encoding="utf-8")
    return Style(json.loads(text))
