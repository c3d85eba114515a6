"""The paper's Figure 1 and the wiring of every framework, drawn from the code as SVG; and appendices A to C.

Source: "VAE vs GAN vs VAE-GAN" (University of Toronto, 2021), Figure 1. Nothing here is drawn by hand but the places of
things: what flows where is traced (`tracing`), who descends which term with what weight is read off the framework's
`losses`, and the layers (`appendices`) are those of `triptych.training.cost.layers`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from markupsafe import escape

from triptych.frameworks import Framework, framework_of
from triptych.papers.vae_vs_gan_vs_vaegan.appendices import appendix
from triptych.papers.vae_vs_gan_vs_vaegan.svg import (
    CARD,
    COLOURS,
    FULL,
    INK,
    LINE,
    MUTED,
    SHORT,
    SUNK,
    arrow,
    box,
    sheet,
    symbol,
    text,
)
from triptych.papers.vae_vs_gan_vs_vaegan.tracing import Token, Wiring, lane_of, spec_of, trace
from triptych.spec import RunSpec
from triptych.text import MINUS, number

__all__ = ["appendix", "figure1", "wiring"]

MEANING = {
    "prior": "KL of q(z|x) from p(z)",
    "reconstruction": "error of the pixels",
    "llike": "error of the features",
    "gan": "cross entropy of Dis",
    "fooling": "images taken for real",
    "recognised": "samples seen as fake",
}
LANES = {"x": 64, "x~": 150, "x_p": 236}
"""Each image's height on the sheet; latents lie in the lanes of the images made of them."""
TERM_WIDTH = 164
PORTS = {"features": -12, "logit": 12}
"""Where Dis's outputs leave it, beside the image's lane."""
NAMES = {"features": "Dis_l", "logit": "Dis"}


@dataclass
class Places:
    """Where things stand, from left to right: what the framework has not takes no room."""

    columns: dict[str, float]
    lanes: dict[str, float]
    boxes: dict[str, tuple[float, float, float, float]] = field(default_factory=dict)

    @classmethod
    def of(cls, wiring: Wiring) -> Places:
        """The places for what was found."""
        used = {network for network, _ in wiring.calls}
        judged = "dis" in used
        stops = [("x", 40, True), ("enc", 116, "enc" in used), ("z", 106, True), ("dec", 106, True)]
        stops += [("image", 102, True), ("dis", 110, judged), ("term", 226 if judged else 180, True)]
        columns, here = dict[str, float](), 0.0
        for name, step, there in stops:
            if name == "z" and "enc" not in used:
                step = 0
            if there:
                here += step
                columns[name] = here
        lanes = [name for name in LANES if name in wiring.images]
        places = cls(columns, dict(zip(lanes, LANES.values(), strict=False)))
        for network in ("enc", "dec", "dis"):
            # Enc sees the data in the lane of their reconstructions.
            seen = ["x~" if network == "enc" else lane_of(token) for name, token in wiring.calls if name == network]
            rows = [places.lanes[image] for image in seen]
            if rows:
                places.boxes[network] = (columns[network] - 46, min(rows) - 34, 92, max(rows) - min(rows) + 68)
        return places


def wiring(framework: str, options: dict[str, Any] | None = None) -> str:
    """The wiring of a framework, or of one of its presets ("vaegan@larsen-code"), with `options` of its own, as SVG.

    Circles are images and latents, boxes in colours networks, boxes in grey terms with who descends them.
    """
    spec = spec_of(framework, options)
    return _drawn(trace(spec), framework_of(spec), spec)


def figure1() -> str:
    """The paper's Figure 1: the networks of VAE-GAN and what flows between them, as SVG."""
    spec = spec_of("vaegan")
    return _drawn(trace(spec), framework_of(spec), None)


def _drawn(found: Wiring, game: Framework, spec: RunSpec | None) -> str:
    """The networks, the flow and the terms; with a run, who descends what too, otherwise which part is which."""
    places = Places.of(found)
    owner = {network: player for player, owned in game.players.items() for network in owned}
    parts = [_network(network, owner[network], places) for network in places.boxes]
    parts += _flow(found, places)
    parts += _ports(found, places)
    drawn, bottom = _terms(found, places, game if spec else None)
    parts += drawn
    bottom = max(bottom, *(y + height for _, y, _, height in places.boxes.values())) + 16
    told = [f"{_player(player)} descends {_loss(loss)}" for player, loss in game.losses.items()]
    if spec:
        lines, bottom = _legend(game, spec, told, bottom)
    else:
        lines, bottom = _braces(places, bottom)
    title = f"Wiring of {spec.framework if spec else 'VAE-GAN'}: {'; '.join(told)}."
    return sheet([*parts, *lines], round(places.columns["term"] + TERM_WIDTH / 2 + 12), bottom, title)


