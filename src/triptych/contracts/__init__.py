"""Contract checks: whether a plug-in keeps what it promises, each failure in a sentence with its usual cause.

`triptych check package.module:Name` and `pytest --triptych package.module:Name` run them. One file per kind of plug-in;
imports everything but the command line, `claims` and `papers`.
"""

from __future__ import annotations

from triptych.contracts.base import Broken, Check, Result, checks_of, run_checks

__all__ = ["Broken", "Check", "Result", "checks_of", "run_checks"]
