"""Visual attribute arithmetic, measured: what does adding an attribute's vector to a code do?

Source: Larsen et al. 2016 (arXiv:1512.09300), section 4.3.

Attributes are measured on the images themselves (`triptych.evaluation.morphology`): thickness, slant and size. The
vector of an attribute is the mean code of the third of the training images that has most of it minus that of the third
that has least. It is added to the codes of test images; the effect is how much more of the attribute the decoded image
has than the decoded code itself, in standard deviations over real test images.

The vector represents the difference between the thirds, about 2 SD, which is in the note: with ideal codes that is the
effect. A larger effect overshoots, so the effects have no better direction. These have one:

    attribute_miss      the mean of |effect - the vector's own difference| / that difference, over images and
                        attributes: 0 is exact, 1 is no effect, or twice too much
    attribute_leakage   the mean absolute change of the other two attributes over the mean wanted change

Deviations from the paper: there are no annotations, so numbers replace pictures and a separate attribute predictor.
"""

from __future__ import annotations

import torch
from torch import Tensor

from triptych import topics
from triptych.evaluation import morphology
from triptych.evaluation.metrics import Metric, Output, Values
from triptych.evaluation.observations import Observations, Undefined, mean_of, ratio_of_means

MOST = 1000  # test images
MOST_TRAINING = 5000
LEAST_EFFECT = 0.1  # SD: below, a leakage is a ratio to nothing


def thirds(measured: Tensor) -> tuple[Tensor, Tensor]:
    """Indices of the third of images with the least and that with the most of an attribute measured [N]."""
    order = measured.argsort(stable=True)
    third = len(order) // 3
    return order[:third], order[len(order) - third :]


def _training(observed: Observations) -> tuple[Tensor, Tensor]:
    """Codes [N, L] and attributes [N, 3] of the training images that are not blank."""
    images, labels = observed.training_images(MOST_TRAINING)
    measured = morphology.measure(images)
    shown = measured.isfinite().all(1)
    if int(shown.sum()) < 3:
        raise ValueError("the training images show nothing to measure")
    return observed.codes_of(images[shown], None if labels is None else labels[shown]), measured[shown]


def _compute(observed: Observations) -> Values:
    chosen = observed.some(MOST)
    codes, real = observed.codes[chosen], morphology.measure(observed.real)
    real = real[real.isfinite().all(1)]
    if len(real) < 2:
        raise ValueError("the images show nothing to measure")
    training_codes, training = _training(observed)
    scale = real.std(0)
    if bool((scale < 1e-9).any() | (training.std(0) < 1e-9).any()):
        raise ValueError("the images do not differ in thickness, slant or size")
    plain = morphology.measure(observed.decoded(codes))
    changes, stands_for = [], []
    for attribute in range(len(morphology.NAMES)):
        least, most = thirds(training[:, attribute])
        vector = training_codes[most].mean(0) - training_codes[least].mean(0)
        changes.append((morphology.measure(observed.decoded(codes + vector)) - plain) / scale)
        stands_for.append(float(training[most, attribute].mean() - training[least, attribute].mean()))
    return _effects(torch.stack(changes), torch.tensor(stands_for) / scale)


def _effects(changes: Tensor, stands_for: Tensor) -> Values:
    """The outputs from changes [vector, image, attribute] and from what the vectors stand for [vector], both in SD."""
    shown = changes.isfinite().all(2).all(0)
    if int(shown.sum()) < 2:
        raise ValueError("the decoded images show nothing to measure")
    changes = changes[:, shown]
    blank = "" if bool(shown.all()) else f"; {int((~shown).sum())} images left out, blank when decoded"
    values: Values = {
        f"attribute_{name}": mean_of(
            changes[i, :, i], note=f"the vector stands for {float(stands_for[i]):.2f} SD{blank}"
        )
        for i, name in enumerate(morphology.NAMES)
    }
    effects = changes.diagonal(dim1=0, dim2=2)  # [image, attribute]
    values["attribute_miss"] = mean_of(((effects - stands_for) / stands_for).abs().mean(1))
    wanted, others = effects.mean(1), ~torch.eye(len(morphology.NAMES), dtype=torch.bool)
    aside = (changes.abs() * others[:, None]).sum((0, 2)) / others.sum()
    enough = float(wanted.mean()) >= LEAST_EFFECT
    values["attribute_leakage"] = (
        ratio_of_means(aside.numpy(), wanted.numpy()) if enough else Undefined("the vectors hardly have their effect")
    )
    return values


def _output(name: str, what: str) -> Output:
    return Output(
        metric=f"attribute_{name}",
        label=f"{name.capitalize()} vector",
        unit="SD of real images",
        better="none",
        smallest_effect=0.1,  # a tenth of how much real images differ
        role="secondary",
        about=f"How much {what} an image becomes when the code of {what} images is added, in SD of real images.",
        topic=topics.LATENT,
    )


METRIC = Metric(
    name="attributes",
    outputs=(
        _output("thickness", "thicker"),
        _output("slant", "more slanted"),
        _output("size", "larger"),
        Output(
            metric="attribute_miss",
            label="Attribute miss",
            unit="share",
            better="lower",
            scale="factor",
            smallest_effect=1.25,  # a quarter more, about what another draw of the images changes
            role="secondary",
            about="How far the effect of adding an attribute is from the difference it stands for, as a share of that.",
            topic=topics.LATENT,
        ),
        Output(
            metric="attribute_leakage",
            label="Attribute leakage",
            unit="ratio",
            better="lower",
            scale="factor",
            smallest_effect=1.25,  # as above
            role="secondary",
            about="How much the other attributes change when one is added, for each SD of wanted change.",
            topic=topics.LATENT,
        ),
    ),
    compute=_compute,
    max_images=MOST,
    source="Larsen et al. 2016, section 4.3; measurements after Castro et al. 2019",
    blind_spots="An image that the vector destroys can measure as thick or large. Real attributes are correlated, so "
    "some leakage comes from the data.",
)
