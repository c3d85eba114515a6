"""What the commands print: tables for a terminal."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.table import Table
from rich.text import Text

from triptych.text import condition, count, duration, listed, number, p_value
from triptych.verdicts import planning, wording

if TYPE_CHECKING:
    from triptych.claims.engine import Claim
    from triptych.claims.judging import Part
    from triptych.contracts import Result
    from triptych.spec import RunSpec, StudySpec
    from triptych.study.costing import CostedPlan, Estimate
    from triptych.study.runner import PreparedStudy

STATES = {"missing": "waiting", "unfinished": "begun", "incomplete": "trained, not scored"}
"""How a run's status is worded while its study may still be running; the others are words already."""
MOST_ROWS = 40
"""Runs that `triptych status` lists one by one."""
SHARES = (
    "A share is the variance when one source varies alone, with the others at the first seed, divided by the variance "
    "when all vary. Shares need not add up to 100 %: sources interact, and few seeds measure a variance roughly."
)
COLOURS = {"better": "green", "worse": "red", "equivalent": "cyan", "undecided": "yellow", "undefined": "dim"}
PART_COLOURS = {**COLOURS, "supported": "green", "contradicted": "red", "measured": "cyan"}


@contextmanager
def preparing(console: Console) -> Iterator[Callable[[int, int], None]]:
    """A bar for the preparation of the data; yields a function that is called with the images done and the total."""
    bar = Progress(
        TextColumn("preparing images"),
        BarColumn(24),
        MofNCompleteColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )
    with bar:
        task = bar.add_task("")
        yield lambda done, total: bar.update(task, completed=done, total=total)


def data(console: Console, study: PreparedStudy) -> None:
    """What the data are, and whatever was converted or left out."""
    images = study.data
    counts = ", ".join(f"{count:,} {name}" for name, count in images.counts.items())
    labels = f", {len(images.label_names)} classes" if images.label_names else ", no labels"
    shape = f"{images.size} x {images.size} pixels, {'colour' if images.channels == 3 else 'grey'}"
    source = study.spec.data.path or study.spec.data.source
    console.print(f"Data: {source}: {counts}; {shape}{labels}", highlight=False, markup=False)
    notes(console, images.notes)


def notes(console: Console, texts: Sequence[str]) -> None:
    """What a user should know about what is printed above, one line each."""
    for line in texts:
        console.print(f"  note: {line}", highlight=False, markup=False, soft_wrap=True)


def preview(console: Console, study: CostedPlan) -> None:
    """The runs of a study that is not begun, and what it will cost, which is measured."""
    console.print("Timing training steps and every metric on noise, to say how long it will take ...")
    estimate = study.estimate()
    runs(console, study, estimate)
    plan(console, study, estimate)


def plan(console: Console, study: CostedPlan, estimate: Estimate) -> None:
    """One line of what will be run, and two of what it will cost."""
    runs, execution = study.runs, study.execution
    frameworks = list(dict.fromkeys(run.framework for run in runs))
    seeds = len({run.seed for run in runs})
    images = sorted({study.costs[run.id].images for run in runs})
    threads = f" with {count(execution.threads, 'thread')}" if execution.threads else ""
    images = [number for number in images if number] or images  # none where weights are scored again
    budget = f"{images[0]:,}" if len(images) == 1 else f"{images[0]:,} to {images[-1]:,}"
    console.print(
        f"{count(len(runs), 'run')}: {', '.join(frameworks)}; {count(seeds, 'seed')}; {budget} images each; "
        f"{count(execution.workers, 'worker')}{threads} on {execution.device_here}",
        highlight=False,
        markup=False,
    )
    if study.spec.vary:
        varied, scored = [run for run in runs if run.seeds], sum(run.is_only_scored for run in runs)
        again = f"; {scored} of them score the weights of others and train nothing" if scored else ""
        what = f"{len(varied)} of these are for the sources of scatter ({', '.join(study.spec.vary)}){again}"
        console.print(f"  {what}", highlight=False, markup=False, soft_wrap=True)
    rest = ", more for what is not counted" if estimate.unknown else ""
    console.print(
        f"About {seconds(estimate.seconds)} until the last score{rest}; {estimate.memory_bytes / 2**30:.1f} GiB of "
        f"memory, {estimate.disk_bytes / 2**30:.1f} GiB of disk",
        highlight=False,
        soft_wrap=True,
    )
    console.print(
        f"  of one worker: {seconds(estimate.training)} of training ({estimate.flops / 1e12:,.0f} TFLOP), "
        f"{seconds(estimate.scoring)} of scoring, {seconds(estimate.once)} once for all runs (data, baselines, start)",
        highlight=False,
        soft_wrap=True,
    )
    notes(console, [f"not counted: {name}, since {why}" for name, why in estimate.unknown.items()])
    if estimate.bf16_gain and estimate.bf16_gain >= WORTH_IT:
        gain = f"training would be about {number(estimate.bf16_gain, 2)} times as fast here in bf16"
        notes(console, [f"{gain}: --precision bf16, or training.precision in a study. It changes the numbers."])
    decidable(console, study, estimate)


