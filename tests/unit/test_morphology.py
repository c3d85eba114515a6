"""Thickness, slant and size against shapes whose moments are known."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.special
import torch
from torch.nn.functional import avg_pool2d, max_pool2d, pad

from triptych.evaluation.morphology import measure


def bar(width: int, height: int, shear: int = 0, side: int = 40) -> torch.Tensor:
    """An upright bar [1, 1, side, side], black on white, whose rows move right by `shear` pixels each upwards."""
    image = torch.full((1, 1, side, side), -1.0)
    for row in range(height):
        left = 12 + shear * (height - 1 - row)
        image[0, 0, 10 + row, left : left + width] = 1
    return image


def ellipse(a: float, b: float, angle: float, side: int = 48) -> torch.Tensor:
    """A white ellipse [1, 1, side, side] with semi-axes a and b in pixels, a turned by `angle` from right to up."""
    finer = 8
    at = (torch.arange(side * finer).double() + 0.5) / finer - side / 2
    y, x = torch.meshgrid(-at, at, indexing="ij")
    u, v = x * math.cos(angle) + y * math.sin(angle), y * math.cos(angle) - x * math.sin(angle)
    inside = ((u / a) ** 2 + (v / b) ** 2 <= 1).double()
    return avg_pool2d(inside[None, None], finer).float() * 2 - 1


@pytest.fixture(scope="module")
def real(digits):
    return torch.from_numpy(digits[0][:100]).float()[:, None] / 127.5 - 1


@pytest.mark.parametrize(("width", "height"), [(2, 12), (3, 15), (8, 8)])
def test_a_bar_is_as_its_formula_says(width, height):
    thickness, slant, size = measure(bar(width, height))[0].tolist()
    perimeter = 2 * (width + height) - 4 + 2 * 2**0.5  # a corner's cell has a gradient of 1 / sqrt 2, not 1
    assert thickness == pytest.approx(2 * width * height / perimeter / 40)
    assert slant == pytest.approx(0, abs=1e-9)
    assert size == pytest.approx(((width**2 + height**2) / 12) ** 0.5 / 40)


@pytest.mark.parametrize("shear", [-1, 1, 2])
def test_a_sheared_bar_leans_by_its_shear_to_the_right_upwards(shear):
    slant = float(measure(bar(3, 9, shear, side=48) if shear > 0 else bar(3, 9, shear, side=40))[0, 1])
    assert math.tan(math.radians(slant)) == pytest.approx(shear * (1 - 1 / 9**2))  # pixels are squares, not sheared


@pytest.mark.parametrize("angle", [0.0, 0.4, math.pi / 2, 2.0])
def test_an_ellipse_has_its_moments_and_its_perimeter(angle):
    a, b = 15.0, 6.0
    thickness, slant, size = measure(ellipse(a, b, angle))[0].tolist()
    mu11 = (a**2 - b**2) / 4 * math.sin(angle) * math.cos(angle)  # with y upwards
    mu02 = (a**2 * math.sin(angle) ** 2 + b**2 * math.cos(angle) ** 2) / 4
    perimeter = 4 * a * scipy.special.ellipe(1 - (b / a) ** 2)
    assert slant == pytest.approx(math.degrees(math.atan(mu11 / mu02)), abs=0.5)
    assert size == pytest.approx(((a**2 + b**2) / 4) ** 0.5 / 48, rel=0.01)
    assert thickness == pytest.approx(2 * math.pi * a * b / perimeter / 48, rel=0.03)


def test_brightness_contrast_colour_and_place_change_nothing(real):
    padded = pad(real, (4, 4, 4, 4), value=-1.0)
    expected = measure(padded)
    colour = torch.cat([padded, padded, padded], 1)
    shifted = padded.roll((3, -2), dims=(2, 3))
    for changed in (-padded, padded * 0.3 + 0.5, colour, shifted):
        assert measure(changed) == pytest.approx(expected.numpy(), rel=1e-4, abs=1e-4)
    mirrored = measure(padded.flip(3)).numpy()
    assert mirrored == pytest.approx(expected.numpy() * np.array([1, -1, 1]), rel=1e-6, abs=1e-6)


def test_real_digits_made_thicker_sheared_and_larger_measure_so(real):
    wide = pad(real, (20, 20, 20, 20), value=-1.0)
    thickness, slant, size = measure(wide).T
    assert (measure(max_pool2d(wide, 3, 1, 1))[:, 0] > 1.2 * thickness).all()
    sheared = torch.stack([wide[:, :, row].roll(34 - row, dims=2) for row in range(68)], 2)
    expected = torch.rad2deg(torch.atan(torch.tan(torch.deg2rad(slant)) + 1))
    assert measure(sheared)[:, 1] == pytest.approx(expected.numpy(), abs=0.5)
    doubled = wide.repeat_interleave(2, 2).repeat_interleave(2, 3)
    inner = doubled[:, :, 34:-34, 34:-34]  # twice as large in the same frame
    assert measure(inner)[:, 2] == pytest.approx(2 * size.numpy(), rel=0.01)


def test_a_blank_image_has_no_measures():
    images = torch.cat([torch.zeros(1, 1, 40, 40), 0.01 * bar(3, 9), bar(3, 9)])
    assert measure(images).isnan().all(1).tolist() == [True, True, False]
