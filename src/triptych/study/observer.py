"""What is called while a study runs, so that the command line, Python and tests share one runner."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Protocol

from triptych.study.executors import OnEvent, ShouldStop

if TYPE_CHECKING:
    from triptych.study.runner import PreparedStudy
    from triptych.training.cost import Cost

Progress = Callable[[int, int], None]
"""Called with the images prepared so far, and in all."""


class Observer(Protocol):
    """What is called while a study runs; `triptych.terminal.running.Terminal` shows it all to a person."""

    def note(self, text: str) -> None:
        """Something that takes time, in a sentence."""
        ...

    def preparing(self) -> AbstractContextManager[Progress]:
        """Entered while the data are prepared."""
        ...

    def prepared(self, study: PreparedStudy) -> None:
        """Everything before the runs is done."""
        ...

    def computing(self, costs: dict[str, Cost]) -> AbstractContextManager[tuple[OnEvent, ShouldStop]]:
        """Entered while runs of these costs, by id, are computed; `executors` says what the events are."""
        ...


class Silent:
    """An observer that shows nothing and never asks to stop."""

    def note(self, text: str) -> None:
        pass

    def preparing(self) -> AbstractContextManager[Progress]:
        return nullcontext(lambda done, total: None)

    def prepared(self, study: PreparedStudy) -> None:
        pass

    def computing(self, costs: dict[str, Cost]) -> AbstractContextManager[tuple[OnEvent, ShouldStop]]:
        return nullcontext((lambda event: None, lambda: False))


SILENT = Silent()
