"""Write docs/reference/metrics.md and studies.md from the code, so that they cannot say anything else.

    python scripts/write_reference.py

A test says when they are out of date.
"""

from __future__ import annotations

import importlib
import inspect
import re
import types
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from triptych import plugins, spec
from triptych.evaluation import metrics
from triptych.frameworks import Framework

REFERENCE = Path(__file__).resolve().parents[1] / "docs" / "reference"
PARTS = ("data", "network", "optimiser", "training", "scoring", "execution")
SIGNS = {"gt": ">", "ge": ">=", "lt": "<", "le": "<=", "multiple_of": "a multiple of"}
DIRECTIONS = {"lower": "lower", "higher": "higher", "none": "no direction"}


def main() -> None:
    for name, text in pages().items():
        (REFERENCE / name).write_text(text, encoding="utf-8")


def pages() -> dict[str, str]:
    """The generated pages by file name."""
    return {"metrics.md": "\n".join(_metrics()), "studies.md": "\n".join(_studies())}


def _metrics() -> Iterator[str]:
    yield "# Metrics\n"
    yield "Written by `scripts/write_reference.py` from the code.\n"
    yield "All are computed on held-out test images and as many samples, at most `scoring.images` of each. An effect"
    yield "below the smallest one does not matter; `scoring.smallest_effect` in a study replaces this margin. The scale"
    yield "says how values are compared: a factor is a ratio of two of them, and an event is counted over the runs."
    yield "A comment in each file says where the number comes from. Holm's adjustment covers the comparisons of one"
    yield "topic, with primary and secondary metrics separate. What they see and what they miss on real digits:"
    yield "[sanity.md](../results/sanity.md). What they cost: [metric-costs.md](../results/metric-costs.md).\n"
    for name in plugins.names("metrics"):
        module = importlib.import_module(f"triptych.evaluation.metrics.{name}")
        metric: metrics.Metric = module.METRIC
        yield f"## [{name}](../../src/triptych/evaluation/metrics/{name}.py)\n"
        yield _prose(module) + "\n"
        outputs = [*metric.outputs, *([metric.per_class] if metric.per_class else [])]
        yield from _table(
            ("score", "what it says", "topic", "unit", "better", "scale", "smallest effect", "role"),
            [
                (
                    f"`{o.metric}`",
                    o.about,
                    o.topic.name,
                    o.unit,
                    DIRECTIONS[o.better],
                    o.scale,
                    f"{o.smallest_effect:g}",
                    o.role,
                )
                for o in outputs
            ],
        )
        if metric.source:
            yield f"Source: {metric.source.rstrip('.')}.\n"
        if metric.blind_spots:
            yield f"What fools it: {metric.blind_spots[0].lower()}{metric.blind_spots[1:].rstrip('.')}.\n"
        if metric.features:
            yield "In the features of the extractor that every score names" + (
                ", and in every further feature space.\n" if metric.per_feature_space else ".\n"
            )
        if metric.max_images:
            yield f"On at most {metric.max_images:,} images of a kind.\n"
        if metric.options is not None:
            yield f"Options, `[scoring.options.{name}]`:\n"
            yield from _fields(metric.options)


def _studies() -> Iterator[str]:
    yield "# The study file\n"
    yield "Written by `scripts/write_reference.py` from the code.\n"
    yield "A study is a TOML file. Every key except `frameworks` has a default. An unknown key is an error. Paths are"
    yield "relative to the file. Examples: [quick.toml](../../studies/quick.toml), and"
    yield "[rates.toml](../../studies/rates.toml) with a grid and an override.\n"
    yield "## The study itself\n"
    yield _prose(spec.StudySpec) + "\n"
    yield from _fields(spec.StudySpec, leave_out=PARTS)
    yield '`seeds = 3` stands for the seeds 0, 1 and 2; `seeds = "3..12"` for 12 seeds with looks at 3, 5, 8 and 12.'
    yield "`name` is the directory under results/ unless --out is given.\n"
    yield "The values of one run are set in this order, later ones replacing earlier ones: the study's shared parts,"
    yield "the framework's own defaults where the study has the project's default, the point of the grid, the"
    yield "framework's preset, its override.\n"
    for part in PARTS:
        kind: Any = spec.StudySpec.model_fields[part].annotation
        yield f"## [{part}]\n"
        yield _prose(kind) + "\n"
        yield from _fields(kind)
    yield "## [override.NAME]\n"
    yield _prose(spec.Override) + "\n"
    yield from _fields(spec.Override)
    yield from _options()


