"""Flow matching (Lipman et al. 2023, arXiv:2210.02747): a network learns the velocity that carries noise to images on
straight lines; samples solve its differential equation. A small U-Net, and a moving average of it to sample from.
"""

from __future__ import annotations

import copy
import math

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn.functional import interpolate, silu

from triptych.frameworks import Batch, Context, Framework
from triptych.spec import Frozen

NO_CODE = "its latents are images of noise"


class Options(Frozen):
    """`steps` of Heun's method per sample; `decay` of the moving average once it has seen enough updates."""

    width: int = Field(default=16, ge=8, multiple_of=8)
    steps: int = Field(default=8, ge=1)
    decay: float = Field(default=0.995, ge=0, lt=1)


class Block(nn.Module):
    """A residual block that is told the time: [B, before, h, w] to [B, after, h, w]."""

    def __init__(self, before: int, after: int, time: int) -> None:
        super().__init__()
        self.first = nn.Sequential(nn.GroupNorm(4, before), nn.SiLU(), nn.Conv2d(before, after, 3, padding=1))
        self.time = nn.Linear(time, after)
        self.second = nn.Sequential(nn.GroupNorm(4, after), nn.SiLU(), nn.Conv2d(after, after, 3, padding=1))
        self.skip = nn.Conv2d(before, after, 1)

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        return self.skip(x) + self.second(self.first(x) + self.time(time)[:, :, None, None])


class UNet(nn.Module):
    """The velocity [B, C, S, S] at images [B, C, S, S] and times [B, 1]."""

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        time, w = 4 * width, width
        self.register_buffer("frequencies", 2 * math.pi * torch.arange(1.0, width // 2 + 1))
        self.embed = nn.Sequential(nn.Linear(2 * (width // 2), time), nn.SiLU())
        self.enter = nn.Conv2d(channels, w, 3, padding=1)
        self.down = nn.ModuleList([Block(w, w, time), Block(w, 2 * w, time)])
        self.middle = Block(2 * w, 2 * w, time)
        self.up = nn.ModuleList([Block(4 * w, w, time), Block(2 * w, w, time)])
        self.leave = nn.Conv2d(w, channels, 3, padding=1)

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        angles = t * self.frequencies
        time, h, skips = self.embed(torch.cat([angles.sin(), angles.cos()], 1)), self.enter(x), []
        for block in self.down:
            h = block(h, time)
            skips.append(h)
            h = nn.functional.avg_pool2d(h, 2)
        h = self.middle(h, time)
        for block in self.up:
            h = block(torch.cat([interpolate(h, scale_factor=2.0), skips.pop()], 1), time)
        return self.leave(silu(h))


class FlowMatching(Framework):
    name = "Flow matching"
    Options = Options
    cannot = {"encode": NO_CODE, "decode": NO_CODE, "posterior": NO_CODE, "likelihood": NO_CODE, "reconstruct": NO_CODE}

    @property
    def players(self) -> dict[str, tuple[str, ...]]:
        return {"flow": ("unet",)}

    @property
    def losses(self) -> dict[str, dict[str, float]]:
        return {"flow": {"velocity": 1.0}}

    def build(self, context: Context) -> dict[str, nn.Module]:
        self.shape = (context.channels, context.size, context.size)
        unet = context.own("unet", lambda: UNet(context.channels, self.options.width))
        average = copy.deepcopy(unet)
        average.register_buffer("updates", torch.zeros((), device=context.device))
        return {"unet": unet, "average": average}

    def latent_size(self, context: Context) -> int:
        return context.channels * context.size**2

    def terms(self, nets: nn.ModuleDict, batch: Batch) -> dict[str, Tensor]:
        images, start, t = batch.images, batch.noise("start", *self.shape), batch.noise("t", 1, law="uniform")
        share = t[:, :, None, None]
        velocity = nets["unet"]((1 - share) * start + share * images, t)
        return {"velocity": (velocity - (images - start)).square().mean()}

    def after_update(self, nets: nn.ModuleDict, players: tuple[str, ...]) -> None:
        average = nets["average"]
        average.updates += 1  # type: ignore[operator]
        decay = min(self.options.decay, float((1 + average.updates) / (10 + average.updates)))  # type: ignore[arg-type, operator]
        for slow, fast in zip(average.parameters(), nets["unet"].parameters(), strict=True):
            slow.lerp_(fast, 1 - decay)

    def sample(self, nets: nn.ModuleDict, latents: Tensor, labels: Tensor | None) -> Tensor:
        x, flow, dt = latents.view(-1, *self.shape), nets["average"], 1 / self.options.steps
        for number in range(self.options.steps):
            here, there = (x.new_full((len(x), 1), time * dt) for time in (number, number + 1))
            slope = flow(x, here)
            x = x + dt * (slope + flow(x + dt * slope, there)) / 2
        return x.clamp(-1, 1)


FRAMEWORK = FlowMatching
