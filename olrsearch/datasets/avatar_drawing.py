"""How an avatar is drawn: traits, a random pose and a random light to JPEG bytes.

Drawn with DiceBear's style `avataaars`, a remix of Avataaars by Pablo Stanley
(https://avataaars.com, free for personal and commercial use), and resvg.
"""

from __future__ import annotations

import io
import json
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from olrsearch.errors import OptionalDependencyError

if TYPE_CHECKING:
    from olrsearch.datasets.avatar_traits import Traits

_CANVAS = 280.0  # the style's own width and height
_CENTRE = (140.0, 121.0)  # of the part that is shown
_SHOWN = 238.0  # units of the canvas from the upper to the lower edge


def check_installed() -> None:
    """Raise `OptionalDependencyError` unless the packages that draw avatars are there."""
    _style()
    _resvg()


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
        OptionalDependencyError: The extra `demo` is not installed.
    """
    png = bytes(_resvg().svg_to_bytes(svg_string=_posed(_svg(traits), rng, size), skip_system_fonts=True))
    with Image.open(io.BytesIO(png)) as image:
        pixels = np.asarray(image.convert("RGB"), dtype=np.float32)
    buffer = io.BytesIO()
    Image.fromarray(_lit(pixels, rng)).save(buffer, "JPEG", quality=90)
    return buffer.getvalue()


def _lit(pixels: np.ndarray[Any, np.dtype[np.float32]], rng: np.random.Generator) -> Any:  # noqa: ANN401
    brightness, contrast = rng.uniform(0.86, 1.12), rng.uniform(0.86, 1.12)
    warmth = float(np.clip(0.03 * rng.standard_normal(), -0.07, 0.07))
    gain = (brightness * np.array([1 + warmth, 1.0, 1 - warmth])).astype(np.float32)
    noise = rng.standard_normal(pixels.shape, dtype=np.float32) * np.float32(rng.uniform(0.0, 5.0))
    lit = (pixels * gain - 128) * np.float32(contrast) + 128 + noise
    return np.clip(np.rint(lit), 0, 255).astype(np.uint8)


def _posed(svg: str, rng: np.random.Generator, size: tuple[int, int]) -> str:
    """The drawing, moved and turned, on a background, as an SVG of `size` pixels."""
    height, width = size
    scale = height / _SHOWN * rng.uniform(0.92, 1.08)
    mirror = -1 if rng.random() < 0.5 else 1
    turn = float(np.clip(4.0 * rng.standard_normal(), -9.0, 9.0))
    x, y = width / 2 + height * rng.uniform(-0.02, 0.02), height / 2 + height * rng.uniform(-0.005, 0.025)
    hue, near = rng.uniform(0, 360), rng.uniform(-40, 40)
    saturation, light = rng.uniform(10, 60), rng.uniform(55, 88)
    move = (
        f"translate({x:.3f} {y:.3f}) rotate({turn:.3f}) scale({mirror * scale:.5f} {scale:.5f}) "
        f"translate({-_CENTRE[0]} {-_CENTRE[1]})"
    )
    start = svg.index(">", svg.index("<svg")) + 1
    inner = svg[start : svg.rindex("</svg>")]
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" fill="none">'
        f'<defs><linearGradient id="ground" x1="0" y1="0" x2="{rng.uniform(-1, 1):.3f}" y2="1">'
        f'<stop stop-color="hsl({hue:.1f}, {saturation:.1f}%, {light:.1f}%)"/>'
        f'<stop offset="1" stop-color="hsl({(hue + near) % 360:.1f}, {saturation:.1f}%, {light - 14:.1f}%)"/>'
        f'</linearGradient></defs><rect width="{width}" height="{height}" fill="url(#ground)"/>'
        f'<g transform="{move}">{inner}</g></svg>'
    )


def _svg(traits: Traits) -> str:
    from dicebear import Avatar

    person = traits.person
    options: dict[str, Any] = {
        "seed": "avatar",
        "topProbability": 0 if traits.top is None else 100,
        "accessoriesProbability": 0 if traits.accessory is None else 100,
        "facialHairProbability": 0 if person.facial_hair is None else 100,
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
    if traits.top is not None:
        options["topVariant"] = traits.top
    if traits.accessory is not None:
        options["accessoriesVariant"] = traits.accessory
    if person.facial_hair is not None:
        options["facialHairVariant"] = person.facial_hair
    return str(Avatar(_style(), options))


@cache
def _style() -> Any:  # noqa: ANN401 - dicebear is optional, and so are its types
    try:
        from dicebear import Style

        text = resources.files("dicebear_styles").joinpath("avataaars.json").read_text(encoding="utf-8")
    except ModuleNotFoundError as cause:
        raise _missing(cause) from cause
    return Style(json.loads(text))


@cache
def _resvg() -> Any:  # noqa: ANN401 - resvg_py is optional, and so are its types
    try:
        import resvg_py
    except ModuleNotFoundError as cause:
        raise _missing(cause) from cause
    return resvg_py


def _missing(cause: ModuleNotFoundError) -> OptionalDependencyError:
    return OptionalDependencyError(
        f"avatars need the package {cause.name}, which is not installed; run pip install 'olrsearch[demo]'"
    )
