"""Loss oscillation against closed forms; collapse, where it is and where it is not."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from triptych.evaluation.features import Extractor
from triptych.evaluation.metrics import load, score
from triptych.evaluation.metrics.stability import swing
from triptych.evaluation.observations import Observations

TIME = np.linspace(0, 1, 400)
RNG = np.random.default_rng(0)


@pytest.mark.parametrize(
    ("losses", "expected"),
    [
        (5 - 3 * TIME, 0),
        (np.full(400, 2.0), 0),
        (np.sin(40 * np.pi * TIME), 8**-0.5),
        (np.tile([1.0, -1.0], 200), 0.5),
        (np.concatenate([np.tile([1.0, -1.0], 100), np.zeros(200)]), 0),
    ],
)
def test_swings_in_closed_form(losses, expected):
    assert swing(losses) == pytest.approx(expected, abs=5e-3)


def test_a_swing_leaves_unit_zero_and_sign_alone_and_is_at_most_a_half():
    for size in (16, 50, 400):
        losses = RNG.standard_normal(size).cumsum() + 5 * RNG.standard_normal(size)
        assert 0 < swing(losses) <= 0.5
        for other in (1000 * losses, losses - 77, -losses):
            assert swing(other) == pytest.approx(swing(losses))


def test_more_noise_is_more_swing_and_the_start_does_not_count():
    noise = RNG.standard_normal(400)
    swings = [swing(-TIME + amount * noise) for amount in (0.01, 0.1, 1)]
    assert swings[0] < swings[1] < swings[2]
    losses = np.sin(40 * np.pi * TIME)
    losses[:40] = 1e6
    assert swing(losses) == pytest.approx(8**-0.5, abs=5e-3)


NAMES = tuple("abcdefgh")
SAMPLES = torch.eye(8).repeat(10, 1)


def observed(shown: int, classes: bool = True, **beside) -> Observations:
    """Images that are one-hot rows of pixels; the samples show the first classes only."""
    images, samples = (x.reshape(-1, 1, 2, 4) for x in (SAMPLES, SAMPLES[torch.arange(80) % shown]))
    extractor = Extractor(
        name="pixels",
        sha256="0" * 64,
        dimension=8,
        embed=lambda x: x.flatten(1),
        logits=(lambda x: 9 * x) if classes else None,
        label_names=NAMES if classes else None,
    )
    return Observations(real=images, sample=lambda n: samples[:n], extractor=extractor, **beside)


def row(metric: str, given: Observations) -> dict:
    return next(row for row in score(given, load(["stability"])) if row["metric"] == metric)


@pytest.mark.parametrize(("shown", "collapsed"), [(8, 0), (4, 0), (3, 1), (1, 1)])
def test_fewer_than_half_of_the_classes_is_collapse(shown, collapsed):
    found = row("collapsed", observed(shown))
    assert found["value"] == collapsed and found["note"] == f"{shown} of 8 classes shown"


@pytest.mark.parametrize(("shown", "collapsed"), [(8, 0), (2, 0), (1, 1)])
def test_without_classes_the_variance_of_samples_decides(shown, collapsed):
    assert row("collapsed", observed(shown, classes=False))["value"] == collapsed


@pytest.mark.parametrize(("active", "collapsed"), [(0, 1), (1, 1), (2, 0), (30, 0)])
def test_fewer_than_one_in_twenty_active_units_is_collapse(active, collapsed):
    scale = (torch.arange(30) < active) * 1.0 + 0.05  # of the idle units the variance is below the threshold

    def posterior(images: torch.Tensor, labels: torch.Tensor | None) -> tuple[torch.Tensor, torch.Tensor]:
        mean = images.flatten(1)[:, :1] * scale
        return mean, mean

    found = row("collapsed", observed(8, posterior=posterior))
    assert found["value"] == collapsed and found["note"].endswith(f"{active} of 30 units active")


def lines(**players: np.ndarray) -> list[dict]:
    return [{"losses": dict(zip(players, each, strict=True))} for each in zip(*players.values(), strict=True)]


def test_the_least_steady_player_is_the_value_and_all_stand_beside():
    found = row("loss_oscillation", observed(8, log=lines(dec=TIME, dis=np.sin(40 * np.pi * TIME))))
    assert found["value"] == pytest.approx(8**-0.5, abs=5e-3)
    assert found["note"] == f"dec 0.000, dis {found['value']:.3f}; n counts lines of the log"


def test_a_player_who_does_not_move_in_every_interval_is_judged_by_those_it_moves_in():
    log = lines(dec=TIME)
    for line in log[::2]:
        line["losses"]["dis"] = 1.0
    assert row("loss_oscillation", observed(8, log=log))["value"] == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize(
    ("log", "reason"),
    [
        ([], "the log has no losses"),
        (lines(vae=TIME[:14]), "the last half of the log has fewer than 8 lines"),
        (lines(vae=[*TIME, float("nan")]), "some losses are not finite"),
        (lines(vae=[*TIME, None]), "some losses are not finite"),
    ],
)
def test_a_log_that_says_too_little_gives_a_reason_and_collapse_stands(log, reason):
    assert row("loss_oscillation", observed(8, log=log))["undefined"] == reason
    assert row("collapsed", observed(8, log=log))["value"] == 0
