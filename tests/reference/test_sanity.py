"""Real digits, corrupted: what should be seen is seen, and what should be ignored is; the docs' table, smaller."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

pytestmark = pytest.mark.slow

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "sanity_table.py"


@pytest.fixture(scope="module")
def sanity() -> ModuleType:
    spec = importlib.util.spec_from_file_location("sanity_table", SCRIPT)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def found(sanity):
    return sanity.measure(1000, training=6000)


def verdicts(sanity, found, expected: dict[str, str]) -> dict[str, str]:
    """The verdict on every "output corruption" of which something is expected."""
    by_name = {output.metric: output for output in sanity.outputs()}
    pairs = [(name, corruption) for name, corruptions in expected.items() for corruption in corruptions.split()]
    return {
        f"{name} {corruption}": sanity.verdict(by_name[name], found["none"][name], found[corruption][name])
        for name, corruption in pairs
    }


def test_every_corruption_is_seen_by_the_metrics_that_should_see_it(sanity, found):
    seen = verdicts(sanity, found, sanity.SEES)
    assert {what: verdict for what, verdict in seen.items() if verdict != "seen"} == {}


def test_every_corruption_is_ignored_by_the_metrics_that_should_not_see_it(sanity, found):
    seen = verdicts(sanity, found, sanity.IGNORES)
    assert {what: verdict for what, verdict in seen.items() if verdict == "seen"} == {}


def test_no_metric_is_left_out_of_the_expectations(sanity):
    # neither direction nor expectation: what a sample set is, not whether it is good; an agreement may do
    # both, and the floor's PSNR is at its limit
    free = {"psnr", "vendi", "sharpness", "reconstruction_sharpness", "data_copying", "class_agreement"}
    assert {output.metric for output in sanity.outputs()} == sanity.SEES.keys() | sanity.IGNORES.keys() | free
