"""What a run needs to go on after a pause or a crash: trained tensors and optimizer state, in a safetensors file.

One is written after every epoch and at every pause. Randomness needs no file of its own: every epoch seeds itself from
the study's seed, the run and its number.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from shutil import rmtree

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor, nn

from frostline.core.errors import ModelError, StudyError
from frostline.core.files import write_atomically
from frostline.plan.apply import frozen_tensors
from frostline.plan.delta import load_delta, read_delta, save_delta
from frostline.plan.network import LinearHead
from frostline.train.optim import optimizer_tensors, restore_optimizer


def trained_tensors(module: nn.Module) -> dict[str, Tensor]:
    """Everything that training may change: parameters that train and buffers outside frozen modules."""
    # By identity: a frozen weight that is tied stands in the state under a second name.
    frozen = set(map(id, frozen_tensors(module).values()))
    return {n: tensor.detach() for n, tensor in module.state_dict(keep_vars=True).items() if id(tensor) not in frozen}


def load_trained(module: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """Copy saved tensors into the module, by name."""
    own = module.state_dict()
    with torch.no_grad():
        for name, tensor in tensors.items():
            own[name].copy_(tensor)


class Checkpoints:
    """The checkpoint files of one run."""

    def __init__(self, folder: Path, run: str) -> None:
        self.run = run
        self._folder = folder / run

    def path(self, epoch: int) -> Path:
        return self._folder / f"epoch-{epoch}.safetensors"

    def path_within(self, updates: int) -> Path:
        """Of a run that was paused within an epoch."""
        return self._folder / f"update-{updates}.safetensors"

    def save(self, path: Path, module: nn.Module, optimizer: torch.optim.Optimizer) -> None:
        names = {id(parameter): name for name, parameter in module.named_parameters()}
        tensors = {f"model|{name}": tensor for name, tensor in trained_tensors(module).items()}
        tensors |= {f"optimizer|{name}": t for name, t in optimizer_tensors(optimizer, names).items()}
        # Clones, since safetensors refuses tensors that share memory (tied weights).
        ready = {name: tensor.detach().cpu().clone().contiguous() for name, tensor in tensors.items()}
        write_atomically(path, lambda file: file.write(save(ready)))

    def load(self, path: Path, module: nn.Module, optimizer: torch.optim.Optimizer | None = None) -> None:
        """Restore the module, and the optimizer when one is given.

        Raises:
            StudyError: The file is missing or torn.
        """
        try:
            tensors = load_file(path)
        except (OSError, SafetensorError) as error:
            raise StudyError(
                f"The checkpoint {path} cannot be read ({error}). "
                "Start the study again in a new folder: this run cannot be continued."
            ) from error
        load_trained(module, _part(tensors, "model|"))
        if optimizer is not None:
            names = {id(parameter): name for name, parameter in module.named_parameters()}
            restore_optimizer(optimizer, _part(tensors, "optimizer|"), names)

    def keep_only(self, *wanted: Path) -> None:
        """Delete the other files."""
        for path in self._folder.glob("*.safetensors"):
            if path not in wanted:
                path.unlink()


def delete_checkpoints(folder: Path, runs: Iterable[str]) -> None:
    """Delete what only serves to continue runs: the study is finished."""
    for run in runs:
        rmtree(folder / run, ignore_errors=True)


def _part(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): t for name, t in tensors.items() if name.startswith(prefix)}


def save_chosen(path: Path, module: nn.Module) -> None:
    """Write what training changed, as a delta bound to the frozen part."""
    save_delta(module, path)


def head_in(path: Path) -> LinearHead:
    """The head of a chosen network that ends early.

    Raises:
        StudyError: The file is missing or torn, or holds none.
    """
    try:
        tensors = load_file(path)
        return LinearHead(tensors["head.weight"], tensors["head.bias"])
    except (OSError, SafetensorError, KeyError) as error:
        raise StudyError(f"The head in {path} cannot be read ({error}). Run the study again.") from error


def load_chosen_weights(path: Path, module: nn.Module) -> None:
    """Put trained tensors into a freshly loaded base model that is frozen by the same plan.

    Raises:
        StudyError: The file is missing or torn, or belongs to another base model or another plan.
    """
    try:
        delta, own = read_delta(path), trained_tensors(module).keys()
        if own & delta.frozen.keys() or not delta.trained.keys() <= own:
            raise ModelError(f"{path} belongs to another base model or plan than the study's: other parts are frozen.")
        load_delta(module, path)
    except ModelError as error:
        raise StudyError(f"{error} If that base model is gone, run the study again.") from error
