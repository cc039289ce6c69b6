"""Where to cut a network between what is frozen and what trains, so that little is stored: two ways and the plain one.

- modules: what the largest frozen modules give, as far as the result depends on it;
- (a) slices: of each such tensor only index 0 or -1 of a dimension, when the result is the same with all else replaced
  by NaN, then by random numbers; pooling: with modules without parameters counted as frozen, too;
- (b) `torch.export`, then the tensors that are cheapest in bytes between frozen and trained operations (maximum flow).
  What frozen parameters take part in is computed once; the network's own inputs cost nothing.

The result is the logits or, without any, the whole output. Whether it is the same is always asked bitwise.

    python benchmarks/cut.py

Shape letters: B examples, T tokens, D features, C classes.
"""

from __future__ import annotations

import logging
import platform
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from importlib.metadata import version
from itertools import count
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

import networkx
import torch
import transformers as hf
from torch import Tensor, fx, nn
from torch.nn.modules.dropout import _DropoutNd
from torch.utils._pytree import tree_flatten, tree_leaves, tree_map, tree_unflatten

from frostline.demos.spam import minilm
from frostline.models.task_model import PooledClassifier, mean_pool
from frostline.plan.apply import freeze
from frostline.plan.blocks import Example, blocks, call, tensors_in

Place = tuple[int, int]
"""Number of a call of a frozen module, and of a tensor in what it gave."""
Slice = tuple[int, int] | None
"""A dimension and an index in it; None when there is none that is enough."""
HEAVY = ("scaled_dot_product", "matmul", "bmm", "einsum", "fft")
"""Operations that are not repeated at each replay, although no parameter takes part."""


class Result(nn.Module):
    """A network with one argument, the example, and nothing but its logits as output."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, example: Example) -> list[Tensor]:
        output = call(self.net, example)
        return [output.logits] if hasattr(output, "logits") else list(tensors_in(output))


def same(some: Any, others: Any) -> bool:
    return all(torch.equal(one, other) for one, other in zip(tree_leaves(some), tree_leaves(others), strict=True))


def bytes_of(tensor: Tensor) -> int:
    return tensor.numel() * tensor.element_size()


# ---------------------------------------------------------------- modules, and (a): slices


class Memo:
    """Calls of the largest frozen modules, recorded in one pass; later passes are given the records instead."""

    def __init__(self, net: nn.Module, example: Example, *, pooling: bool) -> None:
        self.net, self.example, self.batch = Result(net), example, len(next(tensors_in(example)))
        self.modules = list(frozen_modules(net, pooling=pooling))
        self.calls: list[tuple[list[Any], Any] | None] = []
        self.result = self.run(None)
        leaves = (((n, m), leaf) for n, made in enumerate(self.calls) if made for m, leaf in enumerate(made[0]))
        self.tensors = {place: leaf for place, leaf in leaves if torch.is_tensor(leaf)}

    def run(self, changed: Mapping[Place, Tensor] | None) -> list[Tensor]:
        """Record (None), or replay with some tensors changed."""
        numbers = count()

        def forward(own: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
            n = next(numbers)
            if changed is not None and (made := self.calls[n]):
                return tree_unflatten([copied(changed.get((n, m), leaf)) for m, leaf in enumerate(made[0])], made[1])
            output = own(*args, **kwargs)
            if changed is None:
                leaves, structure = tree_flatten(output)
                trains = any(tensor.requires_grad for tensor in tensors_in((args, kwargs)))
                self.calls.append(None if trains else ([copied(leaf) for leaf in leaves], structure))
            return output

        try:
            for module in self.modules:
                module.__dict__["forward"] = partial(forward, module.forward)
            return [tensor.detach() for tensor in self.net(self.example)]
        finally:
            for module in self.modules:
                del module.__dict__["forward"]

    def only_needs(self, place: Place, kept: Slice) -> bool:
        """Whether the result is the same when everything outside the slice (None: everything) is replaced."""
        tensor = self.tensors[place]
        with suppress(Exception):  # an exception means that the numbers are looked at
            fills = torch.full_like(tensor, torch.nan), torch.randn_like(tensor)  # raises for integers: always needed
            return all(same(self.run({place: outside(tensor, kept, fill)}), self.result) for fill in fills)
        return False

    def needed(self, *, slices: bool) -> dict[Place, Slice]:
        """What must be stored: tensors that the result depends on, and which slice of each is enough."""
        needed: dict[Place, Slice] = {place: None for place in self.tensors if not self.only_needs(place, None)}
        for place in needed if slices else ():
            shape = list(self.tensors[place].shape)
            if self.batch not in shape:
                continue
            batch = shape.index(self.batch)
            longest_first = sorted(range(len(shape)), key=lambda d: -shape[d])
            tries = ((d, i) for d in longest_first for i in (0, -1) if d != batch and shape[d] > 1)
            needed[place] = next((kept for kept in tries if self.only_needs(place, kept)), None)
        return needed

    def stored_bytes(self, needed: Mapping[Place, Slice]) -> int:
        """Per example."""
        kept = (self.tensors[place].select(*s) if s else self.tensors[place] for place, s in needed.items())
        return sum(map(bytes_of, kept)) // self.batch

    def holds(self, needed: Mapping[Place, Slice]) -> bool:
        """Whether the result is the same with nothing but what is stored."""
        partly = {place: t for place, t in self.tensors.items() if place not in needed or needed[place] is not None}
        changed = {place: outside(t, needed.get(place), torch.zeros_like(t)) for place, t in partly.items()}
        return same(self.run(changed), self.result)


def copied(leaf: Any) -> Any:
    """For whoever works in place."""
    return leaf.clone() if torch.is_tensor(leaf) else leaf


def outside(tensor: Tensor, kept: Slice, fill: Tensor) -> Tensor:
    """The fill, with the tensor's own numbers in the slice that is kept."""
    if kept is not None:
        fill.select(*kept).copy_(tensor.select(*kept))
    return fill


