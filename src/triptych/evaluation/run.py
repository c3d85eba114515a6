"""A run on disk, opened: its specification, its networks, its log and scores, and what it can make.

run = triptych.open_run("results/runs/vaegan-s0-1a2b3c4d")
run.sample(64)                # [64, C, S, S] in [-1, 1]
run.reconstruct(images)       # the same shape
run.networks["dec"]           # a torch.nn.Module
run.log()                     # a DataFrame
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from triptych import store
from triptych.data.dataset import scale
from triptych.directory import RunDirectory, weights_file
from triptych.errors import InputError
from triptych.evaluation.features import in_batches
from triptych.frameworks import Ability
from triptych.networks.folding import fold
from triptych.training.model import NEEDS_LABELS, Model, prior_labels, prior_latents
from triptych.training.state import State, initial, load_weights, set_evaluation

if TYPE_CHECKING:
    import pandas


class Run:
    """A finished or diverged run. `networks` are in evaluation mode and ask for no gradient."""

    def __init__(self, folder: Path | str, device: str = "cpu") -> None:
        """Raises InputError when there is no run in `folder`, or one that has not finished."""
        self.folder, self.device = Path(folder), device
        self.files = RunDirectory(folder)
        self.weights = self.files.weights
        self.spec = self.files.load_spec()
        if not self.files.outcome_json.exists():
            raise InputError(
                "this run has not finished",
                where=str(self.folder),
                hint="Run its study again to resume it.",
            )
        self.outcome: dict[str, Any] = store.read_json(self.files.outcome_json)

    def __repr__(self) -> str:
        return f"Run({str(self.folder)!r})"

    @cached_property
    def model(self) -> Model:
        """The trained networks, in evaluation mode, as what they can be asked for; BatchNorm is folded where it can."""
        state = self._trained()
        for network in state.nets.values():
            fold(network)
        return Model.of(self.spec, state, self.channels, self.classes)

    @cached_property
    def networks(self) -> nn.ModuleDict:
        """The trained networks that this framework has, by name, layer by layer as they were trained."""
        return self._trained().nets

    def _trained(self) -> State:
        state = initial(self.spec, self.channels, self.device, self.classes)
        for name, network in state.nets.items():
            load_weights(network, (self.weights / weights_file(name)).read_bytes())
        set_evaluation(state.nets, state.framework.batchnorm_mode)
        state.nets.requires_grad_(False)
        return state

    @property
    def snapshots(self) -> list[int]:
        """The images after which the weights were kept, if `training.snapshots` asked for it."""
        return sorted(int(path.name) for path in self.files.snapshots.glob("*") if path.name.isdigit())

    def at(self, images: int) -> Run:
        """The same run as it was after so many images, one of `snapshots`."""
        earlier = Run(self.folder, self.device)
        earlier.weights = self.files.snapshot(images)
        if not earlier.weights.is_dir():
            kept = ", ".join(map(str, self.snapshots)) or "none"
            raise InputError("no weights were kept then", where=str(self.folder), value=images, hint=f"Kept: {kept}.")
        return earlier

    @property
    def channels(self) -> int:
        return self.outcome["channels"]

    @property
    def classes(self) -> int:
        """The number of classes of the training images, 0 without labels."""
        return len(self.outcome.get("classes") or ())

    @property
    def lacks(self) -> dict[Ability, str]:
        """What this framework cannot do, with the reasons."""
        return self.model.framework.lacks

    def sample(self, n: int, seed: int | None = None, label: int | None = None) -> Tensor:
        """n samples [n, C, S, S] in [-1, 1]; the run's own seed unless another is given.

        A conditional framework draws labels as frequent as among training images, unless `label` names one class.
        Raises InputError for a framework that cannot sample, and for an unknown class.
        """
        seed = self.spec.seed_of("samples") if seed is None else seed
        labels = self._labels(n, seed, label)
        self._require("sample", labels)
        return self._over(self.model.sample, prior_latents(seed, n, self.model.latent), labels)

    def _labels(self, n: int, seed: int, label: int | None) -> Tensor | None:
        if not self.model.framework.conditional:
            if label is not None:
                hint = "Leave the class out."
                raise InputError("not a conditional framework", where="class", value=self.spec.framework, hint=hint)
            return None
        if label is None:
            return prior_labels(seed, n, self.outcome["classes"])
        if not 0 <= label < self.classes:
            raise InputError("no such class", where="class", value=label, hint=f"Classes: 0 to {self.classes - 1}.")
        return torch.full((n,), label)

    def decode(self, latents: Tensor, labels: Tensor | None = None) -> Tensor:
        """Images [B, C, S, S] in [-1, 1] from codes [B, D]; raises InputError without a decoder, and for a conditional
        framework without labels.
        """
        self._require("decode", labels)
        return self._over(self.model.decode, latents, labels)

    def encode(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        """Codes [B, D] of images [B, C, S, S], floats in [-1, 1] or pixels as they are stored.

        Raises InputError for images of another shape, for a framework without an encoder, and for a conditional one
        without labels.
        """
        self._require("encode", labels)
        return self._over(self.model.encode, self._checked(images), labels)

    def reconstruct(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        """Reconstructions of images [B, C, S, S]; raises InputError as `encode` does."""
        self._require("reconstruct", labels)
        return self._over(self.model.reconstruct, self._checked(images), labels)

    def _require(self, ability: Ability, labels: Tensor | None) -> None:
        """Raise InputError, with the reason, for what this framework cannot do, or not without labels."""
        reason = self.lacks.get(ability)
        if reason is None and self.model.framework.conditional and labels is None:
            reason = NEEDS_LABELS
        if reason is not None:
            raise InputError(
                f"this framework cannot {ability} ({reason})", where=str(self.folder), value=self.spec.framework
            )

    def _checked(self, images: Tensor) -> Tensor:
        expected = (self.channels, self.spec.data.size, self.spec.data.size)
        if tuple(images.shape[1:]) != expected:
            raise InputError(f"images must be [B, {', '.join(map(str, expected))}]", value=list(images.shape))
        return images if images.is_floating_point() else scale(images)

    def _over(
        self, function: Callable[[Tensor, Tensor | None], Tensor], inputs: Tensor, labels: Tensor | None
    ) -> Tensor:
        """`function` of inputs and labels, in batches of one size, on the CPU."""
        if labels is None:
            return in_batches(lambda part: function(part, None), inputs)
        return in_batches(lambda rows: function(inputs[rows], labels[rows]), torch.arange(len(inputs)))

    def posterior(self, images: Tensor, labels: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Mean and log variance [B, D] of q(z|x) of images [B, C, S, S] in [-1, 1], as one batch."""
        mean, log_variance = self.model.posterior(images, labels)
        return mean.cpu(), log_variance.cpu()

    def discriminator_features(self, images: Tensor) -> Tensor:
        """Dis_l features [B, F] of images [B, C, S, S] in [-1, 1], as one batch."""
        return self.model.discriminator_features(images).cpu()

    def render(self, latents: Tensor) -> Tensor:
        """Images [B, C, S, S] of codes [B, D] as one batch, differentiable in the codes."""
        return self.model.decode(latents).cpu()

    def log(self) -> pandas.DataFrame:
        """What was logged, one row per interval: images, every term, loss and gradient norm, seconds, memory."""
        import pandas

        lines = store.read_lines(self.files.log_jsonl)
        if not lines:  # a run that diverged at its first step
            return pandas.DataFrame(columns=["images"])
        log = pandas.json_normalize(lines)
        timing = pandas.DataFrame(store.read_lines(self.files.timing_jsonl))
        return log.merge(timing, on="images", how="left")

    def scores(self) -> pandas.DataFrame:
        """The run's scores, one row per metric."""
        import pandas

        return pandas.DataFrame(store.read_lines(self.files.scores_jsonl))
