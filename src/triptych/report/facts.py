"""The facts: what a study compared, in a few words."""

from __future__ import annotations

import json

from triptych.report.collect import Row, Study
from triptych.text import count, listed, number
from triptych.verdicts.wording import display

SOURCES = {"mnist": "MNIST"}


def facts(study: Study) -> dict[str, str]:
    """The study in a few words: frameworks, seeds, data, network, budget; from a run, else the study file."""
    spec = next((r.spec for r in study.runs if r.spec), study.config)
    part = {k: v if isinstance(v := spec.get(k), dict) else {} for k in ("data", "network", "training", "optimiser")}
    data, net, training, optimiser = part.values()
    varied = {key.split(".")[-1] for key in study.config.get("grid") or {}}

    def field(table: Row, key: str, words: str) -> str:
        return "" if table.get(key) is None or key in varied else words.format(number(table[key], 8))

    network = ", ".join(filter(None, [field(net, "width", "width {}"), field(net, "latent", "{} latents")]))
    budget = field(training, "images", "{} training images per run")
    rule = "" if "name" in varied else f"{optimiser.get('name', '')} {field(optimiser, 'rate', 'at {}')}".strip()
    source = str(data.get("source", "unknown data"))
    if source != "mnist" and data.get("path"):
        source = str(data["path"]).rstrip("/").replace("\\", "/").rpartition("/")[2]
    return {
        "frameworks": listed([display(f) for f in study.frameworks]),
        "seeds": count(len(study.seeds), "seed"),
        "data": SOURCES.get(source, source),
        "size": field(data, "size", "{} px"),
        "network": "network differs by framework" if differs(study, "network") else network,
        "budget": "budget differs by framework" if differs(study, "training", "images") else budget,
        "optimiser": "optimiser differs by framework" if differs(study, "optimiser") else rule,
    }


def differs(study: Study, part: str, key: str = "") -> bool:
    """Whether frameworks differ, under one condition, in a part of the specification or in one field of it."""

    def setting(spec: Row) -> str:
        table = spec.get(part) or {}
        return json.dumps(table.get(key) if key else table, sort_keys=True)

    return any(len({setting(r.spec) for r in study.of(c) if r.spec}) > 1 for c in study.conditions)
