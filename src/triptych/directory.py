"""The directories of a reproduction, a study and a run: the name of every file in them, and how the files are read.

Nothing else in the package spells these names, but for the few that `store` gives to what it makes in a folder of any
kind: manifest, lock, checkpoints. Directories give paths; a `triptych.store.Reader` reads what lies there; a
`RunRecord` is one run as far as its files tell.

    results/paper-small/              ReproductionDirectory
        report.html  claims.json  paper.md  paper/
        matched/                      StudyDirectory
            study.toml  scores.jsonl  metrics.json  verdicts.json  variance.json  report.html  table.csv  table.tex
            claims.json  data/  features/  figures/
            runs/vae-s0-1a2b3c4d/     RunDirectory
                spec.json  environment.json  log.jsonl  timing.jsonl  outcome.json  scores.jsonl  manifest.json
                error.txt  samples/  reconstructions/  snapshots/  weights/  checkpoints/
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from triptych import store
from triptych.errors import InputError
from triptych.spec import RunSpec, StudySpec, checked, load_study
from triptych.spec.nested import field_of
from triptych.store import Reader, Row

LOCK = store.LOCK
STUDY_TOML = "study.toml"
SCORES_JSONL = "scores.jsonl"
DATA_JSON = "data.json"
"""The record of the prepared data, written last."""
PREPARING = ".preparing"
"""The mark of a folder that images are being prepared in."""
TIMING_JSONL = "timing.jsonl"
ERROR_TXT = "error.txt"
CLAIMS_JSON = "claims.json"
REPORT_HTML = "report.html"
STATE_JSON = "state.json"
"""What a checkpoint holds that is no tensor."""
NOT_HASHED = frozenset({TIMING_JSONL, LOCK, ERROR_TXT})
"""What differs when a run is repeated, and so is not in its manifest."""
OLDER = "belongs to an older version of triptych"
OLDER_HINT = "Nothing was changed. Use that version to resume it, or choose another --out."


def weights_file(network: str) -> str:
    """The name of the file with one network's weights."""
    return f"{network}.safetensors"


def moments_file(player: str) -> str:
    """The name of the file with the tensors of one player's optimiser, in a checkpoint."""
    return f"optimiser-{player}.safetensors"


def images_file(split: str) -> str:
    """The name of the file with the prepared images of a split."""
    return f"{split}-images.npy"


def labels_file(split: str) -> str:
    """The name of the file with the labels of a split."""
    return f"{split}-labels.npy"


def baseline_file(baseline: str, key: str) -> str:
    """The name of the file with the values of a baseline, next to the features; `key` says of what."""
    return f"{baseline}-{key}.json"


BASELINES = "*_baseline-*.json"
"""The pattern of these names."""


def paces_file(key: str) -> str:
    """The name of the file with the paces that were measured on this machine, next to the features."""
    return f"paces-{key}.json"


