"""VQ-VAE (van den Oord et al. 2017, arXiv:1711.00937) with a learned prior: images become a grid of symbols from a
codebook, and a recurrent network learns which symbol follows which.

Deviation: the prior is a GRU over the grid in reading order, which is small and fast, in place of their PixelCNN.
"""

from __future__ import annotations

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, mse_loss, one_hot

from triptych.frameworks import Batch, Context, Framework
from triptych.spec import Frozen

DISCRETE = "codes are symbols of a codebook"


class Options(Frozen):
    """`symbols` in the codebook, of `dimension` each; `commitment` is beta of their equation 3."""

    symbols: int = Field(default=64, ge=2)
    dimension: int = Field(default=32, ge=1)
    width: int = Field(default=32, ge=1)
    commitment: float = Field(default=0.25, ge=0)


class Prior(nn.Module):
    """Symbols [B, T] so far to the logits [B, T, K] of each, from the ones before it."""

    def __init__(self, symbols: int, hidden: int = 128) -> None:
        super().__init__()
        self.symbols = symbols
        self.embed = nn.Embedding(symbols + 1, hidden)  # the last one begins every grid
        self.recurrent = nn.GRU(hidden, hidden, batch_first=True)
        self.logits = nn.Linear(hidden, symbols)

    def forward(self, codes: Tensor) -> Tensor:
        begun = torch.cat([torch.full_like(codes[:, :1], self.symbols), codes[:, :-1]], 1)
        return self.logits(self.recurrent(self.embed(begun))[0])

    def sample(self, uniform: Tensor) -> Tensor:
        """Symbols [B, T] by inversion of their cumulated probabilities at uniform numbers [B, T]."""
        last = torch.full_like(uniform[:, :1], self.symbols, dtype=torch.int64)
        state, codes = None, []
        for column in uniform.T:
            out, state = self.recurrent(self.embed(last), state)
            cumulated = self.logits(out[:, 0]).softmax(1).cumsum(1)
            last = (cumulated < column[:, None]).sum(1, keepdim=True).clamp(max=self.symbols - 1)
            codes.append(last)
        return torch.cat(codes, 1)


class VQVAE(Framework):
    name = "VQ-VAE"
    Options = Options
    cannot = {"encode": DISCRETE, "decode": DISCRETE, "posterior": DISCRETE, "likelihood": DISCRETE}

    @property
    def players(self) -> dict[str, tuple[str, ...]]:
        return {"autoencoder": ("down", "codebook", "up"), "prior": ("prior",)}

    @property
    def losses(self) -> dict[str, dict[str, float]]:
        autoencoder = {"reconstruction": 1.0, "codebook": 1.0, "commitment": self.options.commitment}
        return {"autoencoder": autoencoder, "prior": {"symbols": 1.0}}

    def latent_size(self, context: Context) -> int:
        return (context.size // 4) ** 2

    def build(self, context: Context) -> dict[str, nn.Module]:
        o, w, d, channels = self.options, self.options.width, self.options.dimension, context.channels

        def down() -> nn.Module:
            halve = [nn.Conv2d(channels, w, 4, 2, 1), nn.ReLU(), nn.Conv2d(w, 2 * w, 4, 2, 1), nn.ReLU()]
            return nn.Sequential(*halve, nn.Conv2d(2 * w, d, 3, 1, 1))

        def up() -> nn.Module:
            double = [nn.ConvTranspose2d(2 * w, w, 4, 2, 1), nn.ReLU(), nn.ConvTranspose2d(w, channels, 4, 2, 1)]
            return nn.Sequential(nn.Conv2d(d, 2 * w, 3, 1, 1), nn.ReLU(), *double, nn.Tanh())

        prior, codebook = lambda: Prior(o.symbols), lambda: nn.Embedding(o.symbols, d)
        made = {"down": down, "codebook": codebook, "up": up, "prior": prior}
        return {name: context.own(name, make) for name, make in made.items()}

    def terms(self, nets: nn.ModuleDict, batch: Batch) -> dict[str, Tensor]:
        grid = nets["down"](batch.images)
        codes = self._nearest(nets, grid)
        quantised = self._look_up(nets, codes, grid)
        straight = grid + (quantised - grid).detach()  # their straight-through gradient
        logits = nets["prior"](codes.flatten(1))
        return {
            "reconstruction": mse_loss(nets["up"](straight), batch.images),
            "codebook": mse_loss(quantised, grid.detach()),
            "commitment": mse_loss(grid, quantised.detach()),
            "symbols": cross_entropy(logits.flatten(0, 1), codes.flatten()),
        }

    def sample(self, nets: nn.ModuleDict, latents: Tensor, labels: Tensor | None) -> Tensor:
        uniform = torch.special.ndtr(latents)
        side = round(latents.shape[1] ** 0.5)
        codes = nets["prior"].sample(uniform).view(-1, side, side)  # type: ignore[operator]
        return nets["up"](self._look_up(nets, codes, latents))

    def reconstruct(self, nets: nn.ModuleDict, images: Tensor, labels: Tensor | None) -> Tensor:
        grid = nets["down"](images)
        return nets["up"](self._look_up(nets, self._nearest(nets, grid), grid))

    def _nearest(self, nets: nn.ModuleDict, grid: Tensor) -> Tensor:
        """The symbols [B, h, w] whose vectors are nearest to a grid [B, d, h, w]."""
        vectors: Tensor = nets["codebook"].weight  # type: ignore[assignment]
        points = grid.permute(0, 2, 3, 1).unsqueeze(3)
        return (points - vectors).square().sum(4).argmin(3)

    def _look_up(self, nets: nn.ModuleDict, codes: Tensor, like: Tensor) -> Tensor:
        """The vectors [B, d, h, w] of symbols [B, h, w]."""
        vectors: Tensor = nets["codebook"].weight  # type: ignore[assignment]
        return (one_hot(codes, len(vectors)).to(like.dtype) @ vectors).permute(0, 3, 1, 2)


FRAMEWORK = VQVAE
