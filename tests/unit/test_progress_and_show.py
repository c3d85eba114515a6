"""What is said while a study runs and of what it found: true numbers, in words that a log file can hold too."""

from __future__ import annotations

import io
import os
import signal
from types import SimpleNamespace
from typing import Any

import pytest
from rich.console import Console

from triptych import text
from triptych.study.costing import RunTime
from triptych.terminal import progress, tables
from triptych.training.cost import Cost
from triptych.verdicts.comparisons import Comparison, judge


@pytest.fixture
def console() -> Console:
    """No terminal, as in a log file."""
    return Console(file=io.StringIO(), width=200)


def said(console: Console) -> str:
    return console.file.getvalue()  # type: ignore[attr-defined]


def estimate(runs: dict[str, RunTime], shared: float = 0.0) -> Any:
    return SimpleNamespace(runs=runs, shared=shared)


def test_without_an_estimate_progress_is_counted_in_flops_over_all_runs(console):
    """Of 100 + 300 FLOPs, the first run's 100 and half of the second's 300 are 62.5 %."""
    with progress.Display(console, {"a": Cost(100, 1, {}), "b": Cost(100, 3, {})}) as display:
        for event in ("started", "scoring", "finished"):
            display.on_event({"id": "a", "event": event, "metric": "kid"})
        display.on_event({"id": "b", "event": "started"})
        display.on_event({"id": "b", "event": "training", "images": 50, "seconds": 1.0})
        assert display.bars.tasks[0].completed == pytest.approx(0.625)
        assert display.bars.tasks[0].fields["speed"].startswith("1 of 2 runs")
        display.on_event({"id": "b", "event": "failed", "message": "out of memory"})
        assert display.finished == 1 and display.seconds_left() == 0
    assert "a finished" in said(console) and "b failed: out of memory" in said(console)


def test_the_time_left_leaves_out_what_was_done_before(console, monkeypatch):
    """Resumed at 50 of 100 images, 10 more took 10 s: the 40 that are left take 40 s."""
    clock = [100.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: clock[0])
    monkeypatch.setattr(progress, "QUIET_SECONDS", 5.0)
    display = progress.Display(console, {"whole": Cost(1000, 7, {}), "a": Cost(100, 1, {})})
    display.on_event({"id": "whole", "event": "finished"})  # as `compute` says of a run that is whole already
    display.on_event({"id": "a", "event": "started"})
    display.on_event({"id": "a", "event": "training", "images": 50, "seconds": 50.0})
    clock[0] += 10
    display.on_event({"id": "a", "event": "training", "images": 60, "seconds": 60.0})
    assert "about 40 s of training left, then scoring: a 60 of 100 images" in said(console)
    clock[0] += 10
    display.on_event({"id": "a", "event": "scoring", "metric": "kid"})
    assert "100 %: a scoring: kid" in said(console)  # how long that takes is not known


def test_no_time_is_left_to_say_before_anything_is_worked(console, monkeypatch):
    """A resumed run whose first event comes late, and one that was trained before and is only to be scored."""
    clock = [100.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: clock[0])
    monkeypatch.setattr(progress, "QUIET_SECONDS", 5.0)
    display = progress.Display(console, {"a": Cost(100, 1, {}), "b": Cost(100, 1, {})})
    display.on_event({"id": "b", "event": "started"})
    display.on_event({"id": "b", "event": "scoring", "metric": "kid"})
    clock[0] += 10
    display.on_event({"id": "a", "event": "started"})
    display.on_event({"id": "a", "event": "training", "images": 50, "seconds": 50.0})
    assert "50 %: b scoring: kid, a 0 of 100 images" in said(console)
    clock[0] += 10
    display.on_event({"id": "a", "event": "training", "images": 60, "seconds": 60.0})
    # 10 s for 10 images, and 40 to go, by two at once
    assert "80 %, about 20 s of training left, then scoring" in said(console)