def _network(name: str, player: str, places: Places) -> str:
    """One network as a box in its player's colour."""
    x, y, width, height = places.boxes[name]
    colour, middle = COLOURS[player], x + width / 2
    under = "Decoder, Generator" if name == "dec" and "dis" in places.boxes and "enc" in places.boxes else FULL[name]
    words = under.split(", ")
    top = y + height / 2 - 9 * (len(words) - 1)
    more = 'text-anchor="middle"'
    return "".join(
        [
            box(x, y, width, height, colour, f'fill="{colour}" fill-opacity="0.14" stroke-width="1.6"'),
            text(middle, top, SHORT[name], 18, INK, f'{more} font-weight="650"'),
            *(text(middle, top + 18 + 15 * i, word, 12, MUTED, more) for i, word in enumerate(words)),
        ]
    )


def _node(x: float, y: float, name: str, under: str = "") -> str:
    """An image or a latent: a circle with its letter."""
    more = 'text-anchor="middle"'
    round_ = f'<circle cx="{x:g}" cy="{y:g}" r="19" fill="{CARD}" stroke="{INK}" stroke-width="1.3"/>'
    letter = text(x, y + 5, symbol(name), 17, INK, f'{more} font-family="Georgia, serif" font-style="italic"')
    return round_ + letter + (text(x, y + 35, under, 12, MUTED, more) if under else "")


def _flow(found: Wiring, places: Places) -> list[str]:
    """Latents and images, and their ways into the networks."""
    columns, lanes = places.columns, places.lanes
    parts = [_node(columns["x"], lanes["x"], "x")]
    for network, token in found.calls:
        x, _, width, _ = places.boxes[network]
        y = lanes[lane_of(token)]
        if network == "enc":
            y, turn = lanes["x~"], columns["x"]
            path = f"M{turn:g} {lanes['x'] + 19:g}V{y - 14:g}Q{turn:g} {y:g} {turn + 14:g} {y:g}H{x - 6:g}"
            parts.append(arrow(path, (x, y)))
            parts.append(arrow(f"M{x + width:g} {y:g}H{columns['z'] - 25:g}", (columns["z"] - 19, y)))
        elif network == "dec":
            parts.append(arrow(f"M{columns['z'] + 19:g} {y:g}H{x - 6:g}", (x, y)))
            parts.append(arrow(f"M{x + width:g} {y:g}H{columns['image'] - 25:g}", (columns["image"] - 19, y)))
            code = token[1] == "z"
            parts.append(_node(columns["z"], y, token[1], "from q(z|x)" if code else "from p(z)"))
            parts.append(_node(columns["image"], y, lane_of(token), "reconstruction" if code else "sample"))
        else:
            start = columns["x" if token[1] == "x" else "image"] + 19
            parts.append(arrow(f"M{start:g} {y:g}H{x - 6:g}", (x, y)))
    return parts


def _terms(found: Wiring, places: Places, game: Framework | None) -> tuple[list[str], float]:
    """Every term as a box with what it is computed from coming in, and how far down they reach."""
    chips = {name: _chips(name, game) for name in found.terms}
    heights = {name: 46 + 20 * len(rows) for name, rows in chips.items()}
    of_codes = {name for name, sources in found.terms.items() if any(kind == "code" for kind, _ in sources)}
    stack = sum(heights[name] + 18 for name in found.terms if name not in of_codes) - 18
    middle = (min(places.lanes.values()) + max(places.lanes.values())) / 2
    parts, below, bottom = [], max(24.0, middle - stack / 2), 0.0
    for name, sources in sorted(found.terms.items(), key=lambda item: _rank(item[1])):
        height = heights[name]
        if name in of_codes:
            x, y, width, tall = places.boxes["enc"]
            left, top = x + width - TERM_WIDTH, y + tall + 34
            parts.append(arrow(f"M{x + width / 2:g} {y + tall:g}V{top - 6:g}", (x + width / 2, top), way="down"))
        else:
            left, top = places.columns["term"] - TERM_WIDTH / 2, below
            below += height + 18
            parts += _into(sources, places, left, top, height)
        parts.append(_term(name, chips[name], left, top, height))
        bottom = max(bottom, top + height)
    return parts, bottom


def _rank(sources: list[Token]) -> tuple[bool, int]:
    """Terms of features stand above terms of logits, and those of fewer images lower."""
    return all(kind == "logit" for kind, _ in sources), -len(sources)


def _chips(name: str, game: Framework | None) -> list[tuple[str, str]]:
    """Who descends or climbs a term, and with which weight: (player, words)."""
    if game is None:
        return []
    weights = {player: loss[name] for player, loss in game.losses.items() if loss.get(name)}
    told = [(p, f"{_player(p)} {'descends' if w > 0 else 'climbs'} × {_weight(w)}") for p, w in weights.items()]
    return told or [("", "only logged")]


