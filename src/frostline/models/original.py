"""The pretrained network with the head it came with: what the old task is asked of.

A head is original when it is stored: in the folder, in the weights file, or inside what a factory returns whatever
it is asked for. A head that would be drawn at random is refused.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from frostline.core.errors import ModelError
from frostline.models.sources import Kind, load_model
from frostline.models.task_model import PooledClassifier, TaskModel, last_linear


def load_original(
    model: str,
    *,
    kind: Kind,
    weights: Path | None = None,
    image_size: int | None = None,
    features: int | None = None,
    seed: int = 0,
) -> TaskModel:
    """Load a model as it was pretrained, its own head included.

    Args:
        model: A folder that `save_pretrained` wrote, or `package.module:function`.
        kind: What the data of the old task are.
        weights: Safetensors file for a factory's network; its head decides the number of classes.
        image_size: Edge in pixels to which images are resized; by default what the model says, else their own.
        features: Number of columns of a table; None for other data.
        seed: Of whatever a factory draws at random.

    Returns:
        A model whose `classes` are those of the original head. `head` is None: it is trained, and kept.

    Raises:
        ModelError: The model cannot be loaded, or has no original head.
    """
    folder = Path(model).is_dir()
    if ":" in model and not folder:
        return _from_factory(model, kind, weights, image_size, features, seed)
    classes = _classes_of_folder(model) if folder else 2
    loaded = load_model(model, kind=kind, classes=classes, weights=weights, image_size=image_size, seed=seed)
    if isinstance(loaded.module, PooledClassifier):
        raise _no_original_head(model, "the folder holds no classifier", "Give a folder that holds one")
    return replace(loaded, head=None, original=True)


def output_labels(original: TaskModel) -> tuple[str, ...] | None:
    """What the outputs of the original head are called; None when nobody named them.

    Only folders name them, in `id2label`; the names that transformers makes up (`LABEL_0`) are none.
    """
    named = getattr(getattr(original.module, "config", None), "id2label", None)
    if not isinstance(named, dict) or sorted(named) != list(range(original.classes)):
        return None
    labels = tuple(str(named[number]) for number in range(original.classes))
    made_up = all(label == f"LABEL_{number}" for number, label in enumerate(labels))
    return None if made_up else labels


def with_backbone_of(original: TaskModel, tuned: nn.Module, tuned_head: nn.Linear | None) -> None:
    """Put a fine-tuned backbone under the original head, in place.

    Parameters and buffers are copied by name, all but those of the last linear layer. Buffers that no weights file
    would hold are copied where they match and passed over where they do not.

    Args:
        original: From `load_original`.
        tuned: The fine-tuned network, of the same architecture. Left as it is.
        tuned_head: Its head for the new task; None when it kept the original one, which then has the same name.

    Raises:
        ModelError: Some tensor outside the heads has no partner of the same name and shape. Nothing is copied then.
    """
    own, others = _tensors(original.module), _tensors(tuned)
    head = _names_of(own, last_linear(original.module, original.classes))
    if not head:
        raise ModelError(f"{original.source} does not end in a linear layer of {original.classes} outputs.")
    new_head = _names_of(others, tuned_head) or head
    backbone = {name: tensor for name, tensor in own.items() if name not in head}
    changed = {name: tensor for name, tensor in others.items() if name not in new_head}
    shared = [name for name in backbone if name in changed and backbone[name].shape == changed[name].shape]
    stored = original.module.state_dict().keys() | tuned.state_dict().keys()
    alone = sorted((backbone.keys() | changed.keys()) & stored - set(shared))
    if alone or not shared:
        which = f"{alone[0]!r} stands in one of them only, or in another shape" if shared else "no tensor matches"
        raise ModelError(
            f"The fine-tuned backbone does not fit under the original head of {original.source}: {which}. "
            "The old task cannot be measured with this model; leave out --old-data."
        )
    with torch.no_grad():
        for name in shared:
            backbone[name].copy_(changed[name])


def _classes_of_folder(model: str) -> int:
    try:
        from transformers import AutoConfig

        return len(AutoConfig.from_pretrained(model, local_files_only=True).id2label)
    except Exception:  # whatever is wrong with the model: loading it says so in a sentence
        return 2


def _from_factory(
    model: str, kind: Kind, weights: Path | None, image_size: int | None, features: int | None, seed: int
) -> TaskModel:
    def built(classes: int, seed: int, weights: Path | None = None) -> TaskModel:
        return load_model(
            model, kind=kind, classes=classes, weights=weights, image_size=image_size, features=features, seed=seed
        )

    first = built(2, seed)
    name, head = _last_linear(first.module, model)
    if weights is None:
        _, other = _last_linear(built(3, seed + 1).module, model)
        if not torch.equal(head.weight, other.weight):
            raise _no_original_head(model, "it makes its head anew", "Give the file that holds it with --weights")
        return replace(first, classes=head.out_features, head=None, original=True)
    stored = _stored_shape(weights, f"{name}.weight")
    loaded = built(stored[0] if stored else 2, seed, weights)
    if stored is None or loaded.head is None or tuple(loaded.head.weight.shape) != stored:
        raise _no_original_head(model, f"the {name} of {weights} does not fit it", "Give the weights of this network")
    return replace(loaded, head=None, original=True)


def _last_linear(module: nn.Module, model: str) -> tuple[str, nn.Linear]:
    linears = [(name, part) for name, part in module.named_modules() if isinstance(part, nn.Linear)]
    if not linears:
        raise _no_original_head(model, "it has no linear layer", "Give a network that ends in one")
    return linears[-1]


def _stored_shape(weights: Path, name: str) -> tuple[int, ...] | None:
    try:
        with safe_open(weights, framework="pt") as file:
            return tuple(file.get_slice(name).get_shape())
    except (OSError, SafetensorError):  # loading the file says what is wrong with it
        return None


def _no_original_head(model: str, reason: str, remedy: str) -> ModelError:
    return ModelError(
        f"{model} has no original head ({reason}), so the old task cannot be measured. "
        f"{remedy}, or leave out --old-data."
    )


def _tensors(module: nn.Module) -> dict[str, Tensor]:
    """Parameters and buffers by name, tied ones under each of their names."""
    named = dict[str, Tensor](module.named_parameters(remove_duplicate=False))
    return named | dict(module.named_buffers(remove_duplicate=False))


def _names_of(tensors: dict[str, Tensor], head: nn.Linear | None) -> set[str]:
    held = set() if head is None else {id(parameter) for parameter in head.parameters()}
    return {name for name, tensor in tensors.items() if id(tensor) in held}
