"""What every page is made of: the frame with its style and script, and phrases that reports and papers share."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from triptych.text import capital, count, duration, listed, number
from triptych.verdicts.stats import Estimate
from triptych.verdicts.wording import display

if TYPE_CHECKING:
    from jinja2 import Environment, Template

HERE = Path(__file__).parent


def environment(*folders: Path, markdown: bool = False, **options: Any) -> Environment:
    """The templates of these folders and of the report; in HTML every text is escaped by Jinja."""
    from jinja2 import Environment, FileSystemLoader

    made = Environment(
        loader=FileSystemLoader([*folders, HERE]),
        autoescape=not markdown,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=markdown,
        **options,
    )
    words = (number, duration, count, display, interval, estimate, capital, listed)
    made.filters |= {word.__name__: word for word in words}
    return made


def rendered(template: Template, **values: Any) -> str:
    """A page of a template, in its frame; no line breaks between a number and its "%"."""
    return re.sub(r"(?<=\d) %", "\N{NARROW NO-BREAK SPACE}%", template.render(**values, **frame()))


def frame() -> dict[str, Any]:
    """The style and the script of base.html.j2, and the script's hash for the page's security policy."""
    from markupsafe import Markup

    script = (HERE / "page.js").read_text(encoding="utf-8")
    return {
        "style": Markup((HERE / "style.css").read_text(encoding="utf-8")),
        "script": Markup(script),
        "script_hash": base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
    }


def versions(environments: Iterable[Mapping[str, Any]]) -> dict[str, list[str]]:
    """What runs recorded of their environment: each field with all the values seen."""
    seen: dict[str, dict[str, None]] = {}
    for environment in environments:
        for key, value in environment.items():
            if value is not None and not isinstance(value, (dict, list)):
                seen.setdefault(key, {})[str(value)] = None
    return {key: list(values) for key, values in seen.items()}


def estimate(e: Estimate | None, digits: int = 3) -> str:
    """An estimate with its interval: "0.31 (0.28 to 0.34)"; the number alone where there is no interval."""
    if e is None:
        return "–"
    return number(e.point, digits) + (f" ({interval(e, digits)})" if e.low is not None else "")


def interval(e: Any, digits: int = 3) -> str:
    """The interval of an estimate or of a part of a claim, "0.28 to 0.34"; a dash without one."""
    return "–" if e.low is None or e.high is None else f"{number(e.low, digits)} to {number(e.high, digits)}"