def frozen_modules(module: nn.Module, *, pooling: bool) -> Iterator[nn.Module]:
    """The largest modules without a trained parameter. Dropout is random in training, and lists are never called."""
    parameters = list(module.parameters())
    if any(parameter.requires_grad for parameter in parameters) or isinstance(module, nn.ModuleList | nn.ModuleDict):
        for child in module.children():
            yield from frozen_modules(child, pooling=pooling)
    elif parameters or (pooling and not isinstance(module, _DropoutNd)):
        yield module


# ---------------------------------------------------------------- (b): graph and minimum cut


def exported(net: nn.Module, example: Example, *, dynamic: bool = False) -> fx.GraphModule:
    """The network as a graph of ATen operations over its own parameters."""

    def free(tensor: Tensor) -> dict[int, Any]:  # of images the batch, of token numbers the length, too
        return dict.fromkeys(range(1 if tensor.is_floating_point() else 2), torch.export.Dim.AUTO)

    shapes = (tree_map(free, example),) if dynamic else None
    program = torch.export.export(Result(net), (example,), strict=False, dynamic_shapes=shapes)
    return program.module(check_guards=False)


def cheapest_cut(module: fx.GraphModule, batch: int) -> tuple[list[fx.Node], int]:
    """Nodes whose outputs are stored, the latest of the cheapest sets, and their bytes per example."""
    parameters = dict(module.named_parameters())
    trained: set[fx.Node] = set()
    varying: set[fx.Node] = set()  # with the example
    fixed: set[fx.Node] = set()  # parameters, and what is computed from them alone
    flow = networkx.DiGraph()
    for node in module.graph.nodes:
        sources = node.all_input_nodes
        parameter = parameters.get(node.target) if node.op == "get_attr" else None
        into: Any = (node, "in")
        if trained.intersection(sources) or (parameter is not None and parameter.requires_grad) or node.op == "output":
            trained.add(node)
            into = "trained"
        elif node.op == "placeholder":
            varying.add(node)
        elif varying.intersection(sources):
            varying.add(node)
            value = node.meta.get("val")
            # An edge without a capacity is unlimited: what has no row for each example cannot be cut.
            rows = isinstance(value, Tensor) and any(size % batch == 0 for size in value.shape[:2])
            flow.add_edge(into, (node, "out"), **({"capacity": bytes_of(value)} if rows else {}))
            if fixed.intersection(sources) or any(name in str(node.target) for name in HEAVY):
                flow.add_edge("frozen", into)
        elif parameter is not None or fixed.intersection(sources):
            fixed.add(node)
        flow.add_edges_from(((s, "out"), into) for s in varying.intersection(sources) if s.op != "placeholder")
    total, (late, early) = networkx.minimum_cut(flow.reverse(), "trained", "frozen")
    return [node for node in varying if (node, "out") in late and (node, "in") in early], total // batch