def test_the_time_left_has_scoring_in_it_and_follows_what_finished_runs_took(console, monkeypatch):
    """Two runs of 10 s of training and 20 s of scoring are expected, and 6 s once for both; all takes twice as long."""
    clock = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: clock[0])
    both = {"a": RunTime(10.0, 20.0), "b": RunTime(10.0, 20.0)}
    display = progress.Display(console, dict.fromkeys(both, Cost(100, 1, {})), estimate(both, shared=6.0))
    assert display.seconds_left() == 66
    for seconds, event in ((0, "started"), (1, "training"), (19, "training"), (1, "scoring"), (52, "finished")):
        clock[0] += seconds
        images = 0 if clock[0] < 2 else 100
        display.on_event({"id": "a", "event": event, "images": images, "seconds": 1.0, "metric": "kid"})
    assert display.share() == pytest.approx(0.5)
    assert display.seconds_left() == pytest.approx(60)  # 20 of training and 40 of scoring
    display.on_event({"id": "b", "event": "started"})
    display.on_event({"id": "b", "event": "training", "images": 50, "seconds": 1.0})
    assert display.seconds_left() == pytest.approx(50)
    display.on_event({"id": "b", "event": "scoring", "metric": "kid"})
    clock[0] += 10
    assert display.seconds_left() == pytest.approx(30)


def test_the_state_of_many_runs_takes_a_few_lines(console):
    rows = [{"run": f"a-s{n}", "state": "finished", "images": 1, "of": 1} for n in range(900)]
    rows += [{"run": f"a-s{n}", "state": "missing", "images": 0, "of": 1} for n in range(900, 998)]
    tables.status(console, [*rows, {"run": "a-s998", "state": "failed", "images": 0, "of": 1}])
    shown = said(console)
    assert "999 runs: 900 finished, 98 waiting, 1 failed" in shown and "a-s998" in shown
    assert len(shown.splitlines()) < 5


def test_names_that_look_like_markup_are_left_as_they_are(console):
    with progress.Display(console, {"[red]a[/]": Cost(1, 1, {})}) as display:
        display.on_event({"id": "[red]a[/]", "event": "failed", "message": "[bold]no[/]"})
    assert "[red]a[/] failed: [bold]no[/]" in said(console)


def test_conditions_labels_and_reasons_that_look_like_markup_are_left_as_they_are(console):
    answer = {
        "role": "primary",
        "a": "a",
        "b": "b",
        "names": ["[b]A[/b]", "B"],
        "verdict": "undecided",
        "label": "[red]MSE[/]",
        "metric": "mse",
        "condition": {"training.order": ["dec", "dis"]},
        "rests_on": "",
        "effect_text": "1",
        "direction": "lower",
        "interval_text": "",
        "p_adjusted": None,
        "sentence": "",
        "risks": {},
    }
    tables.verdicts(console, [answer])
    line = {"metric": "mse", "value": None, "undefined": "no [bold]encoder[/]", "unit": "[i]", "n": 5, "features": ""}
    tables.scores(console, [line])
    tables.status(console, [{"run": "a[b]", "state": "finished", "images": 1, "of": 1}])
    shown = said(console)
    for name in (
        '[red]MSE[/] (training.order=["dec", "dis"])',
        "[b]A[/b], B: undecided",
        "no [bold]encoder[/]",
        "[i]",
        "a[b]",
    ):
        assert name in shown, name


