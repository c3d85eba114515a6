"""`triptych report STUDY STUDY ...`: how frameworks rank over data sets, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import fake_study
from triptych import store
from triptych.errors import InputError
from triptych.report import across


@pytest.fixture(scope="module")
def three(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("three")
    return [fake_study.make(folder / name, source=name, seeds=2) for name in ("digits", "faces", "birds")]


def test_the_ranks_are_those_of_the_typical_scores(three: list[Path], tmp_path: Path):
    (frechet, *_) = rows = across.write(three, tmp_path / "out")
    assert json.loads((tmp_path / "out" / "ranks.json").read_text()) == json.loads(store.to_json(rows))
    assert frechet["metric"] == "frechet_distance" and frechet["data_sets"] == ["digits", "faces", "birds"]
    for scores, ranks in zip(frechet["scores"], frechet["ranks"], strict=True):
        by_score = sorted(frechet["frameworks"], key=lambda f: scores[f])
        assert [frechet["frameworks"][ranks.index(place)] for place in (1, 2, 3)] == by_score
    page = (tmp_path / "out" / "ranks.html").read_text(encoding="utf-8")
    assert "over 3 data sets" in page and "3 data sets decide little" in page
    for row in rows:
        assert row["sentence"] in page.replace("&#39;", "'")


def test_who_reconstructs_nowhere_is_not_ranked_by_reconstruction(three: list[Path], tmp_path: Path):
    rows = across.write(three, tmp_path / "out")
    assert any("gan" not in row["frameworks"] for row in rows) and any("gan" in row["frameworks"] for row in rows)


def test_the_same_images_twice_are_called_dependent(tmp_path: Path):
    folders = [fake_study.make(tmp_path / name, source="digits", seeds=1) for name in ("one", "two")]
    assert across.write(folders, tmp_path / "out")[0]["data_sets"] == ["digits (one)", "digits (two)"]
    assert "they are not independent" in (tmp_path / "out" / "ranks.html").read_text(encoding="utf-8")


def test_what_cannot_be_ranked_is_refused_and_nothing_is_written(three: list[Path], tmp_path: Path):
    out = tmp_path / "out"
    with pytest.raises(InputError, match="one study is not several"):
        across.write([three[0], three[0]], out)
    with pytest.raises(InputError, match="not the directory of a study"):
        across.write([three[0], tmp_path / "nowhere"], out)
    with pytest.raises(InputError, match="contains files that are no page"):
        across.write(three, three[0])
    gridded = fake_study.make(tmp_path / "grid", seeds=1, conditions=({"optimiser.rate": 0.1}, {"optimiser.rate": 0.2}))
    with pytest.raises(InputError, match="has 2 conditions"):
        across.write([*three, gridded], out)
    alone = fake_study.make(tmp_path / "alone", seeds=1, frameworks=("vae",))
    with pytest.raises(InputError, match="fewer than two frameworks in common"):
        across.write([*three, alone], out)
    assert not out.exists()


def test_a_second_time_the_page_is_the_same(three: list[Path], tmp_path: Path):
    out = tmp_path / "out"
    across.write(three, out)
    before = (out / "ranks.html").read_bytes()
    across.write(three, out)
    assert (out / "ranks.html").read_bytes() == before