def part(module: fx.GraphModule, inputs: list[fx.Node], outputs: list[fx.Node]) -> fx.GraphModule:
    """The graph between these nodes."""
    graph, needed = fx.Graph(), set(outputs)
    copies = {node: graph.placeholder(node.name) for node in inputs}
    for node in reversed(module.graph.nodes):
        if node not in copies and needed.intersection(node.users):
            needed.add(node)
    for node in module.graph.nodes:
        if node in needed and node not in copies:
            copies[node] = graph.node_copy(node, copies.__getitem__)
    graph.output([copies[node] for node in outputs])
    return fx.GraphModule(module, graph)


def split_result(module: fx.GraphModule, kept: list[fx.Node], example: Example) -> list[Tensor]:
    """What the part behind the cut gives when it is fed with what the part before it gave."""
    given = [node for node in module.graph.nodes if node.op == "placeholder"]
    *_, last = module.graph.nodes
    stored = part(module, given, kept)(*tree_leaves(example))
    torch.manual_seed(0)
    result: list[Tensor] = part(module, [*given, *kept], last.all_input_nodes)(*tree_leaves(example), *stored)
    return result


# ---------------------------------------------------------------- networks

Case = tuple[nn.Module, Example, Example]
"""A network in evaluation mode, partly frozen; a batch; another with more examples and, in texts, other lengths."""


def case(net: Any, example: Example, other: Example, trained: int = 1) -> Case:
    """The last blocks train, as many as said of those that run; 0 means half of all."""
    if hasattr(net, "config"):
        net.config.use_cache = False  # nothing is generated, and the cache would be part of the result
    found = blocks(net.eval(), example)
    running = 1 + max(n for n, block in enumerate(found) if block.output_bytes)
    net.requires_grad_(False)
    modules = dict(net.named_modules())
    for block in found[running - trained if trained else len(found) // 2 :]:
        (modules[block.path] if block.path in modules else net.get_parameter(block.path)).requires_grad_(True)
    return net, example, other


def tokens(*lengths: int, longest: int = 64) -> dict[str, Tensor]:
    """Token numbers padded on the right with 0, and the mask."""
    mask_BT = (torch.arange(longest) < torch.tensor(lengths)[:, None]).long()
    return {"input_ids": torch.randint(1, 1000, mask_BT.shape) * mask_BT, "attention_mask": mask_BT}


def text(net: nn.Module, trained: int = 1, lengths: tuple[int, int] = (64, 40)) -> Case:
    return case(net, tokens(*lengths), tokens(20, 33, 48, longest=48), trained)


def image(net: nn.Module, trained: int = 1) -> Case:
    two, three = ({"pixel_values": torch.randn(examples, 3, 224, 224)} for examples in (2, 3))
    return case(net, two, three, trained)


def zoo(name: str) -> Case:
    """A network of the tests; twice as many tokens in the other batch, unless its configuration fixes how many."""
    from test_zoo import made

    def more(tensor: Tensor) -> Tensor:
        tensor = torch.cat([tensor, tensor[:1]])
        return tensor if tensor.is_floating_point() or "Nystrom" in name else tensor.repeat(1, 2)

    net, example = made(name)
    return case(net, example, tree_map(more, example))


SPECIAL = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 1, "use_cache": False}
GPT2 = hf.GPT2Config(vocab_size=1000, n_embd=384, n_layer=6, n_head=6, **SPECIAL)
VIT = hf.ViTConfig(hidden_size=192, intermediate_size=768, num_attention_heads=3)  # 12 layers, 197 positions
RESNET = hf.ResNetConfig()  # ResNet-50
BERT, ENCODER = hf.BertForSequenceClassification.from_pretrained, hf.BertModel.from_pretrained


class Pooled(PooledClassifier):
    """Pools by a function in its own forward, or by a module."""

    def __init__(self, backbone: nn.Module, pool: Callable[[Tensor, Tensor], Tensor]) -> None:
        super().__init__(backbone, 384, 2)
        self.pool = pool

    def forward(self, **inputs: Tensor) -> Tensor:
        hidden_BTD = self.backbone(**inputs).last_hidden_state
        logits_BC: Tensor = self.head(self.pool(hidden_BTD, inputs["attention_mask"]))
        return logits_BC


class Pool(nn.Module):
    """A function as a module."""

    def __init__(self, pool: Callable[[Tensor, Tensor], Tensor]) -> None:
        super().__init__()
        self.pool = pool

    def forward(self, hidden_BTD: Tensor, mask_BT: Tensor) -> Tensor:
        return self.pool(hidden_BTD, mask_BT)


