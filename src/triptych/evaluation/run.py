"""A run on disk, opened: its specification, its networks, its log and scores, and what it can make.

run = triptych.open_run("results/runs/vaegan-s0-1a2b3c4d")
run.sample(64)                # [64, C, S, S] in [-1, 1]
run.reconstruct(images)       # the same shape
run.networks["dec"]           # a torch.nn.Module
run.log()                     # a DataFrame
"""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import Tensor, nn

from triptych import store
from triptych.data.dataset import scale
from triptych.directory import RunDirectory
from triptych.errors import InputError
from triptych.evaluation.features import in_batches
from triptych.evaluation.observations import prior_latents
from triptych.training.state import initial, load_weights, set_evaluation

if TYPE_CHECKING:
    import pandas


class Run:
    """A finished or diverged run. `networks` are in evaluation mode and ask for no gradient."""

    def __init__(self, folder: Path | str, device: str = "cpu") -> None:
        """Raises InputError when there is no run in `folder`, or one that has not come to its end."""
        self.folder, self.device = Path(folder), device
        self.files = RunDirectory(folder)
        self.weights = self.files.weights
        self.spec = self.files.load_spec()
        if not self.files.outcome_json.exists():
            raise InputError(
                "this run has not come to its end",
                where=str(self.folder),
                mend="Run its study again to go on.",
            )
        self.outcome: dict[str, Any] = store.read_json(self.files.outcome_json)

    def __repr__(self) -> str:
        return f"Run({str(self.folder)!r})"

    @cached_property
    def networks(self) -> nn.ModuleDict:
        """The trained networks that this framework has, by name: "enc", "dec", "dis"."""
        state = initial(self.spec, self.channels, self.device)
        nets = state.nets
        for name, network in nets.items():
            load_weights(network, (self.weights / f"{name}.safetensors").read_bytes())
        set_evaluation(nets, state.framework.statistics)
        return nets.requires_grad_(False)

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
            raise InputError("no weights were kept then", where=str(self.folder), value=images, mend=f"Kept: {kept}.")
        return earlier

    @property
    def channels(self) -> int:
        return self.outcome["channels"]

    @property
    def has_encoder(self) -> bool:
        return "enc" in self.outcome["parameters"]

    def sample(self, n: int, seed: int | None = None) -> Tensor:
        """n samples [n, C, S, S] in [-1, 1]; the run's own seed unless another is given."""
        return self.decode(prior_latents(self.spec.seed if seed is None else seed, n, self.spec.network.latent))

    def decode(self, latents: Tensor) -> Tensor:
        """Images [B, C, S, S] in [-1, 1] from latents [B, L]."""
        return in_batches(lambda part: self.networks["dec"](part.to(self.device)), latents)

    def encode(self, images: Tensor) -> Tensor:
        """Codes [B, L], the mean of q(z|x), of images [B, C, S, S], floats in [-1, 1] or pixels as they are stored.

        Raises InputError for images of another shape, and without an encoder.
        """
        if not self.has_encoder:
            raise InputError("this framework has no encoder", where=str(self.folder), value=self.spec.framework)
        wanted = (self.channels, self.spec.data.size, self.spec.data.size)
        if tuple(images.shape[1:]) != wanted:
            raise InputError(f"images must be [B, {', '.join(map(str, wanted))}]", value=list(images.shape))
        if not images.is_floating_point():
            images = scale(images)
        return in_batches(lambda part: self.networks["enc"](part.to(self.device))[0], images)

    def posterior(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log variance [B, L] of q(z|x) of images [B, C, S, S] in [-1, 1], as one batch."""
        mean, log_variance = self.networks["enc"](images.to(self.device))
        return mean.cpu(), log_variance.cpu()

    def dis_l(self, images: Tensor) -> Tensor:
        """Dis_l features [B, F] of images [B, C, S, S] in [-1, 1], as one batch."""
        return self.networks["dis"](images.to(self.device))[1].cpu()

    def render(self, latents: Tensor) -> Tensor:
        """Images [B, C, S, S] of latents [B, L] as one batch, differentiable in the latents."""
        return self.networks["dec"](latents.to(self.device)).cpu()

    def reconstruct(self, images: Tensor) -> Tensor:
        """The images of the codes of images [B, C, S, S]; raises InputError without an encoder."""
        return self.decode(self.encode(images))

    def log(self) -> pandas.DataFrame:
        """What was logged, a row per interval: images, every term, loss and gradient norm, seconds, memory."""
        import pandas

        lines = store.read_lines(self.files.log_jsonl)
        if not lines:  # a run that diverged at its first step
            return pandas.DataFrame(columns=["images"])
        log = pandas.json_normalize(lines)
        timing = pandas.DataFrame(store.read_lines(self.files.timing_jsonl))
        return log.merge(timing, on="images", how="left")

    def scores(self) -> pandas.DataFrame:
        """The run's scores, a row per metric."""
        import pandas

        return pandas.DataFrame(store.read_lines(self.files.scores_jsonl))
