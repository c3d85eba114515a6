"""Image files are opened by a list of formats, in one place; a program in a picture's clothing is never run."""

from __future__ import annotations

import ast
from pathlib import Path

import numpy as np
import pytest
from PIL import EpsImagePlugin, Image

import triptych
from triptych import imagefile
from triptych.data.sources import load
from triptych.errors import InputError
from triptych.report import pdf, pictures
from triptych.spec import DataSpec

ROOT = Path(triptych.__file__).parent


@pytest.fixture
def ran(monkeypatch) -> list[str]:
    """What was handed to Ghostscript; it is not started, so the test needs none."""
    handed: list[str] = []

    def ghostscript(*arguments, **options):
        handed.append("PostScript")
        return Image.new("RGB", (16, 16)).im

    monkeypatch.setattr(EpsImagePlugin, "Ghostscript", ghostscript)
    return handed


def postscript(path: Path) -> Path:
    """A valid EPS file whose program would write a file beside it."""
    mark = path.with_name("written-by-postscript")
    path.write_text(
        "%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 16 16\n%%EndComments\n"
        f"({mark}) (w) file dup (here) writestring closefile\nshowpage\n%%EOF\n"
    )
    return path


def good(folder: Path, count: int = 30) -> Path:
    for number in range(count):
        pixels = np.random.default_rng(number).integers(0, 256, (16, 16), np.uint8)
        Image.fromarray(pixels).save(folder / f"{number:02d}.png")
    return folder


def test_pillow_alone_would_run_it(tmp_path, ran):
    """The other tests would say nothing if Pillow did not take this file for PostScript."""
    with Image.open(postscript(tmp_path / "x.png")) as image:
        assert image.format == "EPS"
        image.load()
    assert ran


def test_postscript_among_the_images_is_a_broken_image(tmp_path, ran):
    postscript(good(tmp_path) / "x.png")
    with pytest.raises(InputError, match=r"x\.png: cannot be decoded .*PNG, JPEG.*%!PS-Ado.*1 of 31") as caught:
        load(DataSpec(source="images", path=str(tmp_path)))
    assert "--broken skip" in str(caught.value)
    raw = load(DataSpec(source="images", path=str(tmp_path), broken="skip"))
    assert raw.skipped == ["x.png"] and len(raw.train) == 30
    assert not ran and not (tmp_path / "written-by-postscript").exists()


def test_postscript_among_the_grids_is_left_out_of_the_report(tmp_path, ran):
    file = postscript(tmp_path / "000000640.png")
    assert pictures.Album().get(file) is None
    with pytest.raises(InputError, match="000000640"):
        pdf.pictures([("VAE", file)], tmp_path / "samples.pdf")
    assert not ran


def test_the_message_says_what_where_the_value_and_the_way_out(tmp_path):
    with pytest.raises(InputError) as caught:
        imagefile.open_image(postscript(tmp_path / "x.png"))
    said = str(caught.value)
    for words in (str(tmp_path / "x.png"), "PNG, JPEG, BMP, GIF, TIFF, WEBP or PPM", "b'%!PS-Ado'", "Save the picture"):
        assert words in said


@pytest.mark.parametrize("kind", imagefile.FORMATS)
def test_every_format_on_the_list_opens_whatever_the_name(tmp_path, kind):
    Image.new("RGB", (16, 16), (255, 0, 0)).save(tmp_path / "x.png", kind)
    with imagefile.open_image(tmp_path / "x.png") as image:
        assert image.format == kind and image.convert("RGB").size == (16, 16)


@pytest.mark.parametrize("kind", ["TGA", "PCX", "SGI", "ICO"])
def test_a_harmless_format_that_is_not_on_the_list_is_refused_too(tmp_path, kind):
    Image.new("RGB", (16, 16)).save(tmp_path / "x.png", kind)
    with pytest.raises(InputError, match=r"x\.png"):
        imagefile.open_image(tmp_path / "x.png")


def test_a_phone_s_picture_of_several_frames_is_a_jpeg(tmp_path):
    frames = [Image.new("RGB", (16, 16), colour) for colour in ("red", "blue")]
    frames[0].save(tmp_path / "x.jpg", "MPO", save_all=True, append_images=frames[1:])
    with imagefile.open_image(tmp_path / "x.jpg") as image:
        assert image.size == (16, 16)
        red, green, blue = image.convert("RGB").getpixel((8, 8))
    assert red > 200 > 50 > max(green, blue), "the first frame"


def opens(tree: ast.AST) -> list[int]:
    """The lines on which `Image.open` is spoken of, called or not, or Pillow is imported so that it could hide."""
    lines = []
    for node in ast.walk(tree):
        match node:
            case ast.Attribute(value=ast.Name(id="Image") | ast.Attribute(attr="Image"), attr="open"):
                lines.append(node.lineno)
            case ast.ImportFrom(module="PIL.Image"):
                lines.append(node.lineno)
            case ast.ImportFrom(module="PIL", names=names) | ast.Import(names=names):
                hidden = [name.asname for name in names if name.asname and name.name.startswith(("Image", "PIL"))]
                lines += [node.lineno] * len(hidden)
    return lines


def test_no_image_is_opened_anywhere_else():
    found = {
        path.relative_to(ROOT).as_posix(): lines
        for path in sorted(ROOT.rglob("*.py"))
        if (lines := opens(ast.parse(path.read_text(encoding="utf-8"))))
    }
    assert list(found) == ["imagefile.py"] and len(found["imagefile.py"]) == 1, found