class RunDirectory:
    """The directory of one run, `DIR/runs/<id>`; every attribute is a path, whether or not something is there."""

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        self.spec_json = self.path / "spec.json"
        self.environment_json = self.path / "environment.json"
        self.log_jsonl = self.path / "log.jsonl"
        self.timing_jsonl = self.path / TIMING_JSONL
        self.outcome_json = self.path / "outcome.json"
        self.scores_jsonl = self.path / SCORES_JSONL
        self.manifest_json = self.path / store.MANIFEST
        self.error_txt = self.path / ERROR_TXT
        self.weights = self.path / "weights"
        self.snapshots = self.path / "snapshots"
        self.samples = self.path / "samples"
        self.reconstructions = self.path / "reconstructions"

    def __repr__(self) -> str:
        return f"RunDirectory({str(self.path)!r})"

    @property
    def id(self) -> str:
        return self.path.name

    @property
    def study(self) -> StudyDirectory:
        """The directory of the study that the run belongs to."""
        return StudyDirectory(self.path.resolve().parent.parent)

    @property
    def logs(self) -> tuple[Path, Path]:
        """The two files that grow while a run trains."""
        return self.log_jsonl, self.timing_jsonl

    def snapshot(self, images: int) -> Path:
        """The folder with the weights as they were after so many images."""
        return self.snapshots / f"{images:09d}"

    def is_complete(self) -> bool:
        """Whether the run has been committed, and every file is as it was then."""
        return store.is_complete(self.path)

    def commit(self) -> None:
        """Write the manifest: from now on the run is complete."""
        store.write_manifest(self.path, NOT_HASHED)

    def load_spec(self) -> RunSpec:
        """The run's specification; raises InputError if there is none, or one of an older version."""
        if not self.spec_json.exists():
            raise InputError(f"holds no run (no {self.spec_json.name})", where=str(self.path))
        values = Reader().table(self.spec_json)
        self._refuse_older(values)
        return checked(RunSpec, values, str(self.spec_json))

    def _refuse_older(self, spec: Row) -> None:
        if isinstance(spec.get("condition"), str):  # it is a table now
            raise InputError(f"this run {OLDER}", where=str(self.path), hint=OLDER_HINT)

    def status(self, complete: bool | None = None) -> str:
        """Where the run stands.

        "missing" (no directory), "unfinished" (not trained to its end), "failed" (it left an error), "incomplete"
        (trained, but its scores are not all there, or its files are not as they were committed), or its outcome:
        "finished" or "diverged". `complete` is the answer of `is_complete`, which reads every file, where it is known.
        """
        if not self.path.is_dir():
            return "missing"
        outcome = Reader([]).table(self.outcome_json)
        if outcome.get("status") and (self.is_complete() if complete is None else complete):
            return str(outcome["status"])
        if self.error_txt.exists():
            return "failed"
        return "incomplete" if outcome else "unfinished"

    def read(self, problems: list[str] | None = None, complete: bool | None = None) -> RunRecord:
        """The run as far as it has come; without `problems` strictly, see `Reader`; `complete` is as in `status`.

        Raises InputError when even its specification cannot be read.
        """
        reader = Reader(problems)
        spec = reader.table(self.spec_json)
        self._refuse_older(spec)
        condition = spec.get("condition", {})
        named = isinstance(spec.get("framework"), str) and isinstance(spec.get("seed", 0), int)
        if not named or not isinstance(condition, dict):
            raise InputError("has no readable spec.json", where=f"runs/{self.id}")
        return RunRecord(
            id=self.id,
            framework=spec["framework"],
            seed=spec.get("seed", 0),
            condition=condition,
            status=self.status(complete),
            directory=self,
            spec=spec,
            environment=reader.table(self.environment_json),
            outcome=reader.table(self.outcome_json),
            reader=reader,
        )


class StudyDirectory:
    """The directory of a study; every attribute is a path, whether or not something is there."""

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        self.study_toml = self.path / STUDY_TOML
        self.scores_jsonl = self.path / SCORES_JSONL
        self.metrics_json = self.path / "metrics.json"
        self.verdicts_json = self.path / "verdicts.json"
        self.variance_json = self.path / "variance.json"
        self.report_html = self.path / REPORT_HTML
        self.table_csv = self.path / "table.csv"
        self.table_tex = self.path / "table.tex"
        self.claims_json = self.path / CLAIMS_JSON
        self.figures = self.path / "figures"
        self.data = self.path / "data"
        self.data_json = self.data / DATA_JSON
        self.features = self.path / "features"
        self.classifier_json = self.features / "classifier.json"
        self.runs = self.path / "runs"

    def __repr__(self) -> str:
        return f"StudyDirectory({str(self.path)!r})"

    def run(self, run_id: str) -> RunDirectory:
        """The directory of the run of this name."""
        return RunDirectory(self.runs / run_id)

    def run_directories(self) -> list[RunDirectory]:
        """The directories of the runs that have one, by name."""
        if not self.runs.is_dir():
            return []
        return [RunDirectory(path) for path in sorted(self.runs.iterdir()) if path.is_dir()]

    def may_be_claimed(self) -> bool:
        """Whether there is nothing here but what a command that failed before its first run may have left.

        A `data` folder counts as that only if it holds prepared data: it may well be the user's own images.
        """
        if not self.path.is_dir():
            return True
        left = {LOCK, self.data.name, self.features.name}
        if any(path.name not in left and not _is_partial(path, STUDY_TOML) for path in self.path.iterdir()):
            return False
        if not self.data.is_dir() or self.data.is_symlink():  # links are refused for themselves
            return True
        return holds_prepared_data(self.data) or not any(self.data.iterdir())

    def remove_partials(self) -> None:
        """Remove what a killed process left half-written of the study's own files and figures.

        Only for who holds the study's lock: other processes write all of these under it.
        """
        written = (self.study_toml, self.scores_jsonl, self.metrics_json, self.verdicts_json, self.variance_json)
        derived = (self.report_html, self.table_csv, self.table_tex)
        for path in sorted(self.path.iterdir()):
            if any(_is_partial(path, file.name) for file in (*written, *derived)):
                store.remove(path)
        store.remove_partials(self.figures)

    def load(self) -> StudySpec:
        """The study; raises InputError if there is none, or one of an older version of triptych."""
        if not self.study_toml.exists():
            raise InputError(f"holds no study (no {STUDY_TOML})", where=str(self.path))
        self.refuse_older()
        try:
            return load_study(self.study_toml)
        except InputError as error:
            hint = f"If you have not changed the file, it {OLDER}. {OLDER_HINT}"
            raise InputError(error.what, where=error.where, hint=hint) from None

    def refuse_older(self) -> None:
        """Raise InputError, and touch nothing, if a run was computed by an older version of triptych.

        Such a run has a specification of another form, or another name than this version gives to its specification.
        """
        for run in self.run_directories():
            if not Reader([]).table(run.spec_json):  # not begun, or damaged, which is found elsewhere
                continue
            try:
                older = run.load_spec().id != run.id
            except InputError:
                older = True
            if older:
                raise InputError(f"{OLDER} (by its run {run.id})", where=str(self.path), hint=OLDER_HINT)


