"""What a run is and what a study is: every number of them, validated, frozen, TOML in and JSON out.

Nothing here imports PyTorch, so that a specification can be checked, hashed and shown anywhere.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import tomllib
from pathlib import Path
from types import NoneType
from typing import Any, ClassVar, Literal, TypeVar, get_args

import tomli_w
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    NonNegativeInt,
    SerializerFunctionWrapHandler,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_serializer,
    model_validator,
)

from triptych.errors import InputError
from triptych.plugins import suggest
from triptych.spec.seeds import Source, check_looks, check_varied, parsed


class Frozen(BaseModel):
    """A value: no unknown keys, no change after it is made.

    The fields named in `omit_when_default` are left out of dumps while they have their defaults, so that runs keep the
    names that they had before these fields existed.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)
    omit_when_default: ClassVar[tuple[str, ...]] = ()

    @model_serializer(mode="wrap")
    def _as_before(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        fields, values = type(self).model_fields, dump(self)
        return {
            key: value
            for key, value in values.items()
            if key not in self.omit_when_default or value != fields[key].default
        }


class DataSpec(Frozen):
    """Which images, and how they become squares of `size` pixels; `options` are the source's own.

    `dequantise` adds uniform noise of one grey level to every pixel, so that images have a density (Uria et al. 2013,
    arXiv:1306.0186); the noise is drawn once, and every run sees the same.
    """

    source: str = "mnist"
    path: str | None = None
    options: dict[str, Any] = {}
    size: int = Field(default=32, ge=16, le=128)
    channels: Literal[1, 3] | None = None
    fit: Literal["crop", "pad", "stretch"] | None = None
    broken: Literal["error", "skip"] = "error"
    dequantise: bool = False
    omit_when_default: ClassVar[tuple[str, ...]] = ("dequantise", "options")


class NetworkSpec(Frozen):
    """The three networks that every framework of a study shares; `options` are the family's own."""

    family: str = "conv"
    width: float = Field(default=0.25, gt=0, le=8)
    latent: int = Field(default=128, ge=1)
    options: dict[str, Any] = {}


def rename_learning_rate(optimiser: Any) -> Any:
    """The table of an optimiser with `learning_rate` under the name `rate`; raises ValueError if it has both."""
    if not isinstance(optimiser, dict) or "learning_rate" not in optimiser:
        return optimiser
    if "rate" in optimiser:
        raise ValueError("rate and learning_rate are the same field; give one of them")
    return {("rate" if key == "learning_rate" else key): value for key, value in optimiser.items()}


class OptimiserSpec(Frozen):
    """Any `torch.optim` class by name; `rates` gives single players a learning rate of their own.

    `learning_rate` is accepted as another name of `rate`, here, in an override and in a grid.

    The defaults were chosen for all frameworks together (docs/reference/defaults.md).
    """

    name: str = "Adam"
    rate: float = Field(default=0.001, gt=0)
    rates: dict[str, float] = {}
    options: dict[str, Any] = {"betas": [0.5, 0.999]}

    @model_validator(mode="before")
    @classmethod
    def _learning_rate_is_rate(cls, values: Any) -> Any:
        return rename_learning_rate(values)

    @model_validator(mode="before")
    @classmethod
    def _betas_are_adams(cls, values: Any) -> Any:
        """The default betas belong to Adam alone; another optimiser starts from its own defaults."""
        if isinstance(values, dict) and values.get("name", "Adam") != "Adam":
            return {"options": {}, **values}
        return values


Precision = Literal["float32", "bf16"]


class TrainingSpec(Frozen):
    """The budget, counted in images, and the order in which the players move.

    `order` names the players one after another for sequential updates (a player may be named twice); each then
    sees the networks as the ones before it left them. `translate` shifts each training image by up to that share of
    the side in both directions; the free area is filled with `translate_fill` (from -1, black, to 1, white), by
    default the images' median border value. The weights at `snapshots` evenly spaced moments, the last of them the
    end, are kept in the run's directory; metrics over the course of training need them. `precision` is what the
    networks are trained in (`triptych.training.precision`).
    """

    images: int = Field(default=20_000, ge=1)
    batch_size: int = Field(default=64, ge=2)
    updates: Literal["simultaneous", "sequential"] = "simultaneous"
    order: tuple[str, ...] | None = None
    translate: float = Field(default=0.0, ge=0, le=0.5)
    translate_fill: float | None = Field(default=None, ge=-1, le=1)
    log_images: int = Field(default=640, ge=1)
    snapshots: int = Field(default=0, ge=0, le=100)
    precision: Precision = "float32"
    omit_when_default: ClassVar[tuple[str, ...]] = ("translate_fill", "snapshots", "precision")

    def steps(self, batches: int = 1) -> int:
        """The number of steps of so many batches each; a budget that is no whole number of steps is rounded up."""
        return -(-self.images // (self.batch_size * batches))

    def whole_images(self, batches: int = 1) -> int:
        """The images of all steps."""
        return self.steps(batches) * batches * self.batch_size

    @model_validator(mode="after")
    def _order_goes_with_sequential(self) -> TrainingSpec:
        if self.order is not None and self.updates != "sequential":
            raise ValueError('an order needs updates = "sequential"')
        return self


class RunSpec(Frozen):
    """All numbers of one run: everything that decides its weights, bit for bit, on one machine.

    `condition` is the point of the study's grid that the run belongs to: dotted field to value, {} without a grid.
    `seeds` gives single sources of randomness (`triptych.spec.seeds.SOURCES`) a seed of their own in place of `seed`;
    unless "split" is named there, the images are split as they were prepared.
    """

    framework: str
    seed: int = Field(default=0, ge=0)
    seeds: dict[Source, NonNegativeInt] = {}
    options: dict[str, Any] = {}
    data: DataSpec = DataSpec()
    network: NetworkSpec = NetworkSpec()
    optimiser: OptimiserSpec = OptimiserSpec()
    training: TrainingSpec = TrainingSpec()
    condition: dict[str, Any] = {}
    omit_when_default: ClassVar[tuple[str, ...]] = ("seeds",)

    def seed_of(self, source: str) -> int:
        """The seed of one source of randomness: its own, or else that of the run."""
        return self.seeds.get(source, self.seed)

    @property
    def base_framework(self) -> str:
        """The framework without its preset: what stands before the "@" of "vaegan@larsen-code"."""
        return without_preset(self.framework)

    @property
    def id(self) -> str:
        """A readable name and the first 8 hex digits of the hash of everything above."""
        name = "".join(c if c.isalnum() or c in "_-." else "-" for c in self.framework)
        own = "".join(f"-{source}{seed}" for source, seed in self.seeds.items())
        return f"{name}-s{self.seed}{own}-{digest(self)[:8]}"

    @property
    def is_only_scored(self) -> bool:
        """Whether it scores the weights of the run without `seeds` again, with evaluation samples of its own."""
        return self.seeds.keys() == {"samples"}


class Override(Frozen):
    """Values for one framework of a study, in place of the shared ones."""

    options: dict[str, Any] = {}
    network: dict[str, Any] = {}
    optimiser: dict[str, Any] = {}
    training: dict[str, Any] = {}

    @field_validator("optimiser", mode="before")
    @classmethod
    def _learning_rate_is_rate(cls, values: Any) -> Any:
        return rename_learning_rate(values)


class ScoringSpec(Frozen):
    """How many samples and test images are scored, by which metrics (all by default), in which feature spaces.

    The first of `features` answers the questions (by default a classifier where there are
    labels, and principal components of the pixels). `options` are single metrics' own, such as
    `options.likelihood.chains`; `smallest_effect` replaces their margins.
    """

    images: int = Field(default=10_000, ge=50)
    metrics: tuple[str, ...] | None = Field(default=None, min_length=1)
    features: tuple[str, ...] | None = Field(default=None, min_length=1)
    options: dict[str, dict[str, Any]] = {}
    smallest_effect: dict[str, float] = {}


class ExecutionSpec(Frozen):
    """Where and how a study is computed; it is recorded, but is not part of the study's identity.

    `executor` says where the runs are computed: "local" in processes of this machine, or a "package.module:Name". Each
    run finds the device "auto" where it is computed: the first GPU there, or else the CPU.
    """

    executor: str = "local"
    device: str = "auto"
    workers: int | None = Field(default=None, ge=1)
    threads: int | None = Field(default=None, ge=1)
    checkpoint_seconds: float = Field(default=30.0, ge=0)


class StudySpec(Frozen):
    """A grid of runs, and how it is scored and executed.

    Every framework runs at every seed and every point of `grid` (a dotted field to the values that it takes, such as
    "optimiser.rate"). `looks` are numbers of seeds, such as [3, 5, 8]: the study stops at the first at which its
    primary comparisons are decided, and p-values are adjusted for looking so often. `vary` names sources of randomness
    (initial, order, noise, samples, split): for each there are further runs in which the seed of that source alone
    varies, which show its share of the scatter between seeds. `follows` names an earlier study
    whose results had been seen when this one was planned. `override` gives one framework its own options; the name
    "vaegan@larsen-code" takes a preset of that framework, and any other name after the "@" is a variant that `override`
    defines.
    """

    name: str = "study"
    frameworks: tuple[str, ...] = Field(min_length=1)
    seeds: tuple[NonNegativeInt, ...] = (0, 1, 2)
    looks: tuple[int, ...] = ()
    vary: tuple[Source, ...] = ()
    follows: str = ""
    data: DataSpec = DataSpec()
    network: NetworkSpec = NetworkSpec()
    optimiser: OptimiserSpec = OptimiserSpec()
    training: TrainingSpec = TrainingSpec()
    override: dict[str, Override] = {}
    grid: dict[str, list[Any]] = {}
    scoring: ScoringSpec = ScoringSpec()
    execution: ExecutionSpec = ExecutionSpec()

    @model_validator(mode="before")
    @classmethod
    def _from_few_to_many(cls, values: Any) -> Any:
        """`seeds = "3..12"` stands for 12 seeds that are added in looks, from 3 on."""
        if not isinstance(values, dict) or not isinstance(seeds := values.get("seeds"), str):
            return values
        number, looks = parsed(seeds)
        if looks and values.get("looks"):
            raise ValueError(
                f"seeds = {seeds!r} plans the looks {list(looks)} itself; give looks or such seeds, not both"
            )
        return {**values, "seeds": number} | ({"looks": looks} if looks else {})

    @field_validator("seeds", mode="before")
    @classmethod
    def _count_or_list(cls, value: Any) -> Any:
        """`seeds = 3` stands for the seeds 0, 1 and 2."""
        if isinstance(value, int) and not isinstance(value, bool):
            if value < 1:
                raise ValueError("at least 1 seed is needed")
            return tuple(range(value))
        return value

    @field_validator("frameworks", "seeds")
    @classmethod
    def _no_repeats(cls, values: tuple[Any, ...]) -> tuple[Any, ...]:
        if not values or len(set(values)) != len(values):
            raise ValueError("one or more are needed, each once")
        return values

    @field_validator("vary")
    @classmethod
    def _sources_can_be_varied(cls, sources: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        check_varied(sources, info.data.get("seeds"), info.data.get("looks"))
        return sources

    @model_validator(mode="after")
    def _looks_end_with_all_seeds(self) -> StudySpec:
        check_looks(self.looks, len(self.seeds), len(self.frameworks))
        return self

    @field_validator("grid", mode="before")
    @classmethod
    def _learning_rate_is_rate(cls, grid: Any) -> Any:
        key, rate = "optimiser.learning_rate", "optimiser.rate"
        if not isinstance(grid, dict) or key not in grid:
            return grid
        if rate in grid:
            raise ValueError(f"{rate} and {key} are the same field; vary one of them")
        return {(rate if name == key else name): values for name, values in grid.items()}

    @field_validator("grid")
    @classmethod
    def _values_to_vary(cls, grid: dict[str, list[Any]]) -> dict[str, list[Any]]:
        for key, values in grid.items():
            if not values or any(value in values[:index] for index, value in enumerate(values)):
                raise ValueError(f"{key} needs one or more values, each once")
        return grid

    def conditions(self) -> list[dict[str, Any]]:
        """The points of the grid, in order; one empty point when there is no grid."""
        return [dict(zip(self.grid, point, strict=True)) for point in itertools.product(*self.grid.values())]


def without_preset(framework: str) -> str:
    """The framework's file: what stands before the "@" of "vaegan@larsen-code"."""
    return framework.partition("@")[0]


def digest(spec: Frozen) -> str:
    """SHA-256 of the canonical JSON of a specification, as 64 hex digits."""
    return hashlib.sha256(json.dumps(spec.model_dump(mode="json"), sort_keys=True).encode()).hexdigest()


Spec = TypeVar("Spec", bound=BaseModel)


def checked(kind: type[Spec], values: Any, where: str) -> Spec:
    """Validate `values` as `kind`; every fault is named at once, with its field and, for a typo, the nearest key."""
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        faults = [_fault(kind, fault) for fault in error.errors()]
        raise InputError("; ".join(faults), where=where) from None


def _fault(kind: type[BaseModel], fault: Any) -> str:
    """One line for one of pydantic's faults."""
    path = ".".join(str(part) for part in fault["loc"])
    if fault["type"] == "extra_forbidden":
        owner: Any = kind
        for part in fault["loc"][:-1]:
            field = getattr(owner, "model_fields", {}).get(part)
            # A key of a table such as dict[str, Override] stands for the type of its values.
            owner = field.annotation if field else (get_args(owner) or (None,))[-1]
            if NoneType in get_args(owner):
                owner = next(kind for kind in get_args(owner) if kind is not NoneType)
        known = list(getattr(owner, "model_fields", {}))
        return f"unknown key {path!r}. {suggest(str(fault['loc'][-1]), known)}"
    message = fault["msg"].removeprefix("Value error, ")
    # What a rule about several fields refuses is a whole table; its message names the fields.
    is_rule = fault["type"] == "value_error" and isinstance(fault["input"], dict)
    seen = "" if is_rule or fault["type"] == "missing" else f" (got {fault['input']!r})"
    return f"{path}: {message}{seen}" if path else f"{message}{seen}"


def read_toml(path: Path) -> dict[str, Any]:
    """The table in a TOML file; raises InputError when there is no such file or it cannot be parsed."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError("no such file", where=str(path)) from None
    except IsADirectoryError:
        raise InputError("is a directory, not a file", where=str(path), hint="Name the TOML file.") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"not a TOML file ({error})", where=str(path)) from None


def load_study(path: Path) -> StudySpec:
    """The study in a TOML file."""
    return checked(StudySpec, read_toml(path), str(path))


def to_toml(study: StudySpec) -> str:
    """The study as TOML, which `load_study` reads back to an equal value; raises InputError for what TOML lacks."""
    try:
        return tomli_w.dumps(study.model_dump(mode="json", exclude_none=True))
    except TypeError as error:
        raise InputError(f"a value that TOML cannot hold ({error})", where="study") from error
