"""A small convolutional classifier whose penultimate layer is the project's feature space.

Four 3x3 convolutions at 28, 14, 14 and 7 pixels, BatchNorm (Ioffe & Szegedy 2015) and ReLU after each, then a
linear layer to 64 features and one to the classes. The features are taken after the BatchNorm and before the
ReLU: there they are closer to the normal law that the Frechet distance supposes than after it.

Images of any size come in: they are resized to 28 x 28 inside, antialiased. So that an image seen at 32 or 16
pixels lands near its original, half of every training batch has been through one of these sizes and back.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from triptych.rng import stream

SIZE = 28  # pixels a side that the convolutions see
FEATURES = 64  # few, so that the Frechet distance's bias d(d + 1) / 2n stays small at a few thousand images


def resize(images: Tensor, size: int = SIZE) -> Tensor:
    """Images [B, C, H, W] at [B, C, size, size], bilinear and antialiased; as they are if of that size."""
    if images.shape[-2:] == (size, size):
        return images
    return F.interpolate(images, (size, size), mode="bilinear", antialias=True, align_corners=False)


class Halve(nn.MaxPool2d):
    """The same as `nn.MaxPool2d(2)` to the last bit; without gradients from whole slices, 5 times as fast on a CPU."""

    def forward(self, x: Tensor) -> Tensor:
        """The largest of each 2 x 2 pixels of [B, C, H, W], [B, C, H // 2, W // 2]."""
        if x.requires_grad:  # of equal pixels, the gradient goes to the first
            return F.max_pool2d(x, 2)
        whole = x[..., : x.shape[-2] // 2 * 2, : x.shape[-1] // 2 * 2]
        rows = torch.maximum(whole[..., ::2, :], whole[..., 1::2, :])
        return torch.maximum(rows[..., ::2], rows[..., 1::2])


class Classifier(nn.Module):
    """Images [B, C, H, W] in [-1, 1] to logits [B, classes]; `features` gives the layer before, [B, 64]."""

    def __init__(self, channels: int = 1, classes: int = 10) -> None:
        super().__init__()

        def block(inputs: int, outputs: int) -> list[nn.Module]:
            conv = nn.Conv2d(inputs, outputs, 3, padding=1, bias=False)
            return [conv, nn.BatchNorm2d(outputs), nn.ReLU()]

        self.trunk = nn.Sequential(
            *block(channels, 24),
            Halve(2),
            *block(24, 48),
            *block(48, 64),
            Halve(2),
            *block(64, 96),
            Halve(2),
            nn.Flatten(),
            nn.Linear(96 * 3 * 3, FEATURES, bias=False),
            nn.BatchNorm1d(FEATURES),
        )
        self.head = nn.Linear(FEATURES, classes)

    def features(self, images: Tensor) -> Tensor:
        """The penultimate layer, [B, 64]."""
        return self.trunk(resize(images))

    def logits(self, features: Tensor) -> Tensor:
        """Class scores [B, classes] of features [B, 64]."""
        return self.head(F.relu(features))

    def forward(self, images: Tensor) -> Tensor:
        return self.logits(self.features(images))


def from_weights(weights: dict[str, Tensor], channels: int, classes: int) -> Classifier:
    """The classifier with these weights, in eval mode and without gradients."""
    with torch.device("meta"):  # no initial weights, hence no use of the global generator
        network = Classifier(channels, classes)
    network.load_state_dict(weights, assign=True)
    return network.eval().requires_grad_(False)


def initialised(channels: int, classes: int, generator: torch.Generator) -> Classifier:
    """A classifier with He et al. (2015) weights from the given generator; the global one is not touched."""
    with torch.device("meta"):
        network = Classifier(channels, classes)
    network.to_empty(device="cpu")
    for layer in network.modules():
        if isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d):
            layer.reset_parameters()
        if isinstance(layer, nn.Conv2d | nn.Linear):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu", generator=generator)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
    return network


def _augment(images: Tensor, generator: torch.Generator) -> Tensor:
    """Images [B, C, 28, 28] slightly turned, scaled, shifted; the second half has been to 32 or 16 pixels."""
    count = len(images)
    turn, scale, across, down = (2 * torch.rand(4, count, generator=generator) - 1).unbind()
    angle, zoom = turn * math.radians(10), 1 + 0.1 * scale
    cos, sin = zoom * angle.cos(), zoom * angle.sin()
    shift = 2 * 2 / SIZE  # two pixels, in the grid's units of half an image
    rows = [torch.stack([cos, -sin, across * shift], 1), torch.stack([sin, cos, down * shift], 1)]
    grid = F.affine_grid(torch.stack(rows, 1), list(images.shape), align_corners=False)
    images = F.grid_sample(images, grid, padding_mode="border", align_corners=False)
    half, quarter = count // 2, count // 4
    slices = {32: images[half : half + quarter], 16: images[half + quarter :]}
    return torch.cat([images[:half], *(resize(resize(part, size)) for size, part in slices.items() if len(part))])


def train(
    images: Tensor,
    labels: Tensor,
    classes: int,
    *,
    total_images: int,
    seed: int = 0,
    batch_size: int = 128,
    rate: float = 3e-3,
    progress: Callable[[int, float], None] | None = None,
) -> Classifier:
    """A classifier trained on images [N, C, H, W] in [-1, 1] with labels [N].

    AdamW, its rate rising over the first 15 % and falling with a cosine. Progress is counted in images seen;
    `progress(images, loss)` is called after every batch. Deterministic on one machine at one thread count.
    Returned in eval mode, on the CPU, without gradients.
    """
    images = resize(images).contiguous()
    network = initialised(images.shape[1], classes, stream(seed, "classifier/weights"))
    network = network.to(memory_format=torch.channels_last).train()  # pyright: ignore[reportCallIssue]
    batch_size = max(2, min(batch_size, len(images)))  # BatchNorm needs two
    updates = max(1, total_images // batch_size)
    optimiser = torch.optim.AdamW(network.parameters(), lr=rate, weight_decay=1e-3)
    for step in range(updates):
        randomness = stream(seed, "classifier/batch", step)
        chosen = torch.randint(len(images), (batch_size,), generator=randomness)
        batch = _augment(images[chosen], randomness).contiguous(memory_format=torch.channels_last)
        done = step / updates
        for group in optimiser.param_groups:
            group["lr"] = rate * min(done / 0.15 + 0.02, 0.5 + 0.5 * math.cos(math.pi * done))
        loss = F.cross_entropy(network(batch), labels[chosen])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        if progress is not None:
            progress((step + 1) * batch_size, loss.item())
    return network.to(memory_format=torch.contiguous_format).eval().requires_grad_(False)  # pyright: ignore


@torch.no_grad()
def accuracy(network: Classifier, images: Tensor, labels: Tensor, batch_size: int = 250) -> float:
    """The share of images [N, C, H, W] in [-1, 1] whose likeliest class is the label [N]."""
    guesses = torch.cat([network(batch).argmax(1) for batch in images.split(batch_size)])
    return float((guesses == labels).double().mean())
