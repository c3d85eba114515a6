"""The reproduction in short, as a page of Markdown with its pictures beside it: docs/results/paper.md."""

from __future__ import annotations

from pathlib import Path

from triptych import store
from triptych.papers.vae_vs_gan_vs_vaegan import wording
from triptych.papers.vae_vs_gan_vs_vaegan.content import Content

FOLDER = "paper"


def write(content: Content, folder: Path) -> Path:
    """Write paper.md and, in paper/, every picture, chart and drawing of it; the page's path."""
    from triptych.papers.vae_vs_gan_vs_vaegan import charts

    drawn = {name: charts.alone(chart.svg) for name, chart in content.charts.items()}
    for name, svg in {**drawn, **content.drawings}.items():
        store.write(folder / FOLDER / f"{name}.svg", (svg.strip() + "\n").encode())
    for picture in content.pictures.values():
        here = folder / FOLDER / picture.path.name
        if here != picture.path:
            store.write(here, picture.path.read_bytes())
    page = folder / "paper.md"
    store.write(page, render(content).encode())
    return page


def render(content: Content) -> str:
    """The page's Markdown; its pictures are links into paper/."""
    pages = wording.environment(autoescape=False)
    pages.filters |= {"cell": cell}
    contents = wording.contents(content)
    return pages.get_template("paper.md.j2").render(content=content, contents=contents, limits=wording.limits(content))


def cell(text: object) -> str:
    """A text that stands in a table's cell as it is."""
    return str(text).replace("|", "\\|").replace("\n", " ")
