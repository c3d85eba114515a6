"""The reproduction's page: every claim of the paper with its verdict, and what bears it out, in one HTML file.

It looks as a study's report does and shares that report's style and script. The page holds all it shows, forbids itself
the network, and the same files give the same bytes.
"""

from __future__ import annotations

import base64
import hashlib
import re
from pathlib import Path
from typing import TYPE_CHECKING

from triptych import report, store
from triptych.papers.vae_vs_gan_vs_vaegan import markdown, wording
from triptych.papers.vae_vs_gan_vs_vaegan.content import Content, gather

if TYPE_CHECKING:
    from triptych.claims.engine import Claim
    from triptych.claims.results import Results

_REPORT = Path(report.__file__).parent
PICTURES = {
    "C1": ("samples",),
    "C2": ("figure2",),
    "C6": ("figure2", "figure3"),
    "C7": ("quirk-gan",),
    "C8": ("samples",),
}
"""The pictures that stand with a claim."""
CHARTS = {
    "C1": ("learning-frechet",),
    "C3": ("time-to-",),
    "C4": ("response-",),
    "C7": ("response-",),
    "C9": ("training-times", "learning-"),
}
"""The charts that stand with a claim, by how their names begin."""
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
"""The sections that say more of a claim."""


def write(results: Results, claims: list[Claim], folder: Path, docs: Path | None = None) -> Path:
    """Write report.html, paper.md and paper/ into `folder`, the last two into `docs`, too; the page's path."""
    content = gather(results, claims, folder)
    for place in (folder, docs):
        if place is not None:
            markdown.write(content, place)
    page = folder / "report.html"
    store.write(page, render(content).encode())
    return page


def render(content: Content) -> str:
    """The page's HTML; every text in it is escaped by Jinja."""
    from markupsafe import Markup

    script = (_REPORT / "page.js").read_text(encoding="utf-8")
    pages = wording.environment(autoescape=True)
    pages.filters |= {"uri": uri}
    return pages.get_template("page.html.j2").render(
        content=content,
        contents=wording.contents(content),
        limits=wording.limits(content),
        shown={claim: [name for name in names if name in content.pictures] for claim, names in PICTURES.items()},
        charted={c.id: _charts(content, *CHARTS[c.id]) for c in content.claims if c.id in CHARTS},
        more=MORE,
        effects=lambda base: _charts(content, f"attribution-{base}-"),
        chart=lambda name, place: Markup(_placed(content.charts[name].svg, place)),
        drawings={name: Markup(svg) for name, svg in content.drawings.items()},
        style=Markup((_REPORT / "style.css").read_text(encoding="utf-8")),
        script=Markup(script),
        script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
    )


def _charts(content: Content, *prefixes: str) -> list[str]:
    return [name for name in content.charts if name.startswith(prefixes)]


def _placed(svg: str, place: str) -> str:
    """The drawing with ids of its own, since one chart may stand in two places of a page."""
    return re.sub(r'(\bid="|\burl\(#|\bhref="#)', rf"\g<1>{place}-", svg)


def uri(path: Path) -> str:
    """A picture's file as a data URI."""
    return f"data:image/png;base64,{base64.b64encode(path.read_bytes()).decode()}"
