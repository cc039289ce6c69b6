"""The networks of a study's candidates: one module that is frozen anew for each, and twins where that does not do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from torch import Tensor

from frostline.core.records import Block
from frostline.core.study_folder import StudyFolder
from frostline.models.task_model import Batch, TaskModel
from frostline.plan.apply import freeze, unfreeze
from frostline.plan.freeze_plan import FreezePlan
from frostline.plan.network import planned
from frostline.train.start import probe_head


@dataclass(frozen=True, slots=True, kw_only=True)
class Networks:
    """Every candidate's network, from one pretrained model."""

    model: TaskModel
    blocks: Sequence[Block]
    folder: StudyFolder
    seed: int
    example: Batch
    """Two examples, to see how a block runs after which a network ends."""
    beginning: Mapping[str, Tensor]
    """Every tensor of the module as each run finds it."""
    fixed: set[str] = field(default_factory=set)
    """Parameters that came frozen: whoever built the model meant it, so no plan trains them."""
    twins: dict[str, TaskModel] = field(default_factory=dict)
    """Of candidates that are trained in step."""

    def frozen_by(self, plan: FreezePlan | None) -> TaskModel:
        """The model itself, frozen by a plan of blocks and as it came."""
        unfreeze(self.model.module)
        if self.fixed:
            freeze(self.model.module, self.fixed.__contains__)
        if plan is not None:
            freeze(self.model.module, plan)
        return self.model

    def of(self, plan: FreezePlan) -> TaskModel:
        """The network that a plan trains, frozen by it, with the weights that the module has now."""
        self.frozen_by(None)
        head = probe_head(self.folder, plan.freeze_depth) if plan.ends_after else None
        return planned(self.model, plan, self.blocks, seed=self.seed, head=head, batch=self.example)

    def begun(self, plan: FreezePlan) -> TaskModel:
        """The same as its run finds it."""
        # The frozen part, too: what ran before may have trained what this plan freezes.
        self.frozen_by(None)
        self.model.module.load_state_dict(self.beginning)
        return self.of(plan)

    def twin(self, candidate: str, plan: FreezePlan) -> TaskModel:
        """A copy of the model for one candidate, which shares what is frozen."""
        if candidate not in self.twins:
            self.twins[candidate] = self.begun(plan) if plan.spared == "adapters" else self._sharing(plan)
        return self.twins[candidate]

    def _sharing(self, plan: FreezePlan) -> TaskModel:
        twin = self.model.copied()
        if self.fixed:
            freeze(twin.module, self.fixed.__contains__)
        freeze(twin.module, plan)
        for name, parameter in self.model.module.named_parameters():
            if not twin.module.get_parameter(name).requires_grad:
                twin.module.get_parameter(name).data = parameter.data
        return twin
