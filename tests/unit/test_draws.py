"""The images that scores are computed on are random draws: the structure of a file does not reach the scores."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from triptych.data import dataset
from triptych.data.dataset import Dataset, Split
from triptych.evaluation import scoring
from triptych.evaluation.features import mnist_extractor
from triptych.evaluation.metrics import load
from triptych.evaluation.metrics.frechet import frechet_distance
from triptych.spec import ScoringSpec

pytestmark = pytest.mark.slow

SIZES = (1000, 2500, 5000)


@pytest.fixture(scope="module")
def mnist() -> Dataset:
    return dataset.load_images("mnist", size=28)


def test_a_smaller_draw_begins_a_larger_one_and_what_is_left_out_is_not_in_it(mnist: Dataset) -> None:
    draw, others = scoring.draws_from(mnist.test), scoring.draws_from(mnist.test, left_out=500)
    images, labels = draw(1000)
    assert torch.equal(draw(24)[0], images[:24])
    assert labels is not None and torch.equal(draw(500)[1], labels[:500])  # pyright: ignore[reportArgumentType]
    rest = others(10_000)[0]
    assert len(rest) == 9_500 and torch.equal(rest[:500], images[500:])


def test_real_baselines_on_mnist_are_those_of_independent_random_draws(mnist: Dataset, tmp_path: Path) -> None:
    """MNIST's training file alternates between two sources: draws at even distances gave 1.8, 1.5 and 1.3 at these
    sizes, which fell with n far more slowly than chance does.
    """
    extractor, generator = mnist_extractor(), torch.Generator().manual_seed(5)

    def features(split: Split):
        return extractor(split.images(torch.randperm(len(split), generator=generator)[: SIZES[-1]]))

    test, training = features(mnist.test), features(mnist.train)
    for n in SIZES:
        asked = load(["frechet"])
        found = scoring.references(mnist, ScoringSpec(images=n), asked, [extractor], tmp_path)
        expected = frechet_distance(test[:n], training[:n])
        assert found["frechet_uncorrected"]["real_baseline"] == pytest.approx(expected, rel=0.2, abs=0.05), n
        assert abs(found["frechet_distance"]["real_baseline"] or 0) < 0.12, n
