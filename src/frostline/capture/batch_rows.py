"""The rows of a batch: from the store where they are, captured where they are not.

Shape letters: B examples in a batch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from torch import Tensor

from frostline.capture.batches import Batch
from frostline.capture.capturing import Rows, shelf_of
from frostline.capture.plans import Kept, ReplayPlan
from frostline.capture.store import ActivationStore


class BatchRows:
    """Puts the rows of batches into a store and finds them again."""

    def __init__(self, store: ActivationStore) -> None:
        self.store = store
        self._met: dict[tuple[str, str], list[str]] = {}
        """Shelves of a kept tensor, by shape of the batch and its name: where the model's ways lead, the latest first.
        """

    def put(self, shape: str, plans: Iterable[ReplayPlan], rows: Rows, ids: Sequence[str]) -> None:
        """Store what was captured for these examples, as far as the budget allows."""
        kept = {kept.name: kept for plan in plans for kept in plan.kept}
        for (shelf, name), rows_B in rows.items():
            if name in kept:
                met = self._met.setdefault((shape, name), [])
                met[:] = [shelf, *(other for other in met if other != shelf)]
                owners = _owners(kept[name], ids)
                self.store.put(shelf, name, owners, rows_B[: len(owners)])

    def missing(self, shape: str, plan: ReplayPlan, ids: Sequence[str]) -> list[int]:
        """Positions of the examples of which a row is stored on no shelf."""
        missing: set[int] = set()
        for kept in plan.kept:
            owners = _owners(kept, ids)
            lacking = list(range(len(owners)))
            for shelf in self._shelves(shape, plan, kept):
                absent = self.store.missing(shelf, [kept.name], [owners[n] for n in lacking])
                lacking = [lacking[n] for n in absent]
            missing.update(lacking if kept.layout.dimension is not None or not lacking else range(len(ids)))
        return sorted(missing)

    def of(self, plan: ReplayPlan, batch: Batch, ids: Sequence[str], compute: Callable[[Batch], Rows]) -> Rows:
        """The rows of a batch; `compute` captures those of the examples that are not stored."""
        shape = batch.shape()
        missing = self.missing(shape, plan, ids)
        fresh: Rows = {}
        if missing:
            # Filled up with the same ones again: fewer than the least are rounded otherwise.
            fresh = compute(batch.pick((missing * plan.least)[: max(len(missing), plan.least)]))
            self.put(shape, [plan], fresh, [ids[n] for n in missing])
        rows = self._joined(plan, shape, ids, missing, fresh)
        if len(rows) < sum(1 for _ in plan.kept):
            # They lie on several shelves: some were captured among others, on another way through the model.
            rows = compute(batch.pick(range(len(ids))))
            self.put(shape, [plan], rows, ids)
        return rows

    def look_up(self, shelf: str, kept: Kept, ids: Sequence[str]) -> Tensor | None:
        """The rows on one shelf; None when some are not there."""
        owners = _owners(kept, ids)
        return None if self.store.missing(shelf, [kept.name], owners) else self.store.get(shelf, kept.name, owners)

    def prefetch(self, plan: ReplayPlan, shape: str, ids: Sequence[str]) -> None:
        """Let the store read ahead what a coming batch needs."""
        by_shelf: dict[str, list[str]] = {}
        for kept in plan.kept:
            if kept.layout.dimension is not None:
                by_shelf.setdefault(self._shelves(shape, plan, kept)[0], []).append(kept.name)
        for shelf, names in by_shelf.items():
            self.store.prefetch(shelf, names, ids)

    def _joined(self, plan: ReplayPlan, shape: str, ids: Sequence[str], missing: Sequence[int], fresh: Rows) -> Rows:
        """Stored rows and freshly captured ones, in the order of the batch, of what lies on one shelf."""
        rows: Rows = {}
        for kept in plan.kept:
            for shelf in self._shelves(shape, plan, kept):
                joined_B = self._on_shelf(kept, shelf, ids, missing, fresh.get((shelf, kept.name)))
                if joined_B is not None:
                    rows[shelf, kept.name] = joined_B
                    break
        return rows

    def _on_shelf(
        self, kept: Kept, shelf: str, ids: Sequence[str], missing: Sequence[int], captured_B: Tensor | None
    ) -> Tensor | None:
        owners = _owners(kept, ids)
        # Asked after the captured rows were put. What was stored is read back: as float16 it is not what was captured.
        lacking = self.store.missing(shelf, [kept.name], owners)
        if not lacking:
            return self.store.get(shelf, kept.name, owners)
        places = [0] if kept.layout.dimension is None else missing
        if captured_B is None or not set(lacking) <= set(places):
            return None
        at = {place: n for n, place in enumerate(places)}
        rows_B = captured_B.new_empty((len(owners), *captured_B.shape[1:]))
        rows_B[lacking] = captured_B[[at[place] for place in lacking]]
        stored = [n for n in range(len(owners)) if n not in set(lacking)]
        if stored:
            rows_B[stored] = self.store.get(shelf, kept.name, [owners[n] for n in stored]).to(captured_B.device)
        return rows_B

    def _shelves(self, shape: str, plan: ReplayPlan, kept: Kept) -> list[str]:
        """Where rows may lie: where some were put, and where the ways lead: another process may have put some there."""
        ways = sorted(plan.flows, key=len)
        leading = [shelf_of(shape, way[:reads]) for way in ways for reads in range(len(way) + 1)]
        return list(dict.fromkeys([*self._met.get((shape, kept.name), ()), *leading, shape]))


def _owners(kept: Kept, ids: Sequence[str]) -> Sequence[str]:
    """A constant has one row, whatever the examples."""
    return ("*",) if kept.layout.dimension is None else ids
