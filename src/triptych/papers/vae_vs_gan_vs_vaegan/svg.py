"""SVG as text, for drawings that a page carries inline and that can be read as files alone.

Colours are the page's CSS variables with fallbacks, on a card of their own, so that a drawing follows the page's light
or dark scheme and is light by itself. The same drawing gives the same bytes.
"""

from __future__ import annotations

from collections.abc import Iterable

from markupsafe import escape

INK, MUTED, LINE = "var(--ink, #1d1f21)", "var(--muted, #5b6066)", "var(--line, #dcdcd6)"
CARD, SUNK = "var(--raised, #ffffff)", "var(--sunk, #f4f4f0)"
COLOURS = {
    "enc": "var(--f0, #0072b2)",
    "dec": "var(--f1, #c44e00)",
    "dis": "var(--f2, #008060)",
    "vae": "var(--f3, #aa4499)",
}
"""Of the players, and of the networks by themselves."""
FULL = {"enc": "Encoder", "dec": "Decoder", "dis": "Discriminator"}
SHORT = {"enc": "Enc", "dec": "Dec", "dis": "Dis", "vae": "VAE"}


def text(x: float, y: float, content: str, size: int = 14, fill: str = INK, more: str = "") -> str:
    """One line of text; `content` may hold tspans, so it is escaped by whoever makes it."""
    return f'<text x="{x:g}" y="{y:g}" font-size="{size}" fill="{fill}" {more}>{content}</text>'


def box(x: float, y: float, width: float, height: float, colour: str, more: str = "") -> str:
    return f'<rect x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}" rx="7" stroke="{colour}" {more}/>'


def arrow(path: str, tip: tuple[float, float], colour: str = MUTED, dash: str = "", way: str = "right") -> str:
    """A path and the head of an arrow at its end, pointing right or down."""
    x, y = tip
    head = f"M{x:g} {y:g}l-8 -4v8z" if way == "right" else f"M{x:g} {y:g}l-4 -8h8z"
    dashed = f' stroke-dasharray="{dash}"' if dash else ""
    return (
        f'<path d="{path}" fill="none" stroke="{colour}" stroke-width="1.5"{dashed}/><path d="{head}" fill="{colour}"/>'
    )


def symbol(name: str) -> str:
    """A name in the paper's letters: "x~" with its tilde, "z_p" with its subscript."""
    if name == "x~":
        return "x\N{COMBINING TILDE}"
    base, _, low = name.partition("_")
    return f'{base}<tspan dy="4" font-size="12">{low}</tspan>' if low else str(escape(name))


def sheet(parts: Iterable[str], width: int, height: float, title: str) -> str:
    """The parts on a card, with words for those who do not see it."""
    font = "font-family=\"system-ui, -apple-system, 'Segoe UI', 'DejaVu Sans', sans-serif\""
    size = f'viewBox="0 0 {width} {height:g}" width="{width}" height="{height:g}" style="max-width: 100%; height: auto"'
    card = f'<rect x="0.5" y="0.5" width="{width - 1}" height="{height - 1:g}" rx="10" fill="{CARD}" stroke="{LINE}"/>'
    body = "\n".join([card, *parts])
    label = escape(title)
    return f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img" aria-label="{label}" {font}>\n{body}\n</svg>\n'
