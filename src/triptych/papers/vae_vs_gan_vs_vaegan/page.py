"""The reproduction's pages: every claim with its verdict, and what supports it, as one HTML file and as Markdown.

The HTML page looks like a study's report and shares its frame, style and script. It holds all that it shows, forbids
itself the network, and the same files give the same bytes. The Markdown, docs/results/paper.md, is a shorter version
with its pictures next to it.
"""

from __future__ import annotations

import base64
from pathlib import Path

from markupsafe import Markup

from triptych import store
from triptych.claims.engine import Claim
from triptych.claims.results import Results
from triptych.directory import ReproductionDirectory
from triptych.papers.vae_vs_gan_vs_vaegan import page_text
from triptych.papers.vae_vs_gan_vs_vaegan.content import Content, collect_content
from triptych.report import drawing, pages

PICTURES = {
    "C1": ("samples",),
    "C2": ("figure2",),
    "C6": ("figure2", "figure3"),
    "C7": ("quirk-gan",),
    "C8": ("samples",),
}
"""The pictures shown with a claim."""
CHARTS = {
    "C1": ("learning-frechet",),
    "C4": ("response-",),
    "C7": ("response-",),
    "C9": ("learning-",),
}
"""The charts shown with a claim, by how their names begin."""
MORE = {
    "C1": ("figures",),
    "C2": ("quirks",),
    "C3": ("speed",),
    "C4": ("table1", "rates"),
    "C6": ("figures", "quirks"),
    "C7": ("tuned", "rates", "quirks"),
    "C8": ("figures",),
    "C9": ("speed",),
}
"""The sections that say more about a claim."""


def write(results: Results, claims: list[Claim], folder: Path, docs: Path | None = None) -> Path:
    """Write report.html, paper.md and paper/ into `folder`, the last two also into `docs`; the path of report.html."""
    content = collect_content(results, claims, folder)
    for place in filter(None, (folder, docs)):
        _write_markdown(content, ReproductionDirectory(place))
    page = ReproductionDirectory(folder).report_html
    store.write(page, render(content).encode())
    return page


def _write_markdown(content: Content, directory: ReproductionDirectory) -> None:
    """Write paper.md and, in paper/, its pictures and charts."""
    for name, chart in content.charts.items():
        store.write(directory.pictures / f"{name}.svg", (drawing.standalone(chart.svg).strip() + "\n").encode())
    for picture in content.pictures.values():
        path = directory.pictures / picture.path.name
        if path != picture.path:
            store.write(path, picture.path.read_bytes())
    store.write(directory.paper_md, render_markdown(content).encode())


def render(content: Content) -> str:
    """The HTML page; every text in it is escaped by Jinja."""
    templates = page_text.environment()
    templates.filters |= {"uri": uri}
    return pages.rendered(
        templates.get_template("page.html.j2"),
        **page_text.shared(content),
        shown={claim: [name for name in names if name in content.pictures] for claim, names in PICTURES.items()},
        charted={c.id: _charts(content, *CHARTS[c.id]) for c in content.claims if c.id in CHARTS},
        more=MORE,
        effects=lambda base: _charts(content, f"ablation-{base}-"),
        chart=lambda name: Markup(content.charts[name].svg),
    )


def render_markdown(content: Content) -> str:
    """The page's Markdown; its pictures are links into paper/."""
    templates = page_text.environment(markdown=True)
    templates.filters |= {"cell": cell}
    return templates.get_template("paper.md.j2").render(**page_text.shared(content))


def _charts(content: Content, *prefixes: str) -> list[str]:
    return [name for name in content.charts if name.startswith(prefixes)]


def uri(path: Path) -> str:
    """A picture's file as a data URI."""
    return f"data:image/png;base64,{base64.b64encode(path.read_bytes()).decode()}"


def cell(text: object) -> str:
    """A text as the content of a table's cell."""
    return str(text).replace("|", "\\|").replace("\n", " ")
