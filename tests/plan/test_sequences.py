"""The laws hold whatever a script does, in whatever order."""

from __future__ import annotations

import copy
import pickle
from io import BytesIO

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from frostline.plan.apply import freeze, is_inert, unfreeze

BLOCKS = ("stem", "body.0", "body.1", "head")

NAMED = st.sampled_from(["stem", "body.0", "body[-1]", "body", "body.*", "head", "stem|body.1"])
OTHERS = ("train", "eval", "step", "step keeping zeros", "requires_grad", "load", "copy", "pickle")
STEPS = st.one_of(
    st.tuples(st.just("freeze"), NAMED),
    st.tuples(st.just("unfreeze"), NAMED),
    st.tuples(
        st.sampled_from(["train", "eval", "step", "step keeping zeros", "requires_grad", "load", "copy", "pickle"])
    ),
)


class Network(nn.Module):
    """Batch norm and dropout in every block but the head."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = self._block()
        self.body = nn.ModuleList(self._block() for _ in range(2))
        self.head = nn.Linear(5, 2)

    @staticmethod
    def _block() -> nn.Module:
        return nn.Sequential(nn.Linear(5, 5), nn.BatchNorm1d(5), nn.Dropout(0.4))

    def forward(self, inputs: Tensor) -> Tensor:
        hidden = self.stem(inputs)
        for layer in self.body:
            hidden = hidden + layer(hidden)
        logits: Tensor = self.head(hidden)
        return logits


class Script:
    """A training script and, beside it, what must be true of it."""

    def __init__(self) -> None:
        torch.manual_seed(0)
        self.net: nn.Module = Network()
        self.frozen: dict[str, dict[str, Tensor]] = {}
        """Frozen blocks with what they held when they were frozen."""
        self.begin()

    def begin(self) -> None:
        # All parameters, frozen ones too: as scripts do that know nothing of the freeze.
        self.optimizer = torch.optim.AdamW(self.net.parameters(), lr=0.1, weight_decay=0.3)

    def held(self, block: str) -> dict[str, Tensor]:
        return {name: tensor.clone() for name, tensor in self.net.get_submodule(block).state_dict().items()}

    def do(self, what: str, names: str = "") -> None:
        if what in ("freeze", "unfreeze"):
            patterns = names.split("|")
            (freeze if what == "freeze" else unfreeze)(self.net, *patterns)
            meant = {"body.*": BLOCKS[1:3], "body": BLOCKS[1:3], "body[-1]": BLOCKS[2:3]}
            for block in [b for pattern in patterns for b in meant.get(pattern, (pattern,))]:
                if what == "unfreeze":
                    self.frozen.pop(block, None)
                elif block not in self.frozen:
                    self.frozen[block] = self.held(block)
        elif what.startswith("step"):
            self.step(set_to_none=what == "step")
        elif what == "load":
            file = BytesIO()
            torch.save(self.net.state_dict(), file)
            file.seek(0)
            self.net.load_state_dict(torch.load(file))
        elif what in ("copy", "pickle"):
            self.net = copy.deepcopy(self.net) if what == "copy" else pickle.loads(pickle.dumps(self.net))
            self.begin()
        else:
            {"train": self.net.train, "eval": self.net.eval}.get(what, self.net.requires_grad_)()

    def step(self, *, set_to_none: bool) -> None:
        self.optimizer.zero_grad(set_to_none=set_to_none)
        loss = self.net(torch.randn(8, 5) * 3 + 1).square().mean()
        if loss.requires_grad:
            loss.backward()
        self.optimizer.step()

    def check(self) -> None:
        for block, before in self.frozen.items():
            part = self.net.get_submodule(block)
            assert all(torch.equal(before[name], tensor) for name, tensor in part.state_dict().items()), block
            assert all(map(is_inert, part.modules())), block
        for block in set(BLOCKS) - set(self.frozen):
            part = self.net.get_submodule(block)
            assert all(parameter.requires_grad for parameter in part.parameters()), block
            assert not any(map(is_inert, part.modules())), block


@given(st.lists(STEPS, max_size=25))
@settings(max_examples=150)
def test_frozen_stays_frozen_and_the_rest_trains(steps: list[tuple[str, ...]]) -> None:
    """Any sequence of freeze, unfreeze, train, eval, step, requires_grad_(True), save and load, copy and pickle:
    frozen blocks are bit-identical and inert, all others train."""
    script = Script()
    for step in steps:
        script.do(*step)
        script.check()
    script.net.train()
    probe = torch.randn(6, 5)
    for block in script.frozen:
        part = script.net.get_submodule(block)
        assert torch.equal(part(probe), part(probe)), "chance"
        assert torch.allclose(part(probe)[:1], part(probe[:1]), atol=1e-6), "batch-mates"


def test_a_script_without_the_hold_breaks_the_law() -> None:
    """The planted twin: with plain requires_grad=False the same checks fail."""
    script = Script()
    script.frozen["stem"] = script.held("stem")
    script.net.get_submodule("stem").requires_grad_(False)
    script.do("train")
    script.do("step")

    try:
        script.check()
    except AssertionError:
        return
    raise AssertionError("the checks did not notice moving batch-norm statistics")
