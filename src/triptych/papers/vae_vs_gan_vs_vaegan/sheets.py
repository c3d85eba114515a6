"""Sheets of small images in labelled rows, as small PNGs that read on light and on dark pages."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from triptych.data import dataset

LABEL, GAP, MARGIN = 172, 2, 10
TILE = 60
"""About how wide an image is shown, in pixels; it is enlarged by a whole factor."""
INK, MUTED, PAPER = "#1d1f21", "#5b6066", "#ffffff"
LIMIT_BYTES = 100_000
LEVELS = (256, 64, 32, 16)
"""Steps of grey, fewer and fewer until a sheet is small enough."""


@dataclass(frozen=True)
class Strip:
    """One row: its label in two lines, and images [B, C, S, S] in [-1, 1]; `close` to the row above it."""

    title: str
    about: str
    images: Tensor
    close: bool = False


def sheet(strips: Sequence[Strip], headings: tuple[str, ...] = (), foot: str = "") -> bytes:
    """The rows below one another as PNG; `headings` stand above equal parts of the columns, `foot` below all."""
    size, columns = strips[0].images.shape[-1], max(len(strip.images) for strip in strips)
    factor = max(1, round(TILE / size))
    tile, split = size * factor + GAP, 14 if headings else 0
    tops, y = [], MARGIN + (20 if headings else 0)
    for strip in strips:
        y += 0 if strip.close or not tops else 8
        tops.append(y)
        y += tile
    width = LABEL + columns * tile + split + 2 * MARGIN
    mode = "L" if strips[0].images.shape[1] == 1 else "RGB"
    page = Image.new(mode, (width, y + MARGIN + (20 if foot else 0)), PAPER)
    draw = ImageDraw.Draw(page)
    title, small = ImageFont.load_default(15), ImageFont.load_default(13)
    part = columns // max(1, len(headings))
    for place, heading in enumerate(headings):
        draw.text((MARGIN + LABEL + place * (part * tile + split), MARGIN), heading, MUTED, small)
    for top, strip in zip(tops, strips, strict=True):
        middle = top + tile // 2
        draw.text((MARGIN, middle - 18 if strip.title else middle - 7), strip.title, INK, title)
        draw.text((MARGIN, middle + 2 if strip.title else middle - 7), strip.about, MUTED, small)
        for column, image in enumerate(strip.images):
            left = MARGIN + LABEL + column * tile + (split if headings and column >= part else 0)
            page.paste(_picture(image, factor), (left, top))
    draw.text((MARGIN, y + MARGIN // 2), foot, MUTED, small)
    return _png(page)


def _picture(image: Tensor, factor: int) -> Image.Image:
    """One image [C, S, S], each of its pixels as a square of `factor` pixels."""
    levels = dataset.to_uint8(image)
    array = levels[0].numpy() if len(levels) == 1 else levels.permute(1, 2, 0).contiguous().numpy()
    picture = Image.fromarray(array)
    return picture.resize((picture.width * factor, picture.height * factor), Image.Resampling.NEAREST)


def _png(page: Image.Image) -> bytes:
    """The page with as many steps of grey as keep it small; one with colours keeps them all."""
    content = b""
    for levels in LEVELS if page.mode == "L" else LEVELS[:1]:
        buffer = io.BytesIO()
        (page.quantize(levels) if levels < 256 else page).save(buffer, "PNG", optimize=True)
        content = buffer.getvalue()
        if len(content) <= LIMIT_BYTES:
            break
    return content
