"""Linear probe: how much of an image's class can be read off its code by a linear classifier.

After Alain and Bengio 2016 (arXiv:1610.01644). Multinomial logistic regression on the posterior means of at most
10,000 training images, standardised; the mean cross-entropy plus |W|^2 / 2N (a weight of 1 on the sum), minimised by
L-BFGS: convex, so nothing is drawn. The score is its accuracy on the codes of the test images. The level of chance,
always naming the most frequent class, is in the note.
"""

from __future__ import annotations

import numpy as np
from scipy import special

from triptych import topics
from triptych.evaluation.metrics import Metric, Output, Values
from triptych.evaluation.observations import Observations, mean_of

MOST_TRAINING = 10_000


def fit(codes: np.ndarray, labels: np.ndarray, classes: int) -> np.ndarray:
    """Weights [L + 1, classes], the last row the intercepts, for codes [N, L] and labels [N] in 0 ... classes - 1."""
    from scipy import optimize  # imported late, since it takes a quarter of a second

    count, dimension = codes.shape
    inputs = np.column_stack([codes, np.ones(count)])
    wanted = np.eye(classes)[labels]

    def objective(flat: np.ndarray) -> tuple[float, np.ndarray]:
        weights = flat.reshape(dimension + 1, classes)
        penalised = np.concatenate([weights[:-1], np.zeros((1, classes))])
        log_probabilities = special.log_softmax(inputs @ weights, axis=1)
        loss = -(wanted * log_probabilities).sum() + (penalised**2).sum() / 2
        gradient = inputs.T @ (np.exp(log_probabilities) - wanted) + penalised
        return loss / count, gradient.ravel() / count

    start = np.zeros((dimension + 1) * classes)
    found = optimize.minimize(objective, start, jac=True, method="L-BFGS-B", options={"maxiter": 300, "gtol": 1e-5})
    return found.x.reshape(dimension + 1, classes)


def _compute(observed: Observations) -> Values:
    test_labels, test = observed.labelled().numpy(), observed.codes.double().numpy()
    images, labels = observed.training_images(MOST_TRAINING)
    if labels is None:
        raise ValueError("the training images have no labels")
    names, indices = np.unique(labels.numpy(), return_inverse=True)
    if len(names) < 2:
        raise ValueError("the training images are of one class")
    training = observed.codes_of(images, labels).double().numpy()
    centre, scale = training.mean(0), training.std(0)
    scale[scale == 0] = 1  # a unit that never moves
    weights = fit((training - centre) / scale, indices, len(names))
    named = names[((test - centre) / scale @ weights[:-1] + weights[-1]).argmax(1)]
    chance = (test_labels == names[np.bincount(indices).argmax()]).mean()
    note = f"fitted to {len(training):,} training images; chance {chance:.2f}"
    return {"linear_probe": mean_of(named == test_labels, note=note)}


METRIC = Metric(
    name="linear_probe",
    outputs=(
        Output(
            metric="linear_probe",
            label="Linear probe",
            unit="share",
            better="higher",
            scale="share",
            smallest_effect=0.01,  # one test image in a hundred
            role="secondary",
            about="Share of test images whose class a linear classifier reads off the code.",
            topic=topics.LATENT,
        ),
    ),
    compute=_compute,
    source="Alain and Bengio 2016",
    blind_spots="Many dimensions: random projections of the pixels also score well. What is in the code but not "
    "linear is not seen.",
)
