"""A run before its first step, in memory: what its networks can do, and how long that takes, without a directory."""

from __future__ import annotations

from pathlib import Path

from triptych.evaluation.run import Run
from triptych.spec import RunSpec
from triptych.training.model import Model
from triptych.training.state import State, set_evaluation


class Untrained(Run):
    """A run with the networks of a state, which it puts into evaluation mode."""

    def __init__(self, spec: RunSpec, state: State, channels: int, classes: int, device: str) -> None:
        self.folder, self.spec, self.device = Path(spec.id), spec, device
        self.outcome = {"channels": channels, "classes": [1] * classes}
        set_evaluation(state.nets, state.framework.batchnorm_mode)
        state.nets.requires_grad_(False)
        self.__dict__["networks"] = state.nets
        self.__dict__["model"] = Model.of(spec, state, channels, classes)  # in the place of that from the disk
