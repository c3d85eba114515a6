"""Topics: the report and the verdicts know no metric and no topic by its name, and no two topics share one."""

from __future__ import annotations

import ast
from dataclasses import replace
from pathlib import Path

import pytest

import triptych
from triptych import plugins, topics
from triptych.errors import InputError
from triptych.evaluation import metrics

PACKAGES = ("report", "verdicts")
FILES = [file for package in PACKAGES for file in sorted((Path(triptych.__file__).parent / package).glob("*.py"))]
SCORES = {o.metric for m in metrics.load(plugins.names("metrics")) for o in m.outputs_for(["a"])}
COMMON_WORDS = {"samples", "latent"}
"""Names of topics that also name other things: the folder of a run's sample grids, a key of a study."""


def literals(file: Path) -> set[str]:
    return {
        node.value
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }


@pytest.mark.parametrize("file", FILES, ids=lambda file: f"{file.parent.name}/{file.name}")
def test_no_score_and_no_topic_is_known_by_name(file: Path) -> None:
    known = SCORES | {topic.name for topic in topics.BUILT_IN} - COMMON_WORDS
    sections = {"stability", "translation"}  # parts of the page, with the names of its anchors
    assert literals(file) & (known - sections if file.name == "__init__.py" else known) == set()


def test_templates_know_no_score_by_name() -> None:
    text = "".join(file.read_text(encoding="utf-8") for file in FILES[0].parent.glob("*.j2"))
    assert [name for name in SCORES if f'"{name}"' in text or f"'{name}'" in text] == []


def test_topics_have_names_and_places_of_their_own() -> None:
    names, orders = ([getattr(t, key) for t in topics.BUILT_IN] for key in ("name", "order"))
    assert len(set(names)) == len(names) and len(set(orders)) == len(orders)
    assert all(topic.title for topic in topics.BUILT_IN)


def test_a_topic_of_a_known_name_with_other_words_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    (kid,) = metrics.load(["kid"])
    other = replace(kid.outputs[0], topic=replace(topics.SAMPLES, question="Who is best?"))
    monkeypatch.setattr(plugins, "find", lambda *_, **__: replace(kid, outputs=(other,)))
    with pytest.raises(InputError, match="another topic of this name \\(got 'samples'\\)"):
        metrics.load(["mine:METRIC"])