class ReproductionDirectory:
    """The directory of a reproduced paper, with one directory for each of its studies; every attribute is a path."""

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        self.report_html = self.path / REPORT_HTML
        self.claims_json = self.path / CLAIMS_JSON
        self.paper_md = self.path / "paper.md"
        self.pictures = self.path / "paper"

    def __repr__(self) -> str:
        return f"ReproductionDirectory({str(self.path)!r})"

    def study(self, name: str) -> StudyDirectory:
        """The directory of the study of this name."""
        return StudyDirectory(self.path / name)


@dataclass(frozen=True, eq=False)
class RunRecord:
    """One run as far as its files tell; `status` is one of those of `RunDirectory.status`.

    A run that is planned and has left nothing is "missing" and has no `directory`. `log`, `timing` and `scores` are
    read when they are first asked for. `study` is the name by which its study goes among several, empty for one.
    """

    id: str
    framework: str
    seed: int
    condition: Row
    status: str
    directory: RunDirectory | None = None
    spec: Row = field(default_factory=dict)
    environment: Row = field(default_factory=dict)
    outcome: Row = field(default_factory=dict)
    reader: Reader = field(default_factory=lambda: Reader([]))
    study: str = ""

    def setting(self, dotted: str) -> Any:
        """The value of a dotted field of the run's spec, such as "optimiser.rate"; None if it has no such field."""
        return field_of(self.spec, dotted)

    @cached_property
    def log(self) -> list[Row]:
        """The rows of log.jsonl, in order of images."""
        return self.reader.lines(self.directory.log_jsonl) if self.directory else []

    @cached_property
    def timing(self) -> list[Row]:
        """The rows of timing.jsonl, in order of images."""
        return self.reader.lines(self.directory.timing_jsonl) if self.directory else []

    @cached_property
    def scores(self) -> dict[str, Row]:
        """The run's rows of scores.jsonl by metric."""
        rows = self.reader.lines(self.directory.scores_jsonl) if self.directory else []
        return {row["metric"]: row for row in rows if "metric" in row}

    @cached_property
    def samples(self) -> dict[int, Path]:
        """Image count to the grid of samples drawn then, in order of training."""
        return _grids(self.directory.samples) if self.directory else {}

    @cached_property
    def reconstructions(self) -> dict[int, Path]:
        """Image count to the grid of reconstructions made then, in order of training."""
        return _grids(self.directory.reconstructions) if self.directory else {}

    @property
    def images(self) -> int:
        """Training images seen."""
        return int(self.outcome.get("images") or (self.log[-1].get("images", 0) if self.log else 0))


def holds_prepared_data(folder: Path) -> bool:
    """Whether images have been prepared in the folder, or a preparation has begun there."""
    return (folder / PREPARING).exists() or {"spec", "fingerprint"} <= Reader([]).table(folder / DATA_JSON).keys()


def _is_partial(path: Path, name: str) -> bool:
    """Whether the path is what a killed process left of a file of that name."""
    return path.name.startswith(f"{name}.") and path.name.endswith(store.TEMPORARY)


def _grids(folder: Path) -> dict[int, Path]:
    return {int(p.stem): p for p in sorted(folder.glob("*.png")) if p.stem.isdecimal()}