WORTH_IT = 1.2
"""From this gain on, another precision is proposed."""


def seconds(value: float) -> str:
    """A predicted duration, in whole seconds or longer units."""
    return duration(round(value))


def decidable(console: Console, study: CostedPlan, estimate: Estimate) -> None:
    """What the seeds can decide by each primary metric at each look, or what twice as many could, and their cost."""
    seeds, frameworks, looks = len(study.spec.seeds), len(study.spec.frameworks), study.spec.looks
    outputs = study.outputs
    numbers = looks or (seeds, 2 * seeds)
    by_number = [planning.reaches(outputs, frameworks, n, looks) for n in numbers]
    if not by_number[-1]:
        return
    if looks:
        console.print(
            f"  It looks at {listed([str(look) for look in looks])} seeds, and ends at the first look at which every "
            "primary comparison is decided.",
            highlight=False,
            soft_wrap=True,
        )
        # Seeds cost the same, whatever their number.
        heads = [f"{count(look, 'seed')}, {seconds(estimate.seconds * look / seeds)}" for look in looks]
    else:
        heads = [count(seeds, "seed"), f"{2 * seeds} seeds, {seconds(estimate.seconds)} more"]
    table = _table("what can be told apart", *heads)
    for last in by_number[-1]:
        texts = [next((r.text for r in row if r.metric == last.metric), "nothing") for row in by_number]
        _add(table, last.label, *texts)
    console.print(table)
    exact = planning.seeds_without_assumptions(outputs, frameworks, len(looks))
    source = planning.scatter()["source"]
    console.print(
        f"  Differences of this size are found in four studies of five, if seeds scatter as in {source}; on your "
        f"images they may not. From {exact} seeds on, a verdict can hold without assumptions about how seeds scatter.",
        highlight=False,
        markup=False,
    )


def _table(*columns: str, title: str = "") -> Table:
    """A plain table that folds what is too long and never cuts it."""
    table = Table(box=None, title=title or None, title_justify="left", show_header=any(columns))
    for column in columns:
        table.add_column(column, overflow="fold")
    return table


def _add(table: Table, *cells: str | Text, style: str | None = None) -> None:
    """A row of plain text: in a str, rich would take "[1, 2]" or ":x:" of a name for markup."""
    table.add_row(*(Text(cell) if isinstance(cell, str) else cell for cell in cells), style=style)


def runs(console: Console, study: CostedPlan, estimate: Estimate) -> None:
    """The runs of a study: a row for every framework under every condition, with what each of its runs costs."""
    rows: dict[tuple[str, str, int], list[RunSpec]] = {}
    for run in study.runs:
        rows.setdefault((run.framework, condition(run.condition), study.costs[run.id].images), []).append(run)
    table = _table("framework", "condition", "runs", "images", "GFLOP per image", "parameters", "time per run")
    for (framework, under, images), same in rows.items():
        cost, time = study.costs[same[0].id], estimate.runs[same[0].id]
        sizes = f"{cost.flops_per_image / 1e9:.3f}", f"{sum(cost.parameters.values()):,}"
        _add(table, framework, under, str(len(same)), f"{images:,}", *sizes, seconds(time.training + time.scoring))
    console.print(table)


