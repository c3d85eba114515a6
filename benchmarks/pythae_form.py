"""pythae's VAE-GAN step around our networks: its own model and its own updates, by its own code.

pythae (Chadebec et al. 2022, arXiv:2206.08309) is no dependency of ours. Where it is installed
(`benchmarks/README.md`), our three networks are wrapped in its base classes. One step is `VAEGAN.forward`, the updates
of `CoupledOptimizerAdversarialTrainer`, which is the trainer that its pipeline takes for a VAEGAN, and the four losses
that this trainer reads after each batch.

Set apart from its defaults: `adversarial_loss_scale`, and the margin of its equilibrium rule, so wide that no player
ever skips an update; a skipped update would cost less.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

from torch import Tensor, nn

from triptych.networks.conv import Discriminator
from triptych.training.state import State

NEVER_SKIP = 1e6
ADVERSARIAL_LOSS_SCALE = 0.8


def missing() -> str | None:
    """Why pythae cannot be used here, or None."""
    try:
        importlib.import_module("pythae.models")
        importlib.import_module("pythae.trainers")
    except Exception as reason:  # an old package may fail in any way when it is imported
        return f"pythae cannot be imported ({type(reason).__name__}: {reason})"
    return None


def step_of(state: State, images: Tensor, latent: int) -> Callable[[], None]:
    """One step of pythae on the networks and optimisers of `state`, whose Dis must be that of the conv family."""
    from pythae.models import VAEGAN, VAEGANConfig
    from pythae.models.base.base_utils import ModelOutput
    from pythae.models.nn import BaseDecoder, BaseDiscriminator, BaseEncoder
    from pythae.trainers import CoupledOptimizerAdversarialTrainer

    class Encoder(BaseEncoder):
        def __init__(self) -> None:
            super().__init__()
            self.net = state.nets["enc"]

        def forward(self, x: Tensor) -> ModelOutput:
            mean, log_variance = self.net(x)
            return ModelOutput(embedding=mean, log_covariance=log_variance)

    class Decoder(BaseDecoder):
        def __init__(self) -> None:
            super().__init__()
            self.net = state.nets["dec"]

        def forward(self, z: Tensor) -> ModelOutput:
            return ModelOutput(reconstruction=self.net(z))

    class Judge(BaseDiscriminator):
        """Layers 1 to 4 are the convolutions, the fifth is the rest; like pythae's own, it stops where it is asked."""

        def __init__(self) -> None:
            super().__init__()
            net = state.nets["dis"]
            assert isinstance(net, Discriminator)
            self.layers = nn.ModuleList([*net.convolutions, nn.Sequential(net.head, nn.Sigmoid())])
            self.depth = len(self.layers)

        def forward(self, x: Tensor, output_layer_levels: list[int] | None = None) -> ModelOutput:
            levels = output_layer_levels or [self.depth]
            output, hidden = ModelOutput(), x
            for level, layer in enumerate(self.layers[: max(levels)], start=1):
                hidden = layer(hidden)
                if level in levels:
                    output["embedding" if level == self.depth else f"embedding_layer_{level}"] = hidden
            return output

    dis = Judge()
    config = VAEGANConfig(
        input_dim=tuple(images.shape[1:]),
        latent_dim=latent,
        adversarial_loss_scale=ADVERSARIAL_LOSS_SCALE,
        reconstruction_layer=dis.depth - 1,
        margin=NEVER_SKIP,
    )
    model = VAEGAN(config, Encoder(), Decoder(), dis).train()
    trainer: Any = SimpleNamespace(
        encoder_optimizer=state.optimisers["enc"],
        decoder_optimizer=state.optimisers["dec"],
        discriminator_optimizer=state.optimisers["dis"],
    )

    def play() -> None:
        output = model({"data": images})
        CoupledOptimizerAdversarialTrainer._optimizers_step(trainer, output)
        losses = (output.encoder_loss, output.decoder_loss, output.discriminator_loss)
        for loss in (*losses, losses[0] + losses[1] + losses[2]):
            loss.item()

    return play
