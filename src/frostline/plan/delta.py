"""Delta checkpoints: only what training may change, bound to the base model it was trained on.

The frozen part is not written but hashed, tensor by tensor, so loading onto another base model is refused
with the name of the tensor that differs. Everything is checked before the first tensor is copied.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from frostline.core.errors import ModelError
from frostline.core.files import write_atomically
from frostline.plan.apply import frozen_tensors
from frostline.plan.proof import joint_sha256, tensor_sha256
from frostline.plan.wrapped import unwrapped

FORMAT = "frostline.delta/1"


@dataclass(frozen=True, slots=True)
class Delta:
    """What the header of a delta says."""

    base: str | None
    """The base model in words, as it was given to `save_delta`."""
    frozen: Mapping[str, str]
    """Hash of every frozen tensor by name: the plan, and what the base model must hold."""
    trained: Mapping[str, str]
    """Hash of every tensor in the file by name; hashes cover shape, type and bytes."""

    @property
    def frozen_sha256(self) -> str:
        """One hash for the whole frozen part."""
        return joint_sha256(self.frozen)


def save_delta(model: nn.Module, path: str | Path, *, base: str | None = None) -> Path:
    """Write what training may change: parameters that train and all buffers outside inert modules.

    A head that trains is among them. One that is new *and* frozen is not: it would be looked for in the base.
    Buffers that a model does not keep in its state are left out; tied weights are written once.

    Args:
        model: A model frozen by `frostline.freeze`, also inside a compiled or data-parallel wrapper.
        path: File to write, in safetensors format.
        base: What the base model is, for people: a folder or a name. It is told when another base is met.

    Returns:
        The path. It is written whole or not at all.

    Raises:
        ModelError: A tensor is sharded over several processes.

    >>> import tempfile
    >>> from frostline.plan.apply import freeze
    >>> net = freeze(nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 1)), "0")
    >>> path = save_delta(net, Path(tempfile.mkdtemp()) / "delta.safetensors")
    >>> _ = nn.init.zeros_(net[1].weight)
    >>> delta = load_delta(net, path)
    >>> sorted(delta.trained), bool(net[1].weight.any())
    (['1.bias', '1.weight'], True)
    """
    state = _state(model)
    frozen = set(map(id, frozen_tensors(unwrapped(model)).values()))
    # Clones, since safetensors refuses tensors that share memory (views of one buffer).
    ready = {n: t.detach().cpu().clone().contiguous() for n, t in state.items() if id(t) not in frozen}
    delta = Delta(
        base=base,
        frozen={name: tensor_sha256(tensor) for name, tensor in state.items() if id(tensor) in frozen},
        trained={name: tensor_sha256(tensor) for name, tensor in ready.items()},
    )
    about = {
        "format": FORMAT,
        "base": json.dumps(delta.base),
        "frozen": json.dumps(delta.frozen),
        "frozen_sha256": delta.frozen_sha256,
        "trained": json.dumps(delta.trained),
    }
    write_atomically(Path(path), lambda file: file.write(save(ready, metadata=about)))
    return Path(path)


def load_delta(model: nn.Module, path: str | Path) -> Delta:
    """Put trained tensors back into the base model they were trained on, in place, bit for bit.

    The model need not be frozen; `frostline.freeze(model, delta.frozen.__contains__)` freezes it as it was.

    Args:
        model: The base model, freshly loaded, with a head of the right shape.
        path: What `save_delta` wrote.

    Returns:
        What the file's header says.

    Raises:
        ModelError: The file cannot be read or is torn, or the model is not the base it was trained on: a tensor is
            missing, too many, of another shape or type, or a frozen one holds other values. Nothing was copied.
    """
    delta, tensors = _read(Path(path))
    state = _state(model)
    _check_names(Path(path), delta, state)
    for name, tensor in tensors.items():
        _check_kind(Path(path), name, tensor, state[name])
    for name, expected in delta.frozen.items():
        if tensor_sha256(state[name]) != expected:
            trained_on = f" ({delta.base})" if delta.base else ""
            raise ModelError(
                f"{path} belongs to another base model{trained_on}: the frozen tensor {name!r} holds other values, "
                "another shape or another type here. Load the base model it was trained on first."
            )
    with torch.no_grad():
        for name, tensor in tensors.items():
            state[name].copy_(tensor)
    return delta


def _state(model: nn.Module) -> dict[str, Tensor]:
    """Parameters and kept buffers under the first of their names: tied ones once."""
    seen: set[int] = set()
    state = {}
    for name, tensor in unwrapped(model).state_dict(keep_vars=True).items():
        if hasattr(tensor, "full_tensor"):
            raise ModelError(
                f"The tensor {name!r} is sharded over several processes, so a delta would hold a part of it. "
                "Load the gathered state into an unsharded model and use that one."
            )
        if isinstance(tensor, Tensor) and id(tensor) not in seen:
            seen.add(id(tensor))
            state[name] = tensor
    return state


def read_delta(path: str | Path) -> Delta:
    """What a delta is, without a model and without reading its tensors.

    Raises:
        ModelError: The file cannot be read, is torn, or is no delta.
    """
    with _opened(Path(path)) as file:
        return _header(Path(path), file.metadata() or {})


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    try:
        with safe_open(path, framework="pt") as file:
            yield file
    except (OSError, SafetensorError) as error:
        raise ModelError(f"The delta {path} cannot be read ({error}). Save it again with `save_delta`.") from error


def _header(path: Path, about: Mapping[str, str]) -> Delta:
    try:
        if about["format"] == FORMAT:
            return Delta(json.loads(about["base"]), json.loads(about["frozen"]), json.loads(about["trained"]))
        found = f"its format is {about['format']!r}, not {FORMAT!r}"
    except (KeyError, ValueError):
        found = "its header does not say what it was trained on"
    raise ModelError(f"{path} is no delta of this version: {found}. Use a file that `save_delta` wrote.")


def _read(path: Path) -> tuple[Delta, dict[str, Tensor]]:
    with _opened(path) as file:
        delta = _header(path, file.metadata() or {})
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118, it is no mapping
    for name in sorted(tensors.keys() | delta.trained.keys()):
        if name not in tensors or tensor_sha256(tensors[name]) != delta.trained.get(name):
            raise ModelError(f"{path} is damaged: its tensor {name!r} is not what was written. Take an intact copy.")
    return delta, tensors


def _check_names(path: Path, delta: Delta, state: Mapping[str, Tensor]) -> None:
    expected = {*delta.frozen, *delta.trained}
    for name in sorted(expected - state.keys()):
        kind = "trained" if name in delta.trained else "frozen"
        near = get_close_matches(name, state, n=1)
        raise ModelError(
            f"{path} belongs to another base model: the model has no tensor {name!r}, which was {kind}. "
            + (f"Its nearest is {near[0]!r}. " if near else "")
            + "Load the base model it was trained on first, with the same head."
        )
    for name in sorted(state.keys() - expected):
        raise ModelError(
            f"{path} belongs to another base model: the model has a tensor {name!r} that the delta does not know. "
            "Load the base model it was trained on first, with the same head."
        )


def _check_kind(path: Path, name: str, tensor: Tensor, own: Tensor) -> None:
    if tensor.shape != own.shape:
        raise ModelError(
            f"{path} holds {name!r} of shape {tuple(tensor.shape)}, but the model's has shape {tuple(own.shape)}. "
            "Build the model with the head and sizes it was trained with."
        )
    if tensor.dtype != own.dtype:
        raise ModelError(
            f"{path} holds {name!r} as {tensor.dtype}, but the model's is {own.dtype}. "
            "Cast that part of the model first; the frozen part keeps the type it had in training."
        )