def _options() -> Iterator[str]:
    yield '## Options of frameworks: [override.NAME.options], or "options.KEY" in a grid\n'
    for name in plugins.names("frameworks"):
        kind: type[Framework] = importlib.import_module(f"triptych.frameworks.{name}").FRAMEWORK
        yield f"### {name}\n"
        yield _prose(kind.Options) + "\n"
        yield from _fields(kind.Options)
        for preset, values in kind.presets.items():
            flat = ", ".join(f"`{key} = {_toml(value)}`" for key, value in _flat(values))
            yield f"Preset `{name}@{preset}`: {flat}.\n"
    for name in plugins.names("networks"):
        module = importlib.import_module(f"triptych.networks.{name}")
        yield f"## [network.options] of the family {name}\n"
        yield _prose(module.Options) + "\n"
        yield from _fields(module.Options)


def _flat(values: dict[str, Any], before: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in values.items():
        if isinstance(value, dict) and value:
            yield from _flat(value, f"{before}{key}.")
        else:
            yield before + key, value


def _fields(kind: type[BaseModel], leave_out: tuple[str, ...] = ()) -> Iterator[str]:
    rows = [
        (f"`{name}`", _type(field), _default(field))
        for name, field in kind.model_fields.items()
        if name not in leave_out
    ]
    yield from _table(("key", "values", "default"), rows)


def _type(field: FieldInfo) -> str:
    """A field's type in words, and its bounds."""
    return ", ".join([_words(field.annotation), *_bounds(*field.metadata)])


def _bounds(*found: Any) -> list[str]:
    """Limits in words, from annotated-types's own or from pydantic fields that hold some."""
    flat = [bound for one in found for bound in getattr(one, "metadata", [one])]
    return [
        f"{word} {value:g}"
        for bound in flat
        for sign, word in SIGNS.items()
        if (value := getattr(bound, sign, None)) is not None
    ]


def _words(kind: Any) -> str:
    """A type as one says it of TOML."""
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin is Annotated:
        return ", ".join([_words(arguments[0]), *_bounds(*arguments[1:])])
    if origin is Literal:
        return " or ".join(f"`{_toml(value)}`" for value in arguments)
    if origin in (types.UnionType, typing.Union):
        return " or ".join(_words(argument) for argument in arguments if argument is not types.NoneType)
    if origin in (tuple, list):
        return f"list ({_words(arguments[0])})"
    if origin is dict:
        return f"table ({_words(arguments[1])})"
    names = {str: "text", int: "whole number", float: "number", bool: "true or false", Any: "any"}
    return "[override.NAME]" if kind is spec.Override else names[kind]


def _default(field: FieldInfo) -> str:
    value = field.get_default(call_default_factory=True)
    if value is PydanticUndefined:
        return "required"
    return "not set" if value is None else f"`{_toml(value)}`"


def _toml(value: Any) -> str:
    """A value as it stands in TOML; a float keeps no more digits than it needs."""
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {_toml(item)}" for key, item in value.items()) + " }" if value else "{}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_toml(item) for item in value) + "]"
    if isinstance(value, bool):
        return str(value).lower()
    return f'"{value}"' if isinstance(value, str) else repr(value)


def _table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> Iterator[str]:
    if not rows:
        yield "None.\n"
        return
    yield "| " + " | ".join(head) + " |"
    yield "|" + "---|" * len(head)
    for row in rows:
        yield "| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |"
    yield ""


def _prose(thing: Any) -> str:
    """A docstring without its indentation; lines that explain an option each become a list."""
    return re.sub(r"(?m)^(`[^`]+`(, `[^`]+`)*:)", r"- \1", inspect.cleandoc(thing.__doc__))


if __name__ == "__main__":
    main()
