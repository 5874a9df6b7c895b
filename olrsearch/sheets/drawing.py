"""Draw a sheet as a self-contained HTML page or as a PNG."""

from __future__ import annotations

import base64
import bisect
import io
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import jinja2
from PIL import Image, ImageDraw, ImageFont, ImageOps

from olrsearch.core.errors import OlrsearchError
from olrsearch.core.files import write_whole
from olrsearch.core.shown import escaped
from olrsearch.sheets.contents import COMPANIONS, Section
from olrsearch.sheets.made import made_info

if TYPE_CHECKING:
    from typing import TypeAlias

    from olrsearch.sheets.contents import Card, Sheet

    Font: TypeAlias = ImageFont.FreeTypeFont | ImageFont.ImageFont

_CELL = (160, 196)  # pixels, the shape of an aligned face
_GAP = 4
_COMPANION = (38, (_CELL[1] - 3 * _GAP) // COMPANIONS)  # as high together as the picture they stand beside
_LINE = 15
_MOST_LINES = 3  # of a note
_MARGIN = 12
_SECTION = 20 + _LINE + 10
_INK = (28, 30, 34)
_SOFT = (110, 115, 122)
_BAR = (62, 120, 178)
_BAR_BACK = (225, 229, 234)
_GROUND = (250, 250, 248)
_EMPTY = (214, 214, 210)
_SYSTEM_FONTS = ("DejaVuSans.ttf", "NotoSans-Regular.ttf", "LiberationSans-Regular.ttf", "Arial.ttf")


def sheet_form(path: Path) -> Literal["html", "png"]:
    """What a sheet at this path is to be.

    Raises:
        OlrsearchError: its name ends in neither `.html` nor `.png`.
    """
    match path.suffix.lower():
        case ".html" | ".htm":
            return "html"
        case ".png":
            return "png"
        case _:
            raise OlrsearchError(f"a sheet ends in .html or .png, found {_found(path)}")


def check_plot(path: Path) -> None:
    """Refuse a plot that is to be anything but a PNG.

    Raises:
        OlrsearchError: its name does not end in `.png`.
    """
    if path.suffix.lower() != ".png":
        raise OlrsearchError(f"a plot ends in .png, found {_found(path)}")


def _found(path: Path) -> str:
    return f"{path.suffix!r} in {path}" if path.suffix else f"no suffix in {str(path)!r}"


def write_sheet(sheet: Sheet, path: Path | str, *, columns: int = 5) -> Path:
    """Write a sheet; the suffix of `path` chooses the form.

    Args:
        sheet: What to draw.
        path: A file ending in `.html`, `.htm` or `.png`. Folders above it are made.
            An existing file is replaced only once the new one is whole.
        columns: Pictures in a row of a PNG; an HTML page fits its window.

    Returns:
        The path written.

    Raises:
        OlrsearchError: another suffix.
    """
    target = Path(path)
    if sheet_form(target) == "html":
        data = render_html(sheet).encode()
    else:
        buffer = io.BytesIO()
        info = made_info() if sheet.made else None
        render_png(sheet, columns=columns).save(buffer, "PNG", optimize=True, pnginfo=info)
        data = buffer.getvalue()
    write_whole(target, data)
    return target


def render_html(sheet: Sheet) -> str:
    """The sheet as one HTML document with its pictures inside."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("olrsearch.sheets", "."),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        # What is no plain text is marked up, or a picture.
        finalize=lambda value: escaped(value) if type(value) is str else value,
    )
    environment.filters["data_uri"] = _data_uri
    return environment.get_template("sheet.html.jinja").render(sheet=sheet)


def render_png(sheet: Sheet, *, columns: int = 5) -> Image.Image:
    """The sheet as one picture, RGB."""
    blocks = [Section("", "", (*sheet.asked, *sheet.cards)), *sheet.sections]
    cards = [card for block in blocks for card in block.cards]
    columns = max(1, min(columns, max(len(block.cards) for block in blocks)))
    lines = max((len(card.bars) for card in cards), default=0)
    paired = any(card.companions for card in cards)
    cell_width = _CELL[0] + _MARGIN + (_COMPANION[0] + _GAP if paired else 0)
    cell_height = _CELL[1] + _MARGIN + _LINE * (2 + lines) + 6
    width = max(_MARGIN + columns * cell_width, 480)
    texts = [sheet.heading, *sheet.notes, *(card.title for card in cards)]
    texts += [block.heading for block in blocks]
    texts += [bar.label for card in cards for bar in card.bars]
    title, middle, small = (_font(size, "".join(texts)) for size in (18, 14, 11))
    measure = ImageDraw.Draw(Image.new("RGB", (1, 1)))
    said = [
        line
        for text in (sheet.summary, *sheet.notes)
        for line in _wrapped(measure, text, small, width - 2 * _MARGIN)
    ]
    header = _MARGIN + 26 + _LINE * len(said) + _MARGIN
    heights = [
        (_SECTION if block.heading else 0) + -(-len(block.cards) // columns) * cell_height for block in blocks
    ]
    picture = Image.new("RGB", (width, header + sum(heights)), _GROUND)
    draw = ImageDraw.Draw(picture)
    draw.text((_MARGIN, _MARGIN), _fit(draw, sheet.heading, title, width - 2 * _MARGIN), _INK, title)
    for row, line in enumerate(said):
        draw.text((_MARGIN, _MARGIN + 26 + row * _LINE), line, _SOFT, small)
    top = header
    for block, height in zip(blocks, heights, strict=True):
        first = top
        if block.heading:
            draw.text((_MARGIN, top), _fit(draw, block.heading, middle, width - 2 * _MARGIN), _INK, middle)
            spot = (_MARGIN, top + 20)
            draw.text(spot, _fit(draw, block.summary, small, width - 2 * _MARGIN), _SOFT, small)
            first += _SECTION
        for position, card in enumerate(block.cards):
            corner = (
                _MARGIN + (position % columns) * cell_width,
                first + (position // columns) * cell_height,
            )
            asked = block is blocks[0] and position < len(sheet.asked)
            _draw_card(picture, draw, card, corner, small, asked=asked)
        top += height
    return picture


def _font(size: int, text: str) -> Font:
    """The built-in font; where it lacks a letter of the text, one of the system's, if there is any."""
    if not text.isascii():
        for name in _SYSTEM_FONTS:
            try:
                return ImageFont.truetype(name, size)
            except OSError:
                continue
    return ImageFont.load_default(size)


def _draw_card(
    picture: Image.Image,
    draw: ImageDraw.ImageDraw,
    card: Card,
    corner: tuple[int, int],
    font: Font,
    *,
    asked: bool,
) -> None:
    left, top = corner
    _paste(picture, draw, card.picture, corner, _CELL)
    if card.picture is None:
        draw.text((left + 8, top + _CELL[1] // 2), "picture not available", _SOFT, font)
    for number, companion in enumerate(card.companions[:COMPANIONS]):
        spot = (left + _CELL[0] + _GAP, top + number * (_COMPANION[1] + _GAP))
        _paste(picture, draw, companion.picture, spot, _COMPANION)
    if asked:
        draw.rectangle((left - 2, top - 2, left + _CELL[0] + 1, top + _CELL[1] + 1), outline=_BAR, width=2)
    line = top + _CELL[1] + 4
    draw.text((left, line), _fit(draw, card.title, font, _CELL[0]), _INK, font)
    draw.text((left, line + _LINE), _fit(draw, card.score, font, _CELL[0]), _SOFT, font)
    for number, bar in enumerate(card.bars):
        y = line + (2 + number) * _LINE
        draw.rectangle((left, y + 1, left + _CELL[0], y + _LINE - 2), _BAR_BACK)
        length = round(_CELL[0] * min(max(bar.fill, 0.0), 1.0))
        if length:
            draw.rectangle((left, y + 1, left + length, y + _LINE - 2), (168, 199, 228))
        value = draw.textlength(bar.text, font)
        draw.text((left + 3, y), _fit(draw, bar.label, font, _CELL[0] - value - 12), _INK, font)
        draw.text((left + _CELL[0] - value - 3, y), bar.text, _INK, font)


def _paste(
    picture: Image.Image,
    draw: ImageDraw.ImageDraw,
    data: bytes | None,
    corner: tuple[int, int],
    size: tuple[int, int],
) -> None:
    """A picture in the middle of its place; a grey place where there is none."""
    left, top = corner
    if data is None:
        draw.rectangle((left, top, left + size[0], top + size[1]), _EMPTY)
        return
    with Image.open(io.BytesIO(data)) as image:
        face = ImageOps.contain(image.convert("RGB"), size)
    picture.paste(face, (left + (size[0] - face.width) // 2, top + (size[1] - face.height) // 2))


def _fit(draw: ImageDraw.ImageDraw, text: str, font: Font, width: float) -> str:
    """`text`, shortened with an ellipsis until it is at most `width` pixels wide."""
    text = escaped(text)
    # No letter is narrower than a pixel: beyond `width` letters nothing need be measured.
    if len(text) <= width and draw.textlength(text, font) <= width:
        return text
    most = bisect.bisect_right(
        range(1, min(len(text), int(width)) + 1),
        width,
        key=lambda length: draw.textlength(text[:length] + "…", font),
    )
    return text[:most] + "…"


def _wrapped(draw: ImageDraw.ImageDraw, text: str, font: Font, width: float) -> list[str]:
    """`text` in lines of whole words; the last of `_MOST_LINES` is shortened."""
    lines: list[str] = []
    rest = escaped(text)
    while len(lines) < _MOST_LINES - 1 and (shown := _fit(draw, rest, font, width)) != rest:
        end = rest.rfind(" ", 0, len(shown))
        if end <= 0:
            break
        lines.append(rest[:end])
        rest = rest[end + 1 :]
    return [*lines, _fit(draw, rest, font, width)]


def _data_uri(picture: bytes) -> str:
    kind = "png" if picture.startswith(b"\x89PNG") else "jpeg"
    return f"data:image/{kind};base64,{base64.b64encode(picture).decode()}"
