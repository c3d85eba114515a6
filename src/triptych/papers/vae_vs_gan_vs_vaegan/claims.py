"""The paper's claims put to the test: what each compares, what was found, and what follows for a reader.

The claims stand in `claims.toml`, or in a file of the user's own, written before anything is run. Each has parts:
single comparisons under one of two protocols, with what the claim makes one expect. The matched parts decide the claim,
since only they compare like with like; the as-published parts, under the paper's own conditions but with several seeds
and held-out images, say beside it what the published evidence would have shown. Of either kind:

    all parts that expect something are supported        holds
    some supported, others contradicted                  holds in part
    some supported, the others undecided or undefined    holds where decided
    some contradicted, none supported                    does not hold
    none supported, none contradicted                    undecided
    no part expects anything                             measured

The sentences for readers are written beforehand, one for each verdict, so that none is written to fit the numbers.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import Field, field_validator, model_validator

from triptych.errors import InputError
from triptych.papers.vae_vs_gan_vs_vaegan.checking import check_part, planned
from triptych.papers.vae_vs_gan_vs_vaegan.contrasts import PartSpec
from triptych.papers.vae_vs_gan_vs_vaegan.judging import Part, judge_parts
from triptych.papers.vae_vs_gan_vs_vaegan.results import Results
from triptych.spec import Frozen, StudySpec, checked, read_toml
from triptych.text import capital, count, listed

FILE = "claims.toml"
JUDGED = ("holds", "holds in part", "holds where decided", "does not hold", "undecided")
LEADS = {"matched": "under matched conditions", "as published": "as published"}


class ClaimSpec(Frozen):
    """A claim: what it says and where, what the paper did for it, its parts, what each verdict means for a reader."""

    id: str
    statement: str = Field(min_length=1)
    where: str
    paper: str
    parts: list[PartSpec] = Field(min_length=1)
    meaning: dict[str, str]

    @field_validator("id")
    @classmethod
    def _letters_and_a_number(cls, name: str) -> str:
        if not re.fullmatch("[A-Z]+[0-9]+", name):
            raise ValueError('an id is capital letters and a number, such as "C1"')
        return name

    @model_validator(mode="after")
    def _every_verdict_means_something(self) -> ClaimSpec:
        needed = JUDGED if any(part.expects for part in self.parts if part.protocol == "matched") else ("measured",)
        if not any(part.protocol == "matched" for part in self.parts):
            raise ValueError('at least one part must have protocol = "matched", for these decide the claim')
        if set(self.meaning) != set(needed):
            raise ValueError(f"meaning needs a sentence for each of {', '.join(needed)}, and for nothing else")
        return self


@dataclass(frozen=True)
class Claim:
    """A claim with its parts judged; `verdict` is one of JUDGED, or measured.

    `published` is the verdict of the as-published parts, None without any.
    """

    id: str
    statement: str
    where: str
    paper: str
    parts: tuple[Part, ...]
    verdict: str
    published: str | None
    summary: str
    meaning: str


def load(path: Path | None = None) -> list[ClaimSpec]:
    """The claims in a TOML file, by default those of the paper; raises InputError with every fault of a claim."""
    shown = FILE if path is None else str(path)
    table = read_toml(path or Path(__file__).with_name(FILE))
    if set(table) != {"claims"} or not isinstance(table["claims"], list) or not table["claims"]:
        raise InputError(
            "holds no list of claims", where=shown, value=sorted(table), mend="Start each claim with [[claims]]."
        )
    claims = [_claim(values, place, shown) for place, values in enumerate(table["claims"], 1)]
    twice = [name for name, times in Counter(claim.id for claim in claims).items() if times > 1]
    if twice:
        raise InputError("two claims have one id", where=shown, value=twice[0], mend="Give each its own.")
    return claims


def _claim(values: Any, place: int, shown: str) -> ClaimSpec:
    name = values.get("id", f"claim {place}") if isinstance(values, dict) else f"claim {place}"
    return checked(ClaimSpec, values, f"{shown}, {name}")


def check(claims: Sequence[ClaimSpec], studies: dict[str, StudySpec], path: Path | None = None) -> None:
    """Raise InputError, before anything runs, for what these studies cannot answer: what is missing, how to mend it.

    `path` is the file that the claims are from, by default the paper's.
    """
    plans = {name: planned(study) for name, study in studies.items()}
    for claim in claims:
        for place, part in enumerate(claim.parts, 1):
            check_part(f"{path or FILE}, {claim.id}.{place}", part, plans)


def judge(claims: Sequence[ClaimSpec], results: Results) -> list[Claim]:
    """Every claim with its verdicts, from the runs that are there."""
    return [_judged(claim, judge_parts(claim.id, claim.parts, results)) for claim in claims]


def verdict_of(parts: Sequence[Part]) -> str | None:
    """What parts of one protocol come to, by the rule above; None without parts."""
    verdicts = [part.verdict for part in parts if part.expects]
    if not verdicts:
        return "measured" if parts else None
    supported, contradicted = verdicts.count("supported"), verdicts.count("contradicted")
    if supported == len(verdicts):
        return "holds"
    if supported:
        return "holds in part" if contradicted else "holds where decided"
    return "does not hold" if contradicted else "undecided"


def records(claims: Sequence[Claim]) -> list[dict[str, Any]]:
    """What stands in claims.json: one record for each part, with the verdict on its claim."""
    return [
        {
            "id": part.id,
            "claim": claim.id,
            "statement": part.statement,
            "protocol": part.protocol,
            "metric": part.quantity,
            "unit": part.unit,
            "expects": part.expects,
            "estimate": part.estimate,
            "low": part.low,
            "high": part.high,
            "n": part.n,
            "p": part.p,
            "margin": part.margin,
            "censored": part.censored,
            "verdict": part.verdict,
            "sentence": part.sentence,
            "claim_verdict": claim.verdict,
            "claim_published": claim.published,
        }
        for claim in claims
        for part in claim.parts
    ]


def _judged(spec: ClaimSpec, parts: tuple[Part, ...]) -> Claim:
    by = {protocol: [part for part in parts if part.protocol == protocol] for protocol in LEADS}
    verdict, published = verdict_of(by["matched"]) or "undecided", verdict_of(by["as published"])
    summary = "; ".join(_tally(protocol, own) for protocol, own in by.items() if own)
    return Claim(
        id=spec.id,
        statement=spec.statement,
        where=spec.where,
        paper=spec.paper,
        parts=parts,
        verdict=verdict,
        published=published,
        summary=f"{capital(summary)}.",
        meaning=spec.meaning[verdict],
    )


def _tally(protocol: str, parts: Sequence[Part]) -> str:
    """ "as published, 1 of 2 comparisons supports it and 1 is undecided"."""
    judged = [part.verdict for part in parts if part.expects]
    if not judged:
        there = sum(part.verdict == "measured" for part in parts)
        verb = "was" if there == 1 else "were"
        return f"{LEADS[protocol]}, {there} of {count(len(parts), 'comparison')} {verb} measured"
    phrases = {
        "supported": ("supports it", "support it"),
        "contradicted": ("contradicts it", "contradict it"),
        "undecided": ("is undecided", "are undecided"),
        "undefined": ("has no value", "have no value"),
    }
    numbers, total = Counter(judged), len(judged)
    told = [f"{numbers[v]} {words[numbers[v] > 1]}" for v, words in phrases.items() if numbers[v]]
    if len(told) == 1:
        every = "the one comparison" if total == 1 else f"all {total} comparisons"
        return f"{LEADS[protocol]}, {every}{told[0].removeprefix(str(total))}"
    told[0] = told[0].replace(" ", f" of {total} comparisons ", 1)
    return f"{LEADS[protocol]}, {listed(told)}"