def last_token(hidden_BTD: Tensor, mask_BT: Tensor) -> Tensor:
    """The last token that is no padding, before the head. GPT-2 of transformers takes it after the head."""
    return hidden_BTD[torch.arange(len(hidden_BTD)), mask_BT.sum(dim=1) - 1]


class PackedLstm(nn.Module):
    """Packs its sequences if any is padded."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding, self.lstm, self.head = nn.Embedding(1000, 8), nn.LSTM(8, 12, batch_first=True), nn.Linear(12, 2)

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        lengths_B, hidden = attention_mask.sum(dim=1), self.embedding(input_ids)
        if bool((lengths_B < input_ids.shape[1]).any()):
            hidden = nn.utils.rnn.pack_padded_sequence(hidden, lengths_B, batch_first=True, enforce_sorted=False)
        logits_BC: Tensor = self.head(self.lstm(hidden)[1][0][-1])
        return logits_BC


CASES: Mapping[str, Callable[[], Case]] = {
    "BERT, tiny: head": lambda: zoo("BertForSequenceClassification"),
    "MiniLM: head": lambda: text(BERT(minilm())),
    "MiniLM: pooler and head": lambda: text(BERT(minilm()), 2),
    "MiniLM: half of the blocks": lambda: text(BERT(minilm()), 0),
    "MiniLM, PooledClassifier: head": lambda: text(PooledClassifier(ENCODER(minilm()), 384, 2)),
    "  with its mean in a module": lambda: text(Pooled(ENCODER(minilm()), Pool(mean_pool))),
    "ViT: head": lambda: image(hf.ViTForImageClassification(VIT)),
    "ViT: half of the blocks": lambda: image(hf.ViTForImageClassification(VIT), 0),
    "GPT-2, padded: head": lambda: text(hf.GPT2ForSequenceClassification(GPT2)),
    "  all of one length": lambda: text(hf.GPT2ForSequenceClassification(GPT2), lengths=(64, 64)),
    "  padded, last token before the head": lambda: text(Pooled(hf.GPT2Model(GPT2), last_token)),
    "  the same in a module": lambda: text(Pooled(hf.GPT2Model(GPT2), Pool(last_token))),
    "ResNet-50: head": lambda: image(hf.ResNetForImageClassification(RESNET)),
    "ResNet-50: half of the blocks": lambda: image(hf.ResNetForImageClassification(RESNET), 0),
    "LSTM, packed if padded: head": lambda: text(PackedLstm()),
}


# ---------------------------------------------------------------- measure and print


@dataclass(slots=True)
class Row:
    """Bytes per example, seconds to find them, and whether the result is the same: on this batch, on the other."""

    plain: int
    sliced: int
    pooled: int
    memo_s: float
    memo_holds: list[bool]
    cut: int | None = None
    export_s: float = 0.0
    cut_s: float = 0.0
    cut_holds: list[bool] = field(default_factory=lambda: [False, False])
    error: str = ""


def measure(net: nn.Module, example: Example, other: Example) -> Row:
    plain = Memo(net, example, pooling=False)
    plain_bytes = plain.stored_bytes(plain.needed(slices=False))
    began = perf_counter()
    memos = [Memo(net, example, pooling=pooling) for pooling in (False, True)]
    needed = [memo.needed(slices=True) for memo in memos]
    sliced, pooled = (memo.stored_bytes(kept) for memo, kept in zip(memos, needed, strict=True))
    memo_s, best = perf_counter() - began, pooled < sliced
    holds = [memo.holds(needed[best]) for memo in (memos[best], Memo(net, other, pooling=best))]
    row = Row(plain_bytes, sliced, pooled, memo_s, holds)
    try:
        began = perf_counter()
        module = exported(net, example)
        row.export_s, began = perf_counter() - began, perf_counter()
        kept, row.cut = cheapest_cut(module, plain.batch)
        row.cut_s = perf_counter() - began
        row.cut_holds[0] = same(split_result(module, kept, example), Result(net)(example))
        row.cut_holds[1] = same(exported(net, example, dynamic=True)(other), Result(net)(other))
    except Exception as error:
        row.error = told(error)
    return row


def told(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())[:60]}"


def print_cases() -> None:
    print(f"{'':<36}{'bytes per example':^42}{'seconds':^21} holds/elsewhere")
    heads = ("modules", "slices", "pooling", "(b)", "(a)", "export", "cut", "(a)", "(b)")
    widths = (9, 11, 11, 11, 7, 8, 6, 9, 9)
    print(f"{'what trains':<36}" + "".join(f"{head:>{width}}" for head, width in zip(heads, widths, strict=True)))
    for name, make in CASES.items():
        row = measure(*make())
        sizes = ["-" if size is None else f"{size:,}" for size in (row.plain, row.sliced, row.pooled, row.cut)]
        seconds = [f"{s:.2f}" for s in (row.memo_s, row.export_s, row.cut_s)]
        held = ["/".join("yes" if h else "NO" for h in holds) for holds in (row.memo_holds, row.cut_holds)]
        cells = zip([*sizes, *seconds, *held], widths, strict=True)
        print(f"{name:<36}" + "".join(f"{cell:>{width}}" for cell, width in cells))
        print(f"    {row.error}\n" if row.error else "", end="", flush=True)


def print_zoo() -> None:
    from test_zoo import NETWORKS, TEXT, VISION

    rows = {name: measure(*zoo(name)) for name in [*NETWORKS, *TEXT, *VISION]}
    print(f"\n{len(rows)} networks of tests/plan/test_zoo.py, all but the last block frozen")
    claims: dict[str, Callable[[Row], bool]] = {
        "(b) exported and cut": lambda row: row.cut is not None,
        "(b) same result behind the cut": lambda row: row.cut_holds[0],
        "(b) same result on the other batch": lambda row: row.cut_holds[1],
        "(a) same result from what is stored": lambda row: row.memo_holds[0],
        "(a) same result on the other batch": lambda row: row.memo_holds[1],
    }
    for what, holds in claims.items():
        missing = "".join(f"; not {name}" for name, row in rows.items() if not holds(row))
        print(f"  {what:<36}{sum(map(holds, rows.values()))}{missing}")
    seconds = [row.export_s for row in rows.values() if row.cut is not None]
    print(f"  seconds for an export: median {median(seconds):.2f}, largest {max(seconds):.2f}")
    memo = {name: min(row.sliced, row.pooled) for name, row in rows.items()}
    print(f"  (a) below plain modules: {sum(memo[name] < row.plain for name, row in rows.items())}")
    cuts = [(name, memo[name], row.cut) for name, row in rows.items() if row.cut is not None]
    for what, sign in {"(b) below (a)": 1, "(a) below (b)": -1}.items():
        found = [f"; {name} (a) {a:,} (b) {b:,}" for name, a, b in cuts if (a - b) * sign > 0]
        print(f"  {what}: {len(found)}{''.join(found)}")


def print_kept() -> None:
    """What a graph keeps of a tiny BERT whose head trains."""
    net, example, other = zoo("BertForSequenceClassification")
    module = exported(net, example)
    ran: list[bool] = []
    print("\ntiny BERT, head trained")

    def tell(what: str, kept: Callable[[], Any]) -> None:
        try:
            answer = "yes" if kept() else "NO"
        except Exception as error:
            answer = f"NO, {told(error)[:60]}"
        print(f"  {what:<66} {answer}")

    tell("exported in evaluation mode: can go to training mode", module.train)
    tell("exported for one shape: runs on another", lambda: module(other))
    net.get_submodule("classifier").register_forward_hook(lambda *_: ran.append(True))
    tell("a forward hook on the head, registered after the export, runs", lambda: module(example) and ran)
    with torch.autocast("cpu", torch.bfloat16):
        as_in = same(module(example), Result(net)(example))
    tell("exported without autocast: same result as the network in autocast", lambda: as_in)
    module = exported(freeze(net, "bert*"), example)
    tell("frozen by frostline.freeze: same result", lambda: same(module(example), Result(net)(example)))
    net.train()
    module = exported(net, example)
    result = split_result(module, cheapest_cut(module, 2)[0], example)
    torch.manual_seed(0)
    tell("exported in training mode: same result for the same seed", lambda: same(result, Result(net)(example)))


def main() -> None:
    """Measure and print everything."""
    warnings.filterwarnings("ignore")
    logging.disable(logging.CRITICAL)
    hf.logging.set_verbosity_error()
    hf.logging.disable_progress_bar()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    sys.path[:0] = [str(Path(__file__).parents[1] / folder) for folder in ("tests", "tests/plan")]
    versions = ", ".join(f"{name} {version(name)}" for name in ("torch", "transformers", "networkx"))
    print(f"Python {platform.python_version()}, {versions}, 1 thread")
    began = perf_counter()
    exported(nn.Linear(1, 1).requires_grad_(False), torch.zeros(2, 1))
    print(f"first export of the process, of one linear layer: {perf_counter() - began:.2f} s\n")
    print_cases()
    print_zoo()
    print_kept()


if __name__ == "__main__":
    main()
