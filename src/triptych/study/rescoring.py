"""How a study is scored after `triptych score`: the scoring that it had, with what is added."""

from __future__ import annotations

from triptych import plugins
from triptych.data import dataset
from triptych.errors import InputError
from triptych.evaluation import features
from triptych.evaluation.scoring import metrics_of
from triptych.spec import ScoringSpec


def rescoring(scoring: ScoringSpec, wanted: ScoringSpec, data: dataset.Dataset) -> tuple[ScoringSpec, list[str] | None]:
    """The scoring with what is wanted added, and the metrics that it takes; None for all."""
    changes, metrics = wanted.model_dump(exclude_unset=True), wanted.metrics
    if wanted.features is not None:
        spaces = scoring.features or features.default_names(data)
        changes["features"] = (*spaces, *(name for name in wanted.features if name not in spaces))
    have = scoring.metrics if scoring.metrics is not None else tuple(plugins.names("metrics"))
    if metrics is not None:
        changes["metrics"] = (*have, *(name for name in metrics if name not in have))
        if scoring.metrics is None and changes["metrics"] == have:
            changes["metrics"] = None
    changed = scoring.model_copy(update=changes)
    chosen = metrics_of(changed)
    if set(changes) - {"metrics", "features"} or (metrics is None and wanted.features is None):
        return changed, None
    only = [
        metric.name
        for metric, name in zip(chosen, changed.metrics or have, strict=True)
        if (metrics is None or name in metrics) and (wanted.features is None or metric.per_feature_space)
    ]
    if not only:
        raise InputError(
            "none of these metrics is computed in further feature spaces",
            where="scoring.metrics",
            value=list(metrics or ()),
            hint=plugins.suggest("", [metric.name for metric in chosen if metric.per_feature_space]),
        )
    return changed, only