def _term(name: str, rows: list[tuple[str, str]], left: float, top: float, height: float) -> str:
    parts = [box(left, top, TERM_WIDTH, height, LINE, f'fill="{SUNK}"')]
    parts.append(text(left + 12, top + 20, str(escape(name)), 15, INK, 'font-weight="650"'))
    parts.append(text(left + 12, top + 37, str(escape(MEANING.get(name, "of Dis's costs"))), 12, MUTED))
    for place, (player, words) in enumerate(rows):
        y = top + 55 + 20 * place
        if player:
            parts.append(f'<circle cx="{left + 17:g}" cy="{y - 4:g}" r="5" fill="{COLOURS[player]}"/>')
        parts.append(text(left + 28, y, words, 12, INK if player else MUTED))
    return "".join(parts)


def _into(sources: list[Token], places: Places, left: float, top: float, height: float) -> list[str]:
    """The ways from images, logits and features into a term, side by side on its left edge."""
    parts = []
    for place, (kind, of) in enumerate(sorted(sources, key=lambda token: places.lanes[token[1]])):
        lane, end = places.lanes[of], top + height * (place + 1) / (len(sources) + 1)
        if kind == "image":
            start, bend = places.columns["x" if of == "x" else "image"] + 19, places.columns["image"] + 26
        else:
            x, _, width, _ = places.boxes["dis"]
            start, bend, lane = x + width, x + width + 44, lane + PORTS[kind]
        half = (bend + left) / 2
        path = f"M{start:g} {lane:g}H{bend:g}C{half:g} {lane:g} {half:g} {end:g} {left - 6:g} {end:g}"
        parts.append(arrow(path, (left, end), INK if kind == "logit" else MUTED, "5 3" if kind == "features" else ""))
    return parts


def _ports(found: Wiring, places: Places) -> list[str]:
    """What leaves Dis for a term, by name."""
    used = dict.fromkeys(token for sources in found.terms.values() for token in sources if token[0] in PORTS)
    return [
        text(x + width + 6, places.lanes[of] + PORTS[kind] - 5, symbol(NAMES[kind]), 12, MUTED, 'font-style="italic"')
        for kind, of in used
        for x, _, width, _ in [places.boxes["dis"]]
    ]


def _player(name: str) -> str:
    return SHORT.get(name, name)


def _weight(weight: float) -> str:
    return number(abs(weight)) if abs(weight) >= 1e-3 else f"{abs(weight):.0e}".replace("e-0", f"e{MINUS}")


def _loss(loss: dict[str, float]) -> str:
    """A weighted sum of terms as one writes it: "0.1 llike − gan"."""
    told = ""
    for term, weight in loss.items():
        sign = (MINUS if weight < 0 else "") if not told else (f" {MINUS} " if weight < 0 else " + ")
        told += sign + ("" if abs(weight) == 1 else f"{_weight(weight)} ") + term
    return told


def _legend(game: Framework, spec: RunSpec, told: list[str], top: float) -> tuple[list[str], float]:
    """A line a player, and whose turn comes when."""
    parts = []
    for place, (player, words) in enumerate(zip(game.losses, told, strict=True)):
        y = top + 18 + 22 * place
        parts.append(f'<circle cx="24" cy="{y - 5:g}" r="6" fill="{COLOURS[player]}"/>')
        parts.append(text(38, y, str(escape(words)) + ".", 14))
    order = spec.training.order or ()
    if len(game.players) == 1:
        words = "One player, one optimiser."
    elif spec.training.updates == "simultaneous":
        words = "All move at once, on the same networks."
    else:
        words = "One after another: " + ", ".join(map(_player, order or reversed(tuple(game.players)))) + "."
    y = top + 18 + 22 * len(told)
    return [*parts, text(38, y, words, 14, MUTED)], y + 18


def _braces(places: Places, top: float) -> tuple[list[str], float]:
    """Which networks are the VAE's and which the GAN's, as these frameworks themselves say."""
    parts = []
    for row, name in enumerate(("vae", "gan")):
        y = top + 18 + 30 * row
        owned = [places.boxes[network] for network in framework_of(RunSpec(framework=name)).networks]
        left, right = min(x for x, *_ in owned), max(x + width for x, _, width, _ in owned)
        parts.append(f'<path d="M{left:g} {y - 8:g}v8H{right:g}v-8" fill="none" stroke="{MUTED}" stroke-width="1.5"/>')
        middle = (left + right) / 2
        parts.append(f'<rect x="{middle - 26:g}" y="{y - 9:g}" width="52" height="18" fill="{CARD}"/>')
        parts.append(text(middle, y + 5, name.upper(), 14, INK, 'text-anchor="middle" font-weight="650"'))
    return parts, top + 70