def scatter(console: Console, rows: Sequence[dict[str, Any]]) -> None:
    """The share of variance of each source by metric and framework, each with its sentence below."""
    if not rows:
        console.print("There are no primary metrics. Name some with --metrics, or give --json for all.")
        return
    sources = [source["source"] for source in rows[0]["sources"]]
    table = _table("", "framework", "scatter", *sources, "sum", title="Shares of variance (95 % interval)")
    for row in rows:
        if row["undefined"]:  # its sentence says so
            continue
        where = f" ({condition(row['condition'])})" if row["condition"] else ""
        total = "" if row["sum"] is None else f"{100 * row['sum']:.0f} %"
        shares = [source["text"] for source in row["sources"]]
        _add(table, f"{row['label']}{where}", row["name"], row["spread"], *shares, total)
    console.print(table)
    for row in rows:
        console.print(row["sentence"], highlight=False, markup=False, soft_wrap=True)
    known = {f"{row['name']}: {note}" for row in rows for note in row["notes"]}
    notes(console, [*sorted(known), SHARES])


def verdicts(console: Console, answers: list[dict[str, Any]], place: str = "the report") -> None:
    """The primary verdicts in a table, all where none is primary, and how many others there are in what place."""
    shown = wording.primary(answers)
    if not shown:
        console.print("No verdicts: there are no two frameworks to compare. The scores are in scores.jsonl.")
        return
    table = _table("", "verdict", "scores", "95 % interval", "p (Holm)", title="Verdicts")
    for answer in shown:
        a, b = answer["names"]
        colour = COLOURS[answer["verdict"]]
        where = f" ({condition(answer['condition'])})" if answer["condition"] else ""
        _add(
            table,
            f"{answer['label'] or answer['metric']}{where}",
            Text(_answer(answer["verdict"], a, b), colour),
            f"{a} {answer['effect_text']} {answer['direction']}" if answer["effect_text"] else "",
            answer["interval_text"],
            _number(answer["p_adjusted"]),
        )
    console.print(table)
    for warning in dict.fromkeys(_warnings(shown)):
        console.print(warning, style="yellow", highlight=False, markup=False, soft_wrap=True)
    decided = [answer["sentence"] for answer in shown if answer["verdict"] in ("better", "worse", "equivalent")]
    for line in (*decided, *dict.fromkeys(_risks(shown))):
        console.print(f"- {line}", highlight=False, markup=False, soft_wrap=True)
    undecided, others = [a for a in shown if a["verdict"] == "undecided"], len(answers) - len(shown)
    if undecided:
        known = any(answer.get("seeds_needed_low") for answer in undecided)
        where = f"; how many seeds would settle {'them' if len(undecided) > 1 else 'it'} is in {place}" if known else ""
        rest = f"{len(undecided)} of {len(shown)} {'are' if len(undecided) > 1 else 'is'} undecided{where}."
        console.print(rest, highlight=False, soft_wrap=True)
    if others:
        console.print(f"{count(others, 'secondary verdict')} in {place}.", highlight=False, soft_wrap=True)


def claims(console: Console, judged: Sequence[Claim]) -> None:
    """Each claim with its verdict, a table of its parts, and what it means."""
    for claim in judged:
        console.print(f"{claim.id} {claim.verdict}: {claim.statement}", style="bold", markup=False, highlight=False)
        console.print(_parts(claim.parts))
        text = f"{claim.summary} {claim.meaning}".strip()
        console.print(f"{text}\n", markup=False, highlight=False)


def _parts(parts: Sequence[Part]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), expand=True)
    table.add_column("part", no_wrap=True)
    table.add_column("comparison", ratio=3)
    table.add_column("estimate (95 % interval)", ratio=2)
    for name in ("seeds", "p", "verdict"):
        table.add_column(name, no_wrap=True)
    for part in parts:
        estimate = f"{part.amount} ({part.span})" if part.span else part.amount
        verdict = Text(part.verdict, style=PART_COLOURS[part.verdict])
        p = p_value(part.p, symbol="")
        table.add_row(part.id, escape(part.statement), escape(estimate), str(part.n), p, verdict)
    return table


def scores(console: Console, lines: list[dict[str, Any]]) -> None:
    """One run's scores, each with its standard error over images and both baselines."""
    table = _table("score", "value", "standard error", "real images", "noise", "unit", "n", "features")
    for line in lines:
        value = _number(line["value"]) if line["undefined"] is None else f"undefined: {line['undefined']}"
        numbers = (_number(line.get(key)) for key in ("error", "real_baseline", "noise_baseline"))
        _add(table, line["metric"], value, *numbers, line["unit"], f"{line['n']:,}", line["features"])
    console.print(table)


