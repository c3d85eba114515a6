"""Claims put to the test: what each compares, what was found, and what follows for a reader.

Claims are in a TOML file, written before anything is run. Each has parts: single comparisons, with what the claim
predicts for them. Parts may be measured under several protocols. Those of the protocols that decide give the verdict of
the claim; those of the others have a verdict of their own next to it. In either case:

    all parts that expect something are supported        holds
    some supported, others contradicted                  holds in part
    some supported, the others undecided or undefined    holds where decided
    some contradicted, none supported                    does not hold
    none supported, none contradicted                    undecided
    no part expects anything                             measured

The sentences for readers are written in advance, one for each verdict, so that none is written to fit the numbers.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import Field, field_validator, model_validator

from triptych.claims.checking import check_part, planned
from triptych.claims.judging import Part, judge_parts
from triptych.claims.results import Results
from triptych.claims.spec import PartSpec, Protocol
from triptych.errors import InputError
from triptych.plugins import suggest
from triptych.spec import Frozen, StudySpec, checked, read_toml
from triptych.text import capital, count, listed

KEYS = ("protocols", "claims")
JUDGED = ("holds", "holds in part", "holds where decided", "does not hold", "undecided")
RECORDED = (
    *("id", "claim", "statement", "protocol", "quantity", "unit", "scale", "expects", "estimate", "low", "high", "n"),
    *("p", "p_support", "p_contradiction", "margin", "censored", "failed", "verdict", "sentence"),
)
"""What claims.json says of a part; the quantity goes by the name "metric" there."""
VERBS = {
    "supported": ("supports it", "support it"),
    "contradicted": ("contradicts it", "contradict it"),
    "undecided": ("is undecided", "are undecided"),
    "undefined": ("has no value", "have no value"),
}
"""The verdicts on parts that expect something, as verbs after one part and after several."""


class ClaimSpec(Frozen):
    """A claim: what it says and where, how its source supports it, its parts, what each verdict means for a reader."""

    id: str
    statement: str = Field(min_length=1)
    where: str = ""
    source: str = ""
    protocols: dict[str, Protocol] = {"": Protocol()}
    parts: list[PartSpec] = Field(min_length=1)
    meaning: dict[str, str] = {}

    @field_validator("id")
    @classmethod
    def _letters_and_a_number(cls, name: str) -> str:
        if not re.fullmatch("[A-Z]+[0-9]+", name):
            raise ValueError('an id is capital letters and a number, such as "C1"')
        return name

    @model_validator(mode="after")
    def _complete(self) -> ClaimSpec:
        for part in self.parts:
            if part.protocol not in self.protocols:
                raise ValueError(f"no protocol {part.protocol!r}. {suggest(part.protocol, self.protocols)}")
        deciding = [part for part in self.parts if self.protocols[part.protocol].decides]
        if not deciding:
            names = " or ".join(repr(name) for name, protocol in self.protocols.items() if protocol.decides)
            raise ValueError(f"at least one part must have protocol = {names}, since these decide the claim")
        needed = JUDGED if any(part.expects for part in deciding) else ("measured",)
        if self.meaning and set(self.meaning) != set(needed):
            raise ValueError(f"meaning needs a sentence for each of {', '.join(needed)}, and for nothing else")
        return self


@dataclass(frozen=True)
class Claim:
    """A claim with its parts judged; `verdict` is one of JUDGED, or measured.

    `others` has the verdict under each protocol that does not decide.
    """

    id: str
    statement: str
    where: str
    source: str
    parts: tuple[Part, ...]
    verdict: str
    others: dict[str, str]
    summary: str
    meaning: str


def load(path: Path) -> list[ClaimSpec]:
    """The claims in a TOML file; raises InputError with every fault of a claim."""
    table, name = read_toml(path), str(path)
    for key in table:
        if key not in KEYS:
            raise InputError("unknown key", where=name, value=key, hint=suggest(key, KEYS))
    if not isinstance(table.get("claims"), list) or not table["claims"]:
        raise InputError("holds no list of claims", where=name, hint="Start each claim with [[claims]].")
    given = {"protocols": table["protocols"]} if "protocols" in table else {}
    claims = [_claim(values, given, place, name) for place, values in enumerate(table["claims"], 1)]
    twice = [name for name, times in Counter(claim.id for claim in claims).items() if times > 1]
    if twice:
        raise InputError("two claims have one id", where=name, value=twice[0], hint="Give each its own.")
    return claims


def _claim(values: Any, given: dict[str, Any], place: int, file: str) -> ClaimSpec:
    name = values.get("id", f"claim {place}") if isinstance(values, dict) else f"claim {place}"
    return checked(ClaimSpec, {**given, **values} if isinstance(values, dict) else values, f"{file}, {name}")


def check(claims: Sequence[ClaimSpec], studies: Mapping[str, StudySpec], file: str = "claims.toml") -> None:
    """Raise InputError for what these studies cannot answer; `file` names the claims in its message."""
    plans = {name: planned(study) for name, study in studies.items()}
    for claim in claims:
        for place, part in enumerate(_parts(claim, studies, file), 1):
            check_part(f"{file}, {claim.id}.{place}", part, plans)


def judge_claims(claims: Sequence[ClaimSpec], results: Results) -> list[Claim]:
    """Every claim with its verdicts, from the complete runs."""
    return [_judged(claim, judge_parts(claim.id, _parts(claim, results.studies), results)) for claim in claims]


def _parts(claim: ClaimSpec, studies: Mapping[str, StudySpec], file: str = "") -> list[PartSpec]:
    """A claim's parts with a study in each side: its own, its protocol's, or the only one."""
    only = next(iter(studies)) if len(studies) == 1 else None
    parts = [part.under(claim.protocols[part.protocol]).under(Protocol(study=only)) for part in claim.parts]
    for place, part in enumerate(parts, 1):
        for letter, side in zip("abcd", part.sides, strict=False):
            if not side.studies:
                where = f"{file}, {claim.id}.{place}, side {letter}".removeprefix(", ")
                hint = f"Give the side a study: {', '.join(studies)}."
                raise InputError("names no study, and there are several", where=where, hint=hint)
    return parts


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
    """The content of claims.json: one record for each part, with the verdict on its claim."""
    return [
        {
            **{{"quantity": "metric"}.get(name, name): getattr(part, name) for name in RECORDED},
            "claim_verdict": claim.verdict,
            "claim_others": claim.others,
        }
        for claim in claims
        for part in claim.parts
    ]


def _judged(spec: ClaimSpec, parts: tuple[Part, ...]) -> Claim:
    by = {name: [part for part in parts if part.protocol == name] for name in spec.protocols}
    deciding = [part for part in parts if spec.protocols[part.protocol].decides]
    verdict = verdict_of(deciding) or "undecided"
    others = {name: verdict_of(by[name]) for name, protocol in spec.protocols.items() if not protocol.decides}
    summary = "; ".join(_tally(spec.protocols[name].phrase, own) for name, own in by.items() if own)
    return Claim(
        id=spec.id,
        statement=spec.statement,
        where=spec.where,
        source=spec.source,
        parts=parts,
        verdict=verdict,
        others={name: other for name, other in others.items() if other},
        summary=f"{capital(summary)}.",
        meaning=spec.meaning.get(verdict, ""),
    )


def votes(parts: Sequence[Part]) -> list[str]:
    """What parts that expect something say: ["1 of 2 comparisons supports it", "1 is undecided"]."""
    numbers = Counter(part.verdict for part in parts if part.expects)
    total, said = numbers.total(), list[str]()
    for verdict, verbs in VERBS.items():
        if n := numbers[verdict]:
            who = str(n) if said else f"{n} of {total} comparisons"
            if n == total:
                who = "the one comparison" if n == 1 else f"all {n} comparisons"
            said.append(f"{who} {verbs[n > 1]}")
    return said


def _tally(phrase: str, parts: Sequence[Part]) -> str:
    """ "as published, 1 of 2 comparisons supports it and 1 is undecided"."""
    lead = f"{phrase}, " if phrase else ""
    if said := votes(parts):
        return lead + listed(said)
    measured = sum(part.verdict == "measured" for part in parts)
    verb = "was" if measured == 1 else "were"
    return f"{lead}{measured} of {count(len(parts), 'comparison')} {verb} measured"
