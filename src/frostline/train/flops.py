"""Measured FLOPs. They depend on shapes only, so each new shape is counted once and then remembered."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import TypeVar

from frostline.plan.flops import flop_counter

T = TypeVar("T")


class FlopsMeter:
    """Adds up what work really costs.

    >>> import torch
    >>> meter = FlopsMeter()
    >>> for _ in range(3):
    ...     _ = meter.count(("product", 4), lambda: torch.ones(4, 4) @ torch.ones(4, 4))
    >>> meter.total  # 3 products of 2 * 4 * 4 * 4
    384
    """

    def __init__(self) -> None:
        self.total = 0
        self._known: dict[Hashable, int] = {}

    def count(self, key: Hashable, work: Callable[[], T]) -> T:
        """Do the work and add its FLOPs.

        Args:
            key: What determines the FLOPs: the phase, the plan, the shapes.
            work: Called once.
        """
        if key in self._known:
            self.total += self._known[key]
            return work()
        before = self.total
        result = self.measure(work)
        self._known[key] = self.total - before
        return result

    def knows(self, key: Hashable) -> bool:
        """Whether work of this key was measured."""
        return key in self._known

    def forget(self, key: Hashable) -> None:
        """Measure work of this key anew: the last time was not like the others."""
        self._known.pop(key, None)

    def measure(self, work: Callable[[], T]) -> T:
        """Do work that is not like any other, and add its FLOPs."""
        with flop_counter() as counter:
            result = work()
        self.total += counter.get_total_flops()
        return result