def status(console: Console, rows: list[dict[str, Any]]) -> None:
    """The state of every run; of many, only of those that are under way or need a look, and how many have which."""
    told = rows if len(rows) <= MOST_ROWS else [row for row in rows if row["state"] not in ("finished", "missing")]
    table = _table("run", "state", "images")
    for row in told[:MOST_ROWS]:
        state: str = row["state"]
        _add(table, row["run"], STATES.get(state, state), f"{row['images']:,} of {row['of']:,}")
    if told:
        console.print(table)
    if len(rows) > MOST_ROWS:
        numbers = Counter(STATES.get(row["state"], row["state"]) for row in rows)
        states = ", ".join(f"{number:,} {state}" for state, number in numbers.items())
        console.print(f"{len(rows):,} runs: {states}", highlight=False, soft_wrap=True)


def shape(study: StudySpec, channels: int) -> str:
    """The shape of a study's images and networks in words."""
    images = f"{study.data.size} px, {count(channels, 'channel')}"
    return f"{images}, width {study.network.width:g} of the paper's, {study.network.latent} latent dimensions"


def networks(console: Console, described: dict[str, list[dict[str, Any]]], titles: dict[str, str]) -> None:
    """Each network layer by layer, and its totals: the paper's appendices."""
    for name, layers in described.items():
        table = Table(title=titles.get(name, name), box=None, title_justify="left")
        for column in ("layer", "output", "parameters", "MFLOP"):
            table.add_column(column, justify="left" if column in ("layer", "output") else "right")
        for layer in layers:
            shape = " x ".join(map(str, layer["shape"]))
            _add(table, layer["kind"], shape, f"{layer['parameters']:,}", f"{layer['flops'] / 1e6:,.1f}")
        parameters, flops = sum(x["parameters"] for x in layers), sum(x["flops"] for x in layers)
        _add(table, "total", "", f"{parameters:,}", f"{flops / 1e6:,.1f}", style="bold")
        console.print(table)


def check(console: Console, result: Result) -> None:
    """One line per contract: whether it holds, and if not, what is broken and what usually causes it."""
    colour = {"holds": "green", "broken": "red", "skipped": "dim"}[result.status]
    line = Text.assemble((f"{result.status:<8}", colour), result.check)
    console.print(line.append(f": {result.message}" if result.message else ""), soft_wrap=True, highlight=False)


def checks(console: Console, name: str, results: Sequence[Result]) -> None:
    """How many contracts hold, and how many checks were skipped."""
    holds, skipped = ([result.status for result in results].count(status) for status in ("holds", "skipped"))
    rest = f", {skipped} skipped" if skipped else ""
    console.print(f"{holds} of {len(results)} contracts hold{rest}: {name}", markup=False, highlight=False)


def environment(console: Console, found: dict[str, Any]) -> None:
    table = _table("", "")
    for name, value in found.items():
        _add(table, name, "not installed" if value is None else str(value))
    console.print(table)


def _number(value: float | None) -> str:
    return "" if value is None else number(value, 3)


def _answer(verdict: str, a: str, b: str) -> str:
    """A verdict that names who is better."""
    if verdict in ("better", "worse"):
        winner, loser = (a, b) if verdict == "better" else (b, a)
        return f"{winner} better than {loser}"
    return f"{a}, {b}: {verdict}"


def _warnings(answers: list[dict[str, Any]]) -> Iterator[str]:
    """Under each condition, that most runs have learned nothing."""
    by_condition: dict[str, dict[str, Any]] = {}
    for answer in answers:
        by_condition.setdefault(condition(answer["condition"]), {}).update(answer["risks"])
    for where, risks in by_condition.items():
        if said := wording.mostly_failed(risks):
            yield f"With {where}: {said}" if where else said


def _risks(answers: list[dict[str, Any]]) -> Iterator[str]:
    """Each framework's risk in words, under each condition."""
    for answer in answers:
        where = f" ({condition(answer['condition'])})" if answer["condition"] else ""
        for side, name in zip("ab", answer["names"], strict=True):
            if risk := answer["risks"].get(answer[side]):
                yield f"{wording.risk_of(**risk, name=name)}{where}"