@pytest.mark.parametrize(("failed", "warned"), [(3, True), (2, True), (1, False)])
def test_most_runs_that_learned_nothing_are_said_before_any_verdict(console, failed: int, warned: bool):
    values = {"vae": [20.0, 21.0, 22.0], "gan": [80.0, 82.0, 81.0]}
    scores = [
        {"metric": metric, "framework": f, "seed": seed, "value": value, "undefined": None, "n": 100}
        for f, own in values.items()
        for metric, seeds in (("fd", own), ("collapsed", [float(f == "gan" and seed < failed) for seed in range(3)]))
        for seed, value in enumerate(seeds)
    ]
    asked = [
        Comparison(metric="fd", a="vae", b="gan", smallest_effect=1.1, better="lower", scale="factor"),
        Comparison(metric="collapsed", a="vae", b="gan", smallest_effect=None, better="lower", scale="event"),
    ]
    tables.verdicts(console, [verdict.to_dict() for verdict in judge(scores, asked)])
    shown = " ".join(said(console).split())
    assert (f"Most runs of GAN ({failed} of 3) failed. Train on more images" in shown) == warned


@pytest.mark.parametrize(("seeds_needed", "told"), [(12, True), (None, False)])
def test_seeds_that_would_settle_it_are_promised_only_where_they_are_known(console, seeds_needed, told: bool):
    values = {"vae": [20.0, 21.0, 22.0], "gan": [20.5, 20.5, 22.5]}
    scores = [
        {"metric": "fd", "framework": f, "seed": seed, "value": value, "undefined": None, "n": 100}
        for f, own in values.items()
        for seed, value in enumerate(own)
    ]
    [verdict] = judge(scores, [Comparison(metric="fd", a="vae", b="gan", smallest_effect=1.001, better="lower")])
    assert verdict.verdict == "undecided"
    tables.verdicts(console, [verdict.to_dict() | {"seeds_needed_low": seeds_needed}])
    shown = " ".join(said(console).split())
    assert "1 of 1 is undecided" in shown
    assert ("how many seeds would settle it" in shown) == told


def test_verdicts_on_secondary_metrics_are_shown_where_none_is_primary(console):
    scores = [
        {
            "metric": "sharpness",
            "framework": f,
            "seed": seed,
            "value": value,
            "undefined": None,
            "n": 100,
        }
        for f, values in (("vae", (0.9, 1.0, 1.1)), ("gan", (8.1, 9.0, 9.9)))
        for seed, value in enumerate(values)
    ]
    asked = [Comparison(metric="sharpness", a="vae", b="gan", smallest_effect=None, better="lower", role="secondary")]
    answers = [verdict.to_dict() for verdict in judge(scores, asked)]
    tables.verdicts(console, answers)
    shown = said(console)
    assert "VAE is better" in shown and "No verdicts" not in shown and "undecided" not in shown
    tables.verdicts(console, [])
    assert "No verdicts: there are no two frameworks to compare" in said(console)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_first_signal_asks_and_the_second_has_its_usual_effect(console, number):
    before = signal.getsignal(number)
    usual: list[int] = []
    signal.signal(number, lambda number, frame: usual.append(number))
    try:
        with progress.stop_on_signals(console) as caught:
            assert caught == []
            os.kill(os.getpid(), number)
            assert (caught, usual) == ([number], [])
            assert "with a checkpoint" in said(console)
            os.kill(os.getpid(), number)
            assert (caught, usual) == ([number], [number])
        os.kill(os.getpid(), number)
        assert usual == [number, number]
    finally:
        signal.signal(number, before)


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (None, "–"),
        (0.4, "0.4 s"),
        (89, "89 s"),
        (90, "1 min 30 s"),
        (5399, "89 min 59 s"),
        (5400, "1 h 30 min"),
        (129_600, "36 h 0 min"),
    ],
)
def test_a_duration_is_said_in_the_unit_that_suits_it(seconds, shown):
    assert text.duration(seconds) == shown


def test_small_words():
    assert [text.count(n, "run") for n in (0, 1, 2)] == ["0 runs", "1 run", "2 runs"]
    assert [text.number(value, 3) for value in (None, 0.0, 12345.6, -0.012345, "NaN")] == [
        "–",
        "0",
        "12\N{NARROW NO-BREAK SPACE}346",
        "\N{MINUS SIGN}0.0123",
        "–",
    ]
