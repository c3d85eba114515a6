"""Appendices A to C, layer by layer, from the networks themselves.

Source: "VAE vs GAN vs VAE-GAN" (University of Toronto, 2021), appendices A to C. Shapes, parameters and FLOPs are those
of `triptych.training.cost.layers`.
"""

from __future__ import annotations

import math
from typing import Any, Literal

import torch
from markupsafe import escape
from torch import Tensor

from triptych import networks
from triptych.papers.vae_vs_gan_vs_vaegan.svg import COLOURS, FULL, INK, LINE, MUTED, SHORT, sheet, symbol, text
from triptych.spec import NetworkSpec
from triptych.study.presets import PRESETS
from triptych.text import number
from triptych.training import cost

ROW = 26


def appendix(
    network: Literal["enc", "dec", "dis"], spec: NetworkSpec | None = None, size: int = 64, channels: int = 1
) -> str:
    """Appendix A ("enc"), B ("dec") or C ("dis") as SVG: each layer with its shape, parameters and FLOPs of an image.

    The bars on the left are as wide as a layer has channels (or units) and as high as its images, both logarithmic.
    """
    spec = spec or NetworkSpec.model_validate(PRESETS["paper"]["network"])
    rows = cost.layers(spec, size, channels)[network]
    tap = _tap(spec) if network == "dis" else ""
    start = [spec.latent] if network == "dec" else [channels, size, size]
    parts = [*_heading(network), _silhouette(start, size, 78, COLOURS[network])]
    parts += [text(136, 82, "input", 12, MUTED), text(700, 82, _shape(start), 12, INK, 'text-anchor="end"')]
    total = sum(row["parameters"] for row in rows)
    y, before = 78, ""
    for row in rows:
        y += ROW
        block = row["layer"].rpartition(".")[0] or row["layer"]
        if block != before:
            parts.append(f'<path d="M136 {y - 13:g}H884" stroke="{LINE}"/>')
        before = block
        parts += _layer(row, y, total, COLOURS[network], row["layer"] == tap)
        parts.append(_silhouette(row["shape"], size, y, COLOURS[network]))
    y += ROW + 6
    flops = sum(row["flops"] for row in rows)
    parts.append(f'<path d="M16 {y - 19:g}H884" stroke="{MUTED}"/>')
    parts.append(text(136, y, "in all", 14, INK, 'font-weight="650"'))
    for x, value in ((796, number(total)), (884, number(flops / 1e6, 3))):
        parts.append(text(x, y, value, 14, INK, 'text-anchor="end" font-weight="650"'))
    label = f"{FULL[network]}: {len(rows)} layers, {number(total)} parameters."
    return sheet(parts, 900, y + 18, label)


def _heading(network: str) -> list[str]:
    """The network's name and the columns'."""
    letter = "ABC"[list(FULL).index(network)]
    columns = {136: "layer", 338: "kind"}, {700: "shape", 796: "parameters", 884: "MFLOP"}
    return [
        text(16, 30, f"Appendix {letter}: {FULL[network]} ({SHORT[network]})", 17, INK, 'font-weight="650"'),
        *(text(x, 56, name, 12, MUTED) for x, name in columns[0].items()),
        *(text(x, 56, name, 12, MUTED, 'text-anchor="end"') for x, name in columns[1].items()),
    ]


def _layer(row: dict[str, Any], y: float, total: int, colour: str, tapped: bool) -> list[str]:
    """One layer's line; below the number of its parameters, a bar with its share of them all."""
    mono, right = "font-family=\"ui-monospace, 'DejaVu Sans Mono', monospace\"", 'text-anchor="end"'
    parts = [text(136, y + 4, str(escape(row["layer"])), 12, MUTED, mono)]
    parts.append(text(338, y + 4, str(escape(row["kind"])).replace("x", "×"), 12))
    parts.append(text(700, y + 4, _shape(row["shape"]), 13, INK, right))
    if row["parameters"]:
        width = 84 * row["parameters"] / total
        parts.append(text(796, y + 4, number(row["parameters"]), 13, INK, right))
        parts.append(f'<rect x="{796 - width:.1f}" y="{y + 8:g}" width="{width:.1f}" height="3" fill="{colour}"/>')
    if row["flops"]:
        parts.append(text(884, y + 4, number(row["flops"] / 1e6, 3), 13, INK, right))
    if tapped:
        parts.append(text(600, y + 4, f'{symbol("Dis_l")}<tspan dy="-4"> is read here</tspan>', 13, colour, right))
    return parts


def _shape(shape: list[int]) -> str:
    return " × ".join(map(str, shape))


def _silhouette(shape: list[int], size: int, y: float, colour: str) -> str:
    """A bar as wide as the channels (or units) and as high as the side of the images, both logarithmic."""
    side = shape[1] if shape[1:] else 0
    width, height = 104 * math.log2(1 + shape[0]) / 15, max(4, 22 * math.log2(1 + side) / math.log2(1 + size))
    place = f'x="{70 - width / 2:.1f}" y="{y - height / 2:.1f}" width="{width:.1f}" height="{height:.1f}"'
    return f'<rect {place} rx="1.5" fill="{colour}" fill-opacity="0.55"/>'


def _tap(spec: NetworkSpec) -> str:
    """The layer of Dis whose output Dis_l is, found by where it lies in memory."""
    small = spec.model_copy(update={"width": 1 / 64})
    dis = networks.build(small, 8, 1, 0)["dis"]
    outputs: dict[str, Tensor] = {}
    for name, module in dis.named_modules():
        if not list(module.children()):
            module.register_forward_hook(lambda _, __, output, name=name: outputs.setdefault(name, output))
    _, features = dis(torch.zeros(2, 1, 8, 8))
    return next(name for name, output in outputs.items() if output.data_ptr() == features.data_ptr())
