"""Sample and reconstruction grids as data URIs, the most telling first, within a budget of bytes."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass, field
from pathlib import Path

from triptych import imagefile
from triptych.directory import RunRecord
from triptych.errors import InputError
from triptych.report.collect import Study

ROWS = 8
BUDGET_BYTES = 2_200_000
LARGE_BYTES, LARGE_SIDE = 90_000, 640


@dataclass
class Album:
    """Hands out grids as data URIs until one does not fit into what is left; then None, and `left_out` counts."""

    left: int = BUDGET_BYTES
    left_out: int = 0
    full: bool = False
    known: dict[tuple[Path, int], str | None] = field(default_factory=dict)

    def get(self, path: Path, rows: int = ROWS) -> str | None:
        """The grid's first `rows` rows as a data URI; a small one is as its file is, a large one a smaller WebP."""
        if (path, rows) not in self.known:
            kind, content = ("", b"") if self.full else _encoded(path, rows)
            uri = f"data:image/{kind};base64,{base64.b64encode(content).decode()}" if content else None
            if uri and len(uri) > self.left:
                uri, self.full = None, True
            self.left_out += uri is None
            self.left -= len(uri or "")
            self.known[path, rows] = uri
        return self.known[path, rows]


def _encoded(path: Path, rows: int) -> tuple[str, bytes]:
    """(image type, bytes); no bytes when the file is no image."""
    from PIL import Image

    try:
        with imagefile.open_image(path) as file:
            image = file.convert("L" if file.mode in ("1", "L", "LA") else "RGB")
            as_it_is = file.format == "PNG" and file.mode in ("L", "RGB") and rows == ROWS
            if as_it_is and path.stat().st_size <= LARGE_BYTES:  # encoding it again takes long and saves nothing
                return "png", path.read_bytes()
    except (OSError, InputError):
        return "", b""
    if rows < ROWS:
        image = image.crop((0, 0, image.width, round(image.height * rows / ROWS)))
    sheet = io.BytesIO()
    image.save(sheet, format="PNG")
    if sheet.tell() <= LARGE_BYTES:
        return "png", sheet.getvalue()
    image.thumbnail((LARGE_SIDE, LARGE_SIDE), Image.Resampling.LANCZOS)
    sheet = io.BytesIO()
    image.save(sheet, format="WEBP", quality=82, method=6)
    return "webp", sheet.getvalue()


def final(grids: dict[int, Path]) -> tuple[int, Path] | None:
    """The last grid and its image count."""
    return (max(grids), grids[max(grids)]) if grids else None


def albums(study: Study) -> Album:
    """Every grid of the page, by worth: the first seed's last ones, its development, the other seeds."""
    album = Album()
    first = [r for r in study.runs if r.seed == study.seeds[0]]
    rest = [r for r in study.runs if r.seed != study.seeds[0]]
    for runs in (first, rest):
        for run in runs:
            for grids in (run.samples, run.reconstructions):
                if last := final(grids):
                    album.get(last[1])
        if runs is first:
            for run in runs:
                for path in run.samples.values():
                    album.get(path, ROWS // 2)
    return album


def development(study: Study, condition: str, album: Album) -> list[tuple[int, dict[str, str]]]:
    """(training images, framework to grid) wherever a first-seed run has a grid."""
    runs: list[RunRecord] = [r for r in study.of(condition) if r.seed == study.seeds[0]]
    steps = sorted({images for r in runs for images in r.samples})
    shown = []
    for images in steps:
        grids = {
            r.framework: uri for r in runs if images in r.samples and (uri := album.get(r.samples[images], ROWS // 2))
        }
        if grids:
            shown.append((images, grids))
    return shown
