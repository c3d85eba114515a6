"""How a metric itself responds to a shift: the error between a test image and its shifted self.

The paper's argument for Dis_l (Larsen et al. 2016, section 1) is that pixel errors punish a small shift, which a
viewer hardly sees. Here every error is scaled by its mean between images of different classes (of different images
where there are no labels), so 1 means: for this metric, the shifted image is as far as another digit. Squared
distances are taken of pixels, of the extractor's features and of Dis_l's; of SSIM, 1 - SSIM. The values are at a
shift of 10 % of the side, along an axis or a diagonal.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial

import torch
from torch import Tensor

from triptych import topics
from triptych.data.transforms import background
from triptych.evaluation.corruptions import CORRUPTIONS, SHIFTS, corrupted, subset
from triptych.evaluation.metrics import Metric, Output, Values, value_or_reason
from triptych.evaluation.metrics.pixel_error import squared_errors
from triptych.evaluation.metrics.ssim import similarities
from triptych.evaluation.observations import Measured, Observations, ratio_of_means

MOST = 300
AT = 0.1

Distance = Callable[[Tensor, Tensor], Tensor]
"""The error [B] between what is seen of images and of others, both [B, ...]."""


def partners(labels: Tensor | None, count: int) -> Tensor:
    """For each of `count` images the next one of another class, going round; without two classes the next one."""
    found = torch.arange(count).roll(-1)
    if labels is None or len(labels.unique()) < 2:
        return found
    open_ = labels[found] == labels
    while bool(open_.any()):
        found = torch.where(open_, (found + 1) % count, found)
        open_ = labels[found] == labels
    return found


def _squared(x: Tensor, y: Tensor) -> Tensor:
    return (x.double() - y.double()).square().mean(1)


def _unlike(images: Tensor, others: Tensor) -> Tensor:
    return 1 - similarities(images, others).double()


def _response(views: Iterable[Tensor], distance: Distance, partner: Tensor) -> Measured:
    """The answer of a distance between what is seen of images, unshifted first and then at every shift."""
    still, *shifted = views
    between = distance(still, still[partner])
    if between.mean() == 0:
        raise ValueError("it sees no difference between images")
    answers = [distance(still, view) for view in shifted]
    curve = [(share, float(answer.mean() / between.mean())) for share, answer in zip(SHIFTS, answers, strict=True)]
    return ratio_of_means(answers[SHIFTS.index(AT)], between, curve=((0.0, 0.0), *curve))


def _compute(observed: Observations) -> Values:
    chosen = subset(observed, MOST)
    if len(chosen) < 2:
        raise ValueError("a distance between images needs two")
    images, fill = observed.real[chosen], background(observed.real)
    moved = [corrupted(images, "translation", share, observed.seed, fill) for share in (0.0, *SHIFTS)]
    partner = partners(None if observed.labels is None else observed.labels[chosen], len(chosen))
    features = (torch.from_numpy(observed.features_of_shared(each)) for each in moved)
    dis_l = (observed.dis_l_of(each) for each in moved)  # where there is no discriminator, it fails when asked
    seen: dict[str, tuple[Iterable[Tensor], Distance]] = {
        "pixel_response": (moved, squared_errors),
        "ssim_response": (moved, _unlike),
        "feature_response": (features, _squared),
        "dis_l_response": (dis_l, _squared),
    }
    return {name: value_or_reason(partial(_response, *how, partner)) for name, how in seen.items()}


def _output(name: str, label: str, what: str) -> Output:
    return Output(
        metric=name,
        label=label,
        unit="ratio",
        better="none",
        scale="factor",
        smallest_effect=1.05,  # a twentieth
        role="secondary",
        about=f"{what} between an image and itself shifted by 10 % of the side, over that between images of different "
        "classes.",
        topic=topics.ROBUSTNESS,
        axis=CORRUPTIONS["translation"].axis,
    )


METRIC = Metric(
    name="shift_response",
    outputs=(
        _output("pixel_response", "Pixel error's response to shifts", "Squared pixel error"),
        _output("ssim_response", "SSIM's response to shifts", "1 - SSIM"),
        _output("feature_response", "Features' response to shifts", "Squared distance in the extractor's features"),
        _output("dis_l_response", "Dis_l's response to shifts", "Squared distance in Dis_l features"),
    ),
    compute=_compute,
    features=("feature_response",),
    max_images=MOST,
    source="after Larsen et al. 2016, section 1",
    blind_spots="A metric that does not respond to shifts may respond to nothing: compare its response to other "
    "damage. It describes the images and the metric; only with Dis_l does it describe the run.",
)
