"""Models from a Python function that the user names, with optional safetensors weights.

The function takes `num_classes` (when it has such a parameter) and returns an `nn.Module`.
Images: the module takes float32 RGB in [0, 1] of shape (B, 3, H, W) and returns logits (B, C);
normalisation belongs in the module. Texts: the module takes token numbers (B, T) and a mask (B, T),
and has a method `tokenize(texts) -> list[list[int]]`. Tables: the module takes float32 (B, F), one number per
feature column as the file has it; standardisation belongs in the module. Where the function has a parameter
`num_features`, it is given F.
"""

from __future__ import annotations

import importlib
import inspect
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional

from frostline.core.errors import ModelError, suggestion
from frostline.models.task_model import TaskModel, last_linear

LEARNING_RATE = 1e-3

_REST = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)


def load_factory(
    name: str,
    *,
    kind: Literal["text", "image", "table"],
    classes: int,
    weights: Path | None = None,
    image_size: int | None = None,
    features: int | None = None,
) -> TaskModel:
    """Call the factory and load its weights. `features` is the number of feature columns of a table."""
    module = _build(name, _find(name), classes, features)
    head = last_linear(module, classes)
    notes = []
    if weights is not None:
        replaced = _load_weights(module, weights)
        notes.append(f"Weights from {weights}" + (f"; the head {replaced} is new." if replaced else "."))
    tokenize = getattr(module, "tokenize", None)
    if kind == "text" and not callable(tokenize):
        raise ModelError(
            f"The data are texts, but what {name} returned has no method tokenize(texts) -> list of token numbers. "
            "Add one, or give a transformers folder."
        )
    return TaskModel(
        module=module,
        kind=kind,
        classes=classes,
        head=head,
        source=f"{type(module).__name__} from {name}",
        learning_rate=LEARNING_RATE,
        notes=tuple(notes),
        tokenize=tokenize if kind == "text" else None,
        pad_id=int(getattr(module, "pad_id", 0)),
        pixels=_pixels(image_size) if kind == "image" else None,
        by_keyword=False,
    )


def _find(name: str) -> Callable[..., Any]:
    module_name, _, function_name = name.partition(":")
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)  # as `python -m` does: the factory usually lives beside the data
    try:
        if not all(part.isidentifier() for part in module_name.split(".")):
            raise ModuleNotFoundError(name=module_name)
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name and not module_name.startswith(error.name):
            raise ModelError(f"--model {name}: importing {module_name} failed, it needs {error.name!r}.") from error
        advice = (
            f"Leave '.py' out: {module_name.removesuffix('.py')}:{function_name}."
            if module_name.endswith(".py")
            else "Run frostline from the folder that holds it, or install it."
        )
        raise ModelError(
            f"--model {name}: there is no Python module {module_name!r} here or in the environment. {advice}"
        ) from error
    except Exception as error:
        raise ModelError(
            f"--model {name}: importing {module_name} failed with {type(error).__name__}: {error}. Correct that module."
        ) from error
    function = getattr(module, function_name, None)
    if not callable(function):
        known = [n for n, value in vars(module).items() if callable(value) and not n.startswith("_")]
        raise ModelError(
            f"--model {name}: {module_name} has no function {function_name!r}. {suggestion(function_name, known)}"
        )
    return function  # type: ignore[no-any-return]  # callable() narrows to object


def _build(name: str, function: Callable[..., Any], classes: int, features: int | None = None) -> nn.Module:
    parameters = inspect.signature(function).parameters
    known = {"num_classes": classes} | ({} if features is None else {"num_features": features})
    for parameter in parameters.values():
        if parameter.name not in known and parameter.default is parameter.empty and parameter.kind not in _REST:
            if parameter.name == "num_features":
                raise ModelError(
                    f"--model {name} needs 'num_features', the number of feature columns, which only a table of "
                    "numbers gives. Give it such data, or a function that takes num_classes alone."
                )
            besides = "the number of classes" if features is None else "the numbers of classes and features"
            raise ModelError(
                f"--model {name} needs {parameter.name!r} besides {besides}. "
                f"Give a function that takes {' and '.join(known)} alone and calls this one."
            )
    given = {parameter: value for parameter, value in known.items() if parameter in parameters}
    module = _with_features(name, function, given) if "num_features" in given else function(**given)
    if not isinstance(module, nn.Module):
        raise ModelError(f"--model {name} returned {type(module).__name__}, not a torch.nn.Module.")
    return module


def _with_features(name: str, function: Callable[..., Any], given: Mapping[str, int]) -> Any:
    try:
        return function(**given)
    except Exception as error:
        raise ModelError(
            f"--model {name} failed when it was asked for a network of {given['num_features']} features, as many as "
            f"the data have number columns ({type(error).__name__}: {error}). Correct the function, or give it data "
            "with the columns it is made for."
        ) from error


def _load_weights(module: nn.Module, path: Path) -> str:
    """Load every tensor; only a last layer of another size may stay new. Returns its name, or ''."""
    if not path.is_file():
        raise ModelError(f"--weights {path} is no file. Check the path; it is read from the current folder.")
    try:
        state = load_file(path)
    except (OSError, SafetensorError) as error:
        raise ModelError(
            f"--weights {path} cannot be read as safetensors ({error}). Save the state_dict with "
            "safetensors.torch.save_file; a file of torch.save can run code when read, so load it only where you "
            "trust it."
        ) from error
    own = module.state_dict()
    misshapen = [n for n, tensor in state.items() if n in own and own[n].shape != tensor.shape]
    heads = {n.rpartition(".")[0] for n in misshapen}
    last = list(own)[-1].rpartition(".")[0] if own else ""
    missing, extra = sorted(set(own) - set(state)), sorted(set(state) - set(own))
    if missing or extra or heads - {last}:
        wrong = (
            [f"the model's {name!r} is not in it" for name in missing]
            + [f"its {name!r} is not in the model" for name in extra]
            + [f"{n!r} is {tuple(state[n].shape)} in it and {tuple(own[n].shape)} in the model" for n in misshapen]
        )
        raise ModelError(f"--weights {path} does not fit the model: {wrong[0]}. Give the weights of this very network.")
    module.load_state_dict({n: t for n, t in state.items() if n not in misshapen}, strict=False)
    return last if misshapen else ""


def _pixels(image_size: int | None) -> Callable[[NDArray[np.uint8]], Tensor]:
    def pixels(image_HW3: NDArray[np.uint8]) -> Tensor:
        image_3HW = torch.from_numpy(image_HW3.copy()).permute(2, 0, 1).to(torch.float32) / 255
        if image_size is None or image_3HW.shape[1:] == (image_size, image_size):
            return image_3HW
        resized = functional.interpolate(
            image_3HW[None], size=(image_size, image_size), mode="bilinear", antialias=True, align_corners=False
        )
        return resized[0]

    return pixels


def takes_text(name: str) -> bool:
    """Whether what the factory returns has a tokenizer of its own."""
    return callable(getattr(_build(name, _find(name), 2), "tokenize", None))
