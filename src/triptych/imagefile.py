"""Image files are opened here and nowhere else, by a stated list of formats.

Pillow goes by a file's content, not its name, and it knows formats that are programs: PostScript in a file called
x.png would be handed to Ghostscript, which runs it. So what is on the list is read, and nothing else.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from triptych.errors import InputError

if TYPE_CHECKING:
    from PIL import Image

FORMATS = ("PNG", "JPEG", "BMP", "GIF", "TIFF", "WEBP", "PPM")
"""By Pillow's names; PPM stands for PGM and PBM too."""


def open_image(path: Path) -> Image.Image:
    """The image in a file, not yet decoded; to be closed by the caller.

    Raises InputError when the content is of none of `FORMATS`, and whatever Pillow raises on damaged files.
    """
    from PIL import Image, UnidentifiedImageError

    try:
        return Image.open(path, formats=FORMATS)
    except UnidentifiedImageError as error:
        with path.open("rb") as file:
            start = file.read(8)
        raise InputError(
            f"the content is no {', '.join(FORMATS[:-1])} or {FORMATS[-1]} image, whatever the name says",
            where=str(path),
            value=start,
            hint="Save the picture again in one of these formats, or remove the file.",
        ) from error
