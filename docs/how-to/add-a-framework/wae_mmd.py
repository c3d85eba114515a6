"""WAE-MMD (Tolstikhin et al. 2018, arXiv:1711.01558): a deterministic autoencoder whose codes, taken together, are
pulled towards the prior by the maximum mean discrepancy with their inverse multiquadratics kernel (section 4).
"""

from __future__ import annotations

import torch
from pydantic import Field
from torch import Tensor, nn

from triptych.frameworks import Batch, Framework
from triptych.frameworks.losses import squared_error
from triptych.spec import Frozen


class Options(Frozen):
    """`mmd`: the weight of the discrepancy next to the summed squared error of an image."""

    mmd: float = Field(default=100.0, ge=0)


def mmd(codes: Tensor, prior: Tensor) -> Tensor:
    """The unbiased squared discrepancy of two sets [B, L], summed over seven widths of the kernel c / (c + d^2)."""
    count, dimension = codes.shape

    def kernel(a: Tensor, b: Tensor) -> Tensor:
        distances = (a[:, None] - b[None]).square().sum(2)
        scales = [2.0 * dimension * factor for factor in (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)]
        return torch.stack([scale / (scale + distances) for scale in scales]).sum(0)

    others = 1 - torch.eye(count, dtype=codes.dtype, device=codes.device)
    within = ((kernel(codes, codes) + kernel(prior, prior)) * others).sum() / (count * (count - 1))
    return within - 2 * kernel(codes, prior).mean()


class WAE(Framework):
    name = "WAE-MMD"
    Options = Options
    unused = ("enc.log_variance",)
    cannot = {"posterior": "the encoder is deterministic"}

    @property
    def players(self) -> dict[str, tuple[str, ...]]:
        return {"wae": ("enc", "dec")}

    @property
    def losses(self) -> dict[str, dict[str, float]]:
        return {"wae": {"reconstruction": 1.0, "mmd": self.options.mmd}}

    def terms(self, nets: nn.ModuleDict, batch: Batch) -> dict[str, Tensor]:
        codes, _ = nets["enc"](batch.images)
        return {
            "reconstruction": squared_error(batch.images, nets["dec"](codes)).mean(),
            "mmd": mmd(codes, batch.noise("prior")),
        }

    def encode(self, nets: nn.ModuleDict, images: Tensor, labels: Tensor | None) -> Tensor:
        return nets["enc"](images)[0]


FRAMEWORK = WAE
