"""Write a study's scores and primary verdicts into a page of docs/results, between two marks; the rest of it stays.

Of a study that varies sources of randomness, the shares of each, with drawings.

    python scripts/write_results.py STUDY PAGE

The page needs the lines `<!-- results -->` and `<!-- end -->`. Values are those of the report: the typical run over
seeds with its 95 % interval, and both baselines.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

from triptych.report import drawing, scatter, tables
from triptych.report.collect import Study, collect
from triptych.report.headlines import by_topic, facts, pairing, risks
from triptych.text import number
from triptych.verdicts.wording import display, primary

MARKS = ("<!-- results -->\n", "<!-- end -->\n")


def cell(found: tables.Cell) -> str:
    """A value with its interval, or why there is none."""
    if found.mean is None:
        return found.why or "–"
    has_interval = found.low is not None and found.high is not None
    return number(found.mean) + (f" ({number(found.low, 3)} to {number(found.high, 3)})" if has_interval else "")


def table(study: Study) -> Iterator[str]:
    """The scores by topic, primary ones first, in Markdown."""
    cells = tables.scores(study, study.conditions[0])
    yield f"| metric | better | {' | '.join(map(display, study.frameworks))} | real images | noise |"
    yield "|---" * (len(study.frameworks) + 4) + "|"
    for metric in (m for metrics in by_topic(study).values() for m in metrics if "@" not in m["metric"]):
        own = [cells[metric["metric"], f] for f in study.frameworks]
        if all(c.mean is None for c in own):
            continue
        ends = [
            next((v for c in own if (v := getattr(c, end)) is not None), None)
            for end in ("real_baseline", "noise_baseline")
        ]
        name = f"{metric.get('label') or metric['metric']}{f' ({unit})' if (unit := metric.get('unit')) else ''}"
        name = f"**{name}**" if metric.get("role") == "primary" else name
        shown = [*map(cell, own), *(number(end, 3) for end in ends)]
        yield f"| {name} | {metric.get('better')} | {' | '.join(shown)} |"


def lines(study: Study) -> Iterator[str]:
    """Everything between the marks."""
    said = facts(study)
    yield f"{', '.join(text for text in said.values() if text)}. Bold metrics are primary.\n"
    yield from table(study)
    yield "\nThe primary verdicts, as `verdicts.json` has them:\n"
    yield from (f"- {row['sentence']}" for row in primary(study.verdicts))
    yield "\nThe risk:\n"
    yield from (f"- {risk}" for risk in risks(study, study.conditions[0]))
    yield f"\n{pairing(study)}"


def shares(study: Study, page: Path) -> Iterator[str]:
    """Where the scatter comes from, with a drawing per primary metric next to the page."""
    rows = [row for row in study.scatter if row.get("role") == "primary" and not row.get("undefined")]
    names = [source["title"] for source in rows[0]["sources"]]
    yield f"| metric | framework | scatter | {' | '.join(names)} | sum |"
    yield "|---" * (len(names) + 4) + "|"
    for row in rows:
        total = "" if row["sum"] is None else f"{100 * row['sum']:.0f} %"
        found = [source["text"] for source in row["sources"]]
        yield f"| {row['label']} | {row['name']} | {row['spread']} | {' | '.join(found)} | {total} |"
    panels = scatter.panels(study, study.conditions[0])
    for number_, panel in enumerate(panels, 1):
        file = page.with_name(f"{page.stem}-{number_}.svg")
        file.write_text(drawing.standalone(str(drawing.svg(panel))) + "\n", encoding="utf-8")
        yield f"\n![{panel.title}: the share of each source]({file.name})\n"
    yield from (f"- {row['sentence']}" for row in rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("study", type=Path)
    parser.add_argument("page", type=Path)
    given = parser.parse_args()
    before, rest = given.page.read_text("utf-8").split(MARKS[0])
    _, after = rest.split(MARKS[1])
    study = collect(given.study)
    made = "\n".join(shares(study, given.page) if study.scatter else lines(study))
    given.page.write_text(f"{before}{MARKS[0]}\n{made}\n\n{MARKS[1]}{after}", encoding="utf-8")


if __name__ == "__main__":
    main()
