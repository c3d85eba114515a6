"""Nested tables, such as those of a specification, by dotted fields."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def flat_fields(table: Mapping[str, Any], before: str = "") -> dict[str, Any]:
    """{"a.b": value} from {"a": {"b": value}}."""
    flat: dict[str, Any] = {}
    for key, value in table.items():
        flat |= flat_fields(value, f"{before}{key}.") if isinstance(value, dict) else {f"{before}{key}": value}
    return flat


def field_of(table: Mapping[str, Any], dotted: str) -> Any:
    """The value at a dotted field of nested tables; None if there is no such field."""
    found: Any = table
    for part in dotted.split("."):
        found = found.get(part) if isinstance(found, Mapping) else None
    return found
