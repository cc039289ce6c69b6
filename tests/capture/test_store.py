"""Claims about the activation store: rows come back bit for bit, in the budget, exact or rounded as was asked."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from unittest import mock

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from frostline.capture import segments as segments_module
from frostline.capture import store as store_module
from frostline.capture.store import ActivationStore
from stores import PLENTY, files, numbered, opened, put_and_flushed, rows_of, same_bits, small_segments

torch.set_num_threads(1)

DTYPES = (
    *(torch.float32, torch.float64, torch.float16, torch.bfloat16, torch.complex64, torch.float8_e4m3fn),
    *(torch.int8, torch.uint8, torch.int16, torch.int32, torch.int64, torch.bool),
)


# ---------------------------------------------------------------- what is put comes back


def random_rows(count: int, dtype: torch.dtype, row_shape: Sequence[int], seed: int) -> Tensor:
    """Rows of random bits: NaN of every kind, infinities and subnormal numbers are among them."""
    generator = torch.Generator().manual_seed(seed)
    shape = (count, *row_shape)
    if dtype == torch.bool:
        return torch.randint(0, 2, shape, generator=generator).bool()
    row_bytes = math.prod(row_shape) * dtype.itemsize
    numbers = torch.randint(0, 256, (count, row_bytes), generator=generator, dtype=torch.uint8)
    return numbers.view(dtype).view(shape) if numbers.numel() else torch.empty(shape, dtype=dtype)


@settings(max_examples=30)
@given(data=st.data(), row_shape=st.lists(st.integers(0, 4), max_size=3), on_disk=st.booleans())
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_every_row_comes_back_bit_for_bit(
    dtype: torch.dtype, data: st.DataObject, row_shape: list[int], on_disk: bool
) -> None:
    """Whatever the dtype, shape, ids and order of puts, gets and flushes, before and after reopening."""
    ids = st.lists(st.text(max_size=3), max_size=12)
    expected: dict[str, Tensor] = {}
    with TemporaryDirectory() as folder, small_segments():
        store = opened(Path(folder)) if on_disk else ActivationStore.in_memory(budget_bytes=PLENTY)
        for seed in range(data.draw(st.integers(1, 4), label="puts")):
            put = data.draw(ids, label="ids")
            rows = random_rows(len(put), dtype, row_shape, seed)
            store.put("s", "l", put, rows)
            for id_, row in zip(put, rows, strict=True):
                expected.setdefault(id_, row)
            if on_disk and data.draw(st.booleans(), label="flush"):
                store.flush()
            _check_against(expected, store, data)
        if on_disk and expected:
            store.flush()
            _check_against(expected, opened(Path(folder)), data)


def _check_against(expected: dict[str, Tensor], store: ActivationStore, data: st.DataObject) -> None:
    asked = data.draw(st.lists(st.sampled_from(sorted(expected)), max_size=20)) if expected else []
    if expected or not asked:
        rows = store.get("s", "l", asked)
        assert rows.is_contiguous()
        assert len(rows) == len(asked)
        if asked:
            assert same_bits(rows, torch.stack([expected[id_] for id_ in asked]))
    unknown = ["never put", *asked]
    assert store.missing("s", ["l"], unknown) == [0]


@pytest.mark.parametrize(
    "arranged",
    [
        lambda rows: rows.t().contiguous().t(),
        lambda rows: torch.cat([rows, rows], dim=1)[:, : rows.shape[1]],
        lambda rows: rows.flip(0).flip(0).requires_grad_(),
        lambda rows: rows.repeat_interleave(3, dim=0)[::3],
        lambda rows: torch.complex(rows, -rows).conj().imag,
    ],
)
def test_rows_may_lie_anyhow_in_memory(arranged: Callable[[Tensor], Tensor]) -> None:
    """Strides, gradients and lazy negation leave no trace."""
    store = ActivationStore.in_memory(budget_bytes=PLENTY)
    ids = numbered(0, 5)
    store.put("s", "l", ids, arranged(rows_of(ids)))

    assert same_bits(store.get("s", "l", ids), rows_of(ids))


def test_stored_rows_are_copies(tmp_path: Path) -> None:
    """Writing to what was put or got changes nothing in the store, not even in a mapped file."""
    store = put_and_flushed(tmp_path, ["1", "2"])
    rows = rows_of(["3", "4"])
    store.put("shelf", "leaf", ["3", "4"], rows)
    rows.zero_()
    store.get("shelf", "leaf", numbered(1, 5)).zero_()
    store.get("shelf", "leaf", ["1"]).zero_()

    assert same_bits(store.get("shelf", "leaf", numbered(1, 5)), rows_of(numbered(1, 5)))


def test_rows_recorded_in_inference_mode_can_be_trained_on(tmp_path: Path) -> None:
    """The mode in which a store is filled or read does not stick to its tensors."""
    with torch.inference_mode():
        store = put_and_flushed(tmp_path, ["1"])
        store.put("shelf", "leaf", ["2"], rows_of(["2"]))
        rows = store.get("shelf", "leaf", ["1", "2"])
    store.put("shelf", "leaf", ["3"], rows_of(["3"]))
    weight = torch.ones(6, requires_grad=True)
    for stored in (rows, store.get("shelf", "leaf", ["1", "3"])):
        assert not stored.is_inference()
        (gradient,) = torch.autograd.grad((stored * weight).sum(), weight)
        assert same_bits(gradient, stored.sum(0))


def test_the_first_row_of_an_id_stays() -> None:
    """Within a put and across puts; a row is missing while one of the leaves lacks it."""
    store = ActivationStore.in_memory(budget_bytes=PLENTY)
    store.put("s", "l", ["a", "b", "a"], torch.tensor([1, 2, 3]))
    store.put("s", "l", ["b", "c"], torch.tensor([4, 5]))
    store.put("s", "*", ["*"], torch.tensor([9]))
    store.put("s", "m", ["b"], torch.tensor([7]))

    assert store.get("s", "l", ["a", "b", "c"]).tolist() == [1, 2, 5]
    assert store.missing("s", ["l", "m"], ["a", "b", "c"]) == [0, 2]
    assert store.missing("s", ["l", "never"], ["a", "b"]) == [0, 1]
    assert store.missing("other shelf", ["l"], ["a"]) == [0]
    assert store.missing("s", ["*"], ["*"]) == store.missing("s", ["l"], []) == []
    assert store.kept_bytes == 5 * 8


def test_wrong_use_is_told() -> None:
    """Another shape or dtype, other numbers of ids and rows, a row that is not there."""
    store = ActivationStore.in_memory(budget_bytes=PLENTY)
    store.put("s", "l", ["1"], rows_of(["1"]))
    with pytest.raises(ValueError, match=r"are torch.float32 of shape \(6,\); torch.float64"):
        store.put("s", "l", ["2"], rows_of(["2"]).double())
    with pytest.raises(ValueError, match="1 rows were put for 2 ids"):
        store.put("s", "l", ["2", "3"], rows_of(["2"]))
    with pytest.raises(KeyError, match="has no row of '2'"):
        store.get("s", "l", ["1", "2"])
    with pytest.raises(KeyError, match="'m' has no rows on shelf 's'"):
        store.get("s", "m", ["1"])


def test_segments_and_buffers_stay_within_their_limits(tmp_path: Path) -> None:
    """Bytes and rows of a segment, and the memory of all buffers together."""
    ids = numbered(0, 40)
    with small_segments(10 * 24), mock.patch.object(store_module, "SEGMENT_ROWS", 8):
        store = opened(tmp_path)
        store.put("s", "wide", ids, rows_of(ids))
        assert len(files(tmp_path, "*.rows")) == 5
    with mock.patch.object(store_module, "BUFFERED_BYTES", 24 * 40):
        for leaf in ("a", "b", "c"):
            store.put("s", leaf, ids[:20], rows_of(ids[:20]))
        assert len(files(tmp_path, "*.rows")) == 6
    assert store.missing("s", ["wide", "a", "b", "c"], ids) == list(range(20, 40))


# ---------------------------------------------------------------- the budget


@pytest.mark.parametrize("on_disk", [False, True])
def test_a_full_store_keeps_a_fixed_subset(tmp_path: Path, on_disk: bool) -> None:
    """First come, first kept, whatever is put later in whatever order; a refused row is counted once."""
    budget = 10 * 24 + 23
    store = opened(tmp_path, budget_bytes=budget) if on_disk else ActivationStore.in_memory(budget_bytes=budget)
    ids = numbered(0, 16)
    for batch in (ids[:8], ids[8:], ids[::-1], ids[8:]):
        store.put("s", "l", batch, rows_of(batch))

    assert store.missing("s", ["l"], ids) == list(range(10, 16))
    assert same_bits(store.get("s", "l", ids[:10]), rows_of(ids[:10]))
    assert (store.kept_bytes, store.refused_rows, store.is_full) == (240, 6, True)
    store.put("s", "small", ["0"], torch.zeros(1, 23, dtype=torch.uint8))
    assert store.kept_bytes == budget


def test_the_budget_counts_what_was_there(tmp_path: Path) -> None:
    """A reopened store has the room that is left, and gives nothing up when the budget is smaller than its rows."""
    put_and_flushed(tmp_path, numbered(0, 8))
    larger, smaller = opened(tmp_path, budget_bytes=10 * 24), opened(tmp_path, budget_bytes=24)
    for store in (larger, smaller):
        store.put("shelf", "leaf", numbered(8, 12), rows_of(numbered(8, 12)))

    assert larger.missing("shelf", ["leaf"], numbered(0, 12)) == [10, 11]
    assert smaller.missing("shelf", ["leaf"], numbered(0, 12)) == [8, 9, 10, 11]
    assert (smaller.kept_bytes, smaller.refused_rows, smaller.is_full) == (8 * 24, 4, True)


def test_without_a_budget_nothing_is_kept() -> None:
    """The store then says so, and its leaves still give empty batches."""
    store = ActivationStore.in_memory(budget_bytes=0)
    store.put("s", "l", ["1"], rows_of(["1"]))

    assert (store.is_full, store.refused_rows, store.missing("s", ["l"], ["1"])) == (True, 1, [0])
    assert store.get("s", "l", []).shape == (0, 6)


# ---------------------------------------------------------------- float16 by choice


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_half_keeps_rows_in_float16_and_tells_the_error(tmp_path: Path, dtype: torch.dtype) -> None:
    """Given back in their dtype; the error is the largest over the largest value of its row, and survives reopening."""
    torch.manual_seed(0)
    rows = torch.randn(50, 8).mul(torch.logspace(-5, 3, 50)[:, None]).to(dtype)
    rows[7], rows[8, 0] = 0, math.inf
    ids = numbered(0, 50)
    store = opened(tmp_path, half=True)
    store.put("shelf", "leaf", ids[:25], rows[:25])
    store.put("shelf", "leaf", ids[25:], rows[25:])
    got = store.get("shelf", "leaf", ids)
    gaps = torch.where(rows.isinf(), 0, (got.double() - rows.double()).abs())
    scales = torch.where(rows.isinf(), 0, rows.double().abs()).amax(1)
    worst = float((gaps.amax(1)[scales > 0] / scales[scales > 0]).max())

    assert got.dtype == dtype
    assert torch.equal(got, rows.to(torch.float16).to(dtype))
    assert store.kept_bytes == 50 * 8 * 2
    assert store.half_error == pytest.approx(worst, rel=1e-3, abs=1e-9)
    assert 0 < worst < 0.02
    store.flush()
    again = opened(tmp_path, half=True)
    assert (again.half_error, again.notes) == (store.half_error, ())
    assert same_bits(again.get("shelf", "leaf", ids), got)


def test_half_leaves_other_dtypes_alone() -> None:
    """Nothing rounded, nothing to tell."""
    store = ActivationStore.in_memory(budget_bytes=PLENTY, half=True)
    for dtype in set(DTYPES) - {torch.float32, torch.float64, torch.bfloat16}:
        rows = random_rows(4, dtype, (3,), seed=0)
        store.put("s", str(dtype), numbered(0, 4), rows)
        assert same_bits(store.get("s", str(dtype), numbered(0, 4)), rows)
    assert store.half_error is None


@pytest.mark.parametrize("value", [70_000.0, -1e30, math.nan])
@pytest.mark.parametrize("on_disk", [False, True])
def test_what_float16_cannot_hold_is_kept_exact(tmp_path: Path, value: float, on_disk: bool) -> None:
    """From then on and after reopening, for that leaf alone, with a note; earlier rows stay rounded."""
    store = opened(tmp_path, half=True) if on_disk else ActivationStore.in_memory(budget_bytes=PLENTY, half=True)
    fine, wide = torch.full((2, 3), 0.1), torch.full((2, 3), 0.1)
    wide[1, 2] = value
    store.put("s", "l", ["a", "b"], fine)
    store.put("s", "l", ["c", "d"], wide)
    store.put("s", "l", ["e", "f"], fine)
    store.put("s", "other", ["a", "b"], fine)
    expected = torch.cat([wide[1:], fine[:1].half().float(), fine[:1]])
    note = "Rows of 'l' on shelf 's' are kept exact: float16 cannot hold some of their values."

    assert same_bits(store.get("s", "l", ["d", "a", "f"]), expected)
    assert (store.kept_bytes, store.notes) == (2 * 6 + 4 * 12 + 2 * 6, (note,))
    if on_disk:
        store.flush()
        store = opened(tmp_path, half=True)
        store.put("s", "l", ["g"], fine[:1])
        assert same_bits(store.get("s", "l", ["d", "a", "g"]), expected)
        assert store.notes == (note,)


def test_rows_that_turn_out_exact_stay_within_the_budget() -> None:
    """Room for four rounded rows is room for two exact ones."""
    store = ActivationStore.in_memory(budget_bytes=4 * 6, half=True)
    store.put("s", "l", numbered(0, 4), torch.full((4, 3), 1e6))

    assert (store.kept_bytes, store.refused_rows, store.missing("s", ["l"], numbered(0, 4))) == (24, 2, [2, 3])


# ---------------------------------------------------------------- prefetch and discard


def test_prefetch_asks_for_the_rows_and_nothing_else(tmp_path: Path) -> None:
    """Each byte of the rows, in short requests within the file; rows that are not there are passed over."""
    ids = numbered(0, 200)
    store = opened(tmp_path)
    store.put("s", "l", ids, rows_of(ids, width=2000))
    store.flush()
    asked: list[tuple[int, int]] = []
    with mock.patch.object(os, "posix_fadvise", lambda file, start, length, advice: asked.append((start, length))):
        store.prefetch("s", ["l"], ids)
        assert asked == []  # before the segment was hashed, which reads all of it
        store.get("s", "l", ["0"])
        store.prefetch("s", ["l", "no such leaf"], ["199", "3", "4", "no such id", "3", *ids[50:100]])
        store.prefetch("no such shelf", ["l"], ids)
    wanted = {byte for row in (3, 4, *range(50, 100), 199) for byte in range(row * 8000, row * 8000 + 8000)}

    assert {byte for start, length in asked for byte in range(start, start + length)} == wanted
    assert max(length for _, length in asked) <= 128 * 1024
    assert all(one + length <= other for (one, length), (other, _) in pairwise(asked))


def test_prefetch_never_fails(tmp_path: Path) -> None:
    """Not in memory, not when another process discarded the files, not where the system has no such call."""
    ActivationStore.in_memory(budget_bytes=PLENTY).prefetch("shelf", ["leaf"], ["1"])
    store = put_and_flushed(tmp_path, ["1"])
    store.get("shelf", "leaf", ["1"])
    store.prefetch("shelf", ["leaf"], ["1"])
    opened(tmp_path).discard()
    store.prefetch("shelf", ["leaf"], ["1"])
    with mock.patch.object(segments_module, "os", mock.Mock(spec=[])):
        store.prefetch("shelf", ["leaf"], ["1"])

    assert same_bits(store.get("shelf", "leaf", ["1"]), rows_of(["1"]))


@pytest.mark.parametrize("on_disk", [False, True])
def test_discard_deletes_everything(tmp_path: Path, on_disk: bool) -> None:
    """Rows, files, leftovers and counts; the freed bytes are told, and the store can be filled again."""
    store = opened(tmp_path, budget_bytes=60) if on_disk else ActivationStore.in_memory(budget_bytes=60)
    store.put("shelf", "leaf", numbered(0, 3), rows_of(numbered(0, 3)))
    store.flush()
    size = sum(path.stat().st_size for path in files(tmp_path)) if on_disk else 48

    assert store.discard() == size > 0
    assert (files(tmp_path), store.kept_bytes, store.refused_rows, store.is_full) == ([], 0, 0, False)
    assert store.missing("shelf", ["leaf"], ["0"]) == [0]
    store.put("shelf", "leaf", ["0"], rows_of(["0"]))
    store.flush()
    assert same_bits(store.get("shelf", "leaf", ["0"]), rows_of(["0"]))
