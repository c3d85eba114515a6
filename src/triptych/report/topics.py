"""Which metrics bear on which topic, and which topics a study does not measure."""

from __future__ import annotations

from triptych.report.collect import Row, Study
from triptych.text import finite
from triptych.topics import BUILT_IN, Topic

OTHER = Topic(name="", title="Other")
"""Of scores whose entry in metrics.json is missing."""


def topic_of(metric: Row) -> Topic:
    """The topic that an entry of metrics.json bears on."""
    entry = metric.get("topic")
    if not isinstance(entry, dict) or not entry.get("name"):
        return OTHER
    name, order = str(entry["name"]), finite(entry.get("order"))
    return Topic(
        name=name,
        title=str(entry.get("title") or name),
        question=str(entry.get("question") or ""),
        subject=str(entry.get("subject") or ""),
        order=OTHER.order if order is None else int(order),
    )


def by_topic(study: Study, role: str | None = None) -> dict[Topic, list[Row]]:
    """Metrics by the topic they bear on, in the topics' order, primary ones first within each."""
    groups: dict[Topic, list[Row]] = {}
    for metric in sorted(study.metrics, key=lambda m: m.get("role") != "primary"):
        if role in (None, metric.get("role")):
            groups.setdefault(topic_of(metric), []).append(metric)
    return dict(sorted(groups.items(), key=lambda group: (group[0] == OTHER, group[0].order, group[0].name)))


def directed(study: Study, role: str | None = None) -> list[Row]:
    """The metrics of which less or more is better, by topic."""
    return [m for ms in by_topic(study, role).values() for m in ms if m.get("better") in ("lower", "higher")]


def unmeasured(study: Study) -> list[str]:
    """The usual questions to which this study has no primary metric, in mid-sentence."""
    measured = {topic.name for topic in by_topic(study, "primary")}
    missing = [t.question for t in BUILT_IN if t.question and measured and t.name not in measured]
    return [text[:1].lower() + text[1:].rstrip("?") for text in missing]
