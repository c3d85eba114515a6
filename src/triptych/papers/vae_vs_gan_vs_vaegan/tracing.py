"""How a framework is wired, found by playing it: which network sees which image, and what each term is made of.

One call of the framework's `terms` on tiny networks, with the graph ended at every network's output: then the
gradients of whatever comes next tell what it is computed from directly, through joined batches too.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from triptych.errors import InputError
from triptych.frameworks import Batch
from triptych.rng import stream
from triptych.spec import RunSpec, StudySpec, checked
from triptych.study.plan import runs_of
from triptych.study.presets import PRESETS
from triptych.training.state import initial

IMAGES = ("x", "x~", "x_p")
"""Data, reconstructions and samples."""
SIZE, LATENT, BATCH = 8, 3, 4
"""Of the tiny step that is traced."""

Token = tuple[str, str]
"""A value of the graph: its kind ("image", "latent", "code", "logit" or "features") and what it is of ("x", "z_p")."""


@dataclass
class Wiring:
    """What one call of `terms` did: which value went into which network, and which values make up each term."""

    calls: list[tuple[str, Token]] = field(default_factory=list)
    terms: dict[str, list[Token]] = field(default_factory=dict)

    @property
    def images(self) -> list[str]:
        """The images that stand in it: data "x", reconstructions "x~", samples "x_p"."""
        seen = {"x", *(lane_of(token) for _, token in self.calls)}
        return [name for name in IMAGES if name in seen]


class Tracer:
    """Ends the graph at every network's output, in a leaf with a name; so gradients tell what depends on what alone."""

    def __init__(self, spec: RunSpec) -> None:
        small = spec.model_copy(
            update={
                "data": spec.data.model_copy(update={"size": SIZE}),
                "network": spec.network.model_copy(update={"width": 1 / 64, "latent": LATENT}),
            }
        )
        self.found, self.leaves = Wiring(), dict[Token, list[Tensor]]()
        self.numbers = stream(spec.seed, "diagram")
        state = initial(small, channels=1)
        for name, network in state.nets.items():
            network.register_forward_hook(lambda _, inputs, output, name=name: self.note(name, inputs[0], output))
        x = self.leaf(("image", "x"), torch.randn(BATCH, 1, SIZE, SIZE, generator=self.numbers))
        players = tuple(state.framework.players)
        noise: Any = self.noise
        batch = Batch(images=x, noise=noise, cut=lambda images: images, moving=players)
        terms = state.framework.terms(state.nets, batch)
        self.found.terms = {name: self.sources(term) for name, term in terms.items()}

    def leaf(self, token: Token, value: Tensor) -> Tensor:
        """`value` as a place where the graph begins, known by `token`."""
        self.leaves.setdefault(token, []).append(value.detach().requires_grad_())
        return self.leaves[token][-1]

    def noise(self, name: str) -> Tensor:
        return self.leaf(("latent", name), torch.randn(BATCH, LATENT, generator=self.numbers))

    def sources(self, value: Tensor) -> list[Token]:
        """The leaves that `value` is computed from, with no network between."""
        pairs = [(token, leaf) for token, leaves in self.leaves.items() for leaf in leaves]
        slopes = torch.autograd.grad(value.sum(), [leaf for _, leaf in pairs], retain_graph=True, allow_unused=True)
        found = (token for (token, _), slope in zip(pairs, slopes, strict=True) if slope is not None and slope.any())
        return list(dict.fromkeys(found))

    def note(self, network: str, batch: Tensor, output: Any) -> Any:
        """Write down one call, each of the batches that are joined in it by itself; its output is a leaf from here."""
        parts: list[list[Tensor]] = []
        for place in range(0, len(batch), BATCH):
            sources = self.sources(batch[place : place + BATCH])
            kinds, of = _outputs(network, sources)
            token = ("latent", "z" if of == "x~" else "z_p") if network == "dec" else ("image", of)
            if (network, token) not in self.found.calls:
                self.found.calls.append((network, token))
            values = output if isinstance(output, tuple) else (output,)
            parts.append([self.leaf((k, of), v[place : place + BATCH]) for k, v in zip(kinds, values, strict=True)])
        joined = tuple(torch.cat(list(values)) for values in zip(*parts, strict=True))
        return joined if isinstance(output, tuple) else joined[0]


def _outputs(network: str, sources: list[Token]) -> tuple[tuple[str, ...], str]:
    """The kinds of a network's outputs, and the image that they are (Dec) or are of (Enc, Dis)."""
    if network == "dec":
        return ("image",), "x~" if any(kind == "code" for kind, _ in sources) else "x_p"
    kinds = {"enc": ("code", "code"), "dis": ("logit", "features")}
    if network not in kinds:
        raise InputError("the drawing knows Enc, Dec and Dis alone", where="framework", value=network)
    return kinds[network], next(of for kind, of in sources if kind == "image")


def trace(spec: RunSpec) -> Wiring:
    """Which values go into which network and which term in one step of a run, found by a tiny one."""
    return Tracer(spec).found


def spec_of(framework: str, options: dict[str, Any] | None = None) -> RunSpec:
    """The paper-sized run of a framework or preset ("vaegan@course-code"), `options` laid over its own.

    Raises InputError for an unknown framework, preset or option.
    """
    parts = {part: PRESETS["paper"][part] for part in ("data", "network")}
    override = {framework: {"options": options or {}}}
    study = {"frameworks": [framework], "seeds": 1, **parts, "override": override}
    return runs_of(checked(StudySpec, study, f"drawing of {framework}"))[0]


def lane_of(token: Token) -> str:
    """The image that a value is of, or is made into."""
    return {"z": "x~", "z_p": "x_p"}.get(token[1], token[1])
