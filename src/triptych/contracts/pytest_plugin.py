"""`pytest --triptych package.module:Name`: the contract checks of a plug-in as tests, one each."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from triptych.contracts.base import Check


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.getgroup("triptych").addoption(
        "--triptych",
        action="append",
        default=[],
        metavar="NAME",
        help='check a Triptych framework, metric, data source or feature extractor: "package.module:Name"',
    )


def pytest_collection(session: pytest.Session) -> None:
    """Collect the checks next to the tests of the paths that were named."""
    if session.config.getoption("--triptych") or ():
        session.config.pluginmanager.register(_Collected(session), "triptych-collected")


class _Collected:
    def __init__(self, session: pytest.Session) -> None:
        self.session = session

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, session: pytest.Session, items: list[pytest.Item]) -> None:
        for name in session.config.getoption("--triptych") or ():
            collector = _Checks.from_parent(session, name=name)
            items.extend(collector.items())


class _Checks(pytest.Collector):
    def collect(self) -> Iterator[pytest.Item]:
        yield from self.items()

    def items(self) -> Iterator[_CheckItem]:
        from triptych.contracts.base import checks_of
        from triptych.errors import InputError

        try:
            checks = checks_of(self.name)
        except InputError as error:
            raise pytest.UsageError(f"--triptych: {error}") from None
        for check in checks:
            item = _CheckItem.from_parent(self, name=check.name)
            item.check = check
            yield item


class _CheckItem(pytest.Item):
    check: Check

    def runtest(self) -> None:
        from triptych.contracts.base import NotApplicable

        try:
            self.check.run()
        except NotApplicable as reason:
            pytest.skip(str(reason))

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: object = None) -> str:
        from triptych.contracts.base import Broken

        return str(excinfo.value) if isinstance(excinfo.value, Broken) else str(super().repr_failure(excinfo))

    def reportinfo(self) -> tuple[Path, int, str]:
        assert self.parent is not None
        return self.path, 0, f"{self.parent.name}: {self.name}"
