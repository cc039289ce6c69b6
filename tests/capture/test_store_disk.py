"""Claims about the activation store on disk: shared by processes, and never trusted where it was damaged."""

from __future__ import annotations

import errno
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest import mock

import pytest
import torch

from frostline.capture import store as store_module
from frostline.capture.store import ActivationStore
from frostline.core.errors import StudyError
from stores import KEY, PLENTY, files, numbered, opened, put_and_flushed, rows_of, same_bits, small_segments

torch.set_num_threads(1)

# ---------------------------------------------------------------- one folder


def test_a_reopened_store_holds_what_was_flushed(tmp_path: Path) -> None:
    """The same rows, whatever the order of the key; what was not flushed is missing."""
    store = put_and_flushed(tmp_path, numbered(0, 5), numbered(3, 9))
    store.put("shelf", "leaf", ["9"], rows_of(["9"]))
    again = ActivationStore.at(tmp_path, dict(reversed(KEY.items())), budget_bytes=PLENTY)

    assert again.missing("shelf", ["leaf"], numbered(0, 10)) == [9]
    assert same_bits(again.get("shelf", "leaf", numbered(0, 9)), rows_of(numbered(0, 9)))
    assert (again.kept_bytes, again.notes) == (9 * 24, ())


def test_another_key_sees_nothing(tmp_path: Path) -> None:
    """Nor does another `half`; a segment that is moved between their folders is dropped."""
    put_and_flushed(tmp_path, ["1"])
    others = [
        ActivationStore.at(tmp_path, KEY | {"torch": "3"}, budget_bytes=PLENTY),
        ActivationStore.at(tmp_path, {}, budget_bytes=PLENTY),
        opened(tmp_path, half=True),
    ]
    assert [store.missing("shelf", ["leaf"], ["1"]) for store in others] == [[0]] * 3
    assert len(list(tmp_path.iterdir())) == 4

    target = next(folder for folder in tmp_path.iterdir() if not list(folder.iterdir()))
    for path in files(tmp_path):
        path.rename(target / path.name)
    reopened = [ActivationStore.at(tmp_path, KEY | {"torch": "3"}, budget_bytes=PLENTY), opened(tmp_path, half=True)]
    reopened.append(ActivationStore.at(tmp_path, {}, budget_bytes=PLENTY))
    assert [store.kept_bytes for store in reopened] == [0, 0, 0]
    assert sum(len(store.notes) for store in reopened) == 1


def test_segments_of_another_process_are_found(tmp_path: Path) -> None:
    """When rows are missing, and then at most once a second."""
    reader = opened(tmp_path)
    put_and_flushed(tmp_path, numbered(0, 4))
    assert reader.missing("shelf", ["leaf"], numbered(0, 4)) == [0, 1, 2, 3]
    with mock.patch.object(store_module, "_LOOK_EVERY_S", 0.0):
        assert reader.missing("shelf", ["leaf"], numbered(0, 4)) == []
    assert same_bits(reader.get("shelf", "leaf", ["3", "1"]), rows_of(["3", "1"]))


def test_two_processes_fill_one_folder(tmp_path: Path) -> None:
    """Both at once, with rows in common: a reader then finds all rows of both, and only right ones."""
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[1])}
    fillers = [
        subprocess.Popen([sys.executable, __file__, str(tmp_path), *ends], env=environment)
        for ends in (("0", "300"), ("200", "500"))
    ]
    assert [filler.wait(timeout=100) for filler in fillers] == [0, 0]
    store = opened(tmp_path)

    assert store.missing("shelf", ["leaf"], numbered(0, 501)) == [500]
    assert same_bits(store.get("shelf", "leaf", numbered(0, 500)), rows_of(numbered(0, 500)))
    assert (store.kept_bytes, store.notes) == (500 * 24, ())


def fill(folder: Path, first: int, last: int) -> None:
    """One process: what is missing is put, in batches, in many small segments."""
    store = opened(folder)
    with small_segments(10 * 24), mock.patch.object(store_module, "_LOOK_EVERY_S", 0.0):
        for start in range(first, last, 7):
            ids = numbered(start, min(start + 7, last))
            missing = [ids[position] for position in store.missing("shelf", ["leaf"], ids)]
            store.put("shelf", "leaf", missing, rows_of(missing))
            assert same_bits(store.get("shelf", "leaf", ids), rows_of(ids))
        store.flush()


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="counts open files as Linux shows them")
def test_segments_keep_no_file_open(tmp_path: Path) -> None:
    """However many of them are in use: a process may have about a thousand files open."""
    ids = numbered(0, 40)
    with mock.patch.object(store_module, "SEGMENT_ROWS", 1):
        store = put_and_flushed(tmp_path, ids)
    before = len(list(Path("/proc/self/fd").iterdir()))
    store.get("shelf", "leaf", ids)
    store.prefetch("shelf", ["leaf"], ids)

    assert len(files(tmp_path, "*.rows")) == 40
    assert len(list(Path("/proc/self/fd").iterdir())) == before


# ---------------------------------------------------------------- damage


def truncate(rows: Path, manifest: Path) -> None:
    rows.write_bytes(rows.read_bytes()[:-1])


def lengthen(rows: Path, manifest: Path) -> None:
    rows.write_bytes(rows.read_bytes() + b"\0")


def flip_a_byte(rows: Path, manifest: Path) -> None:
    content = bytearray(rows.read_bytes())
    content[7] ^= 1
    rows.write_bytes(content)


def put_other_values(rows: Path, manifest: Path) -> None:
    rows.write_bytes((rows_of(numbered(0, 4)) + 1).numpy().tobytes())


def remove_rows(rows: Path, manifest: Path) -> None:
    rows.unlink()


def swap_ids(rows: Path, manifest: Path) -> None:
    fields = json.loads(manifest.read_text())
    fields["ids"][:2] = fields["ids"][1::-1]
    manifest.write_text(json.dumps(fields))


def write_half_the_manifest(rows: Path, manifest: Path) -> None:
    manifest.write_bytes(manifest.read_bytes()[: manifest.stat().st_size // 2])


def empty_the_manifest(rows: Path, manifest: Path) -> None:
    manifest.write_text("[]")


def rename_a_field(rows: Path, manifest: Path) -> None:
    manifest.write_text(manifest.read_text().replace('"leaf"', '"leaves"', 1))


Damage = Callable[[Path, Path], None]
DAMAGES: dict[Damage, str] = {
    truncate: "rows are torn",
    lengthen: "rows are torn",
    flip_a_byte: "rows are not those that were written",
    put_other_values: "rows are not those that were written",
    remove_rows: "rows are missing",
    swap_ids: "manifest is torn or was altered",
    write_half_the_manifest: "manifest is torn or was altered",
    empty_the_manifest: "manifest is torn or was altered",
    rename_a_field: "manifest is torn or was altered",
}


@pytest.mark.parametrize("damage", [*DAMAGES, None], ids=lambda damage: damage.__name__ if damage else "none")
def test_damaged_rows_are_missing(tmp_path: Path, damage: Damage | None) -> None:
    """Dropped and said, computed again and kept again; rows beside them stay. Without damage not a word."""
    put_and_flushed(tmp_path, numbered(0, 4))
    target = files(tmp_path)
    put_and_flushed(tmp_path, numbered(4, 8))
    if damage is not None:
        damage(*reversed(target))
    store = opened(tmp_path)
    missing = store.missing("shelf", ["leaf"], numbered(0, 8))

    assert missing == ([] if damage is None else [0, 1, 2, 3])
    assert store.kept_bytes == (8 - len(missing)) * 24
    if damage is None:
        assert store.notes == ()
    else:
        assert store.notes == (f"1 stored segment whose {DAMAGES[damage]} was dropped: the rows are computed again.",)
        assert not any(path.exists() for path in target)
        store.put("shelf", "leaf", numbered(0, 4), rows_of(numbered(0, 4)))
        store.flush()
    for whole in (store, opened(tmp_path)):
        assert same_bits(whole.get("shelf", "leaf", numbered(0, 8)), rows_of(numbered(0, 8)))
    assert opened(tmp_path).notes == ()


@pytest.mark.parametrize("damage", [truncate, flip_a_byte, remove_rows])
def test_a_store_does_not_trust_its_own_files(tmp_path: Path, damage: Damage) -> None:
    """What happened between a flush and the first read is found too, by `get` and by `put`."""
    for use in ("missing", "get", "put"):
        folder = tmp_path / use
        store = put_and_flushed(folder, numbered(0, 4))
        damage(*reversed(files(folder)))
        if use == "get":
            with pytest.raises(KeyError, match="has no row of '2'"):
                store.get("shelf", "leaf", ["2"])
        elif use == "put":
            store.put("shelf", "leaf", ["2"], rows_of(["2"]))
            assert same_bits(store.get("shelf", "leaf", ["2"]), rows_of(["2"]))
        assert store.missing("shelf", ["leaf"], ["0", "1"]) == [0, 1]
        assert len(store.notes) == 1


def test_rows_that_cannot_be_read_now_are_not_deleted(tmp_path: Path) -> None:
    """A bad sector or too many open files say nothing about the next process."""
    store = put_and_flushed(tmp_path, ["1"])
    with mock.patch("hashlib.file_digest", side_effect=OSError(errno.EIO, "")):
        assert store.missing("shelf", ["leaf"], ["1"]) == [0]

    assert store.notes == ("1 stored segment whose files cannot be read was dropped: the rows are computed again.",)
    assert opened(tmp_path).missing("shelf", ["leaf"], ["1"]) == []


def test_leftovers_of_killed_processes_are_ignored(tmp_path: Path) -> None:
    """Deleted by `discard`, and on opening when older than an hour; strangers' files are never touched."""
    put_and_flushed(tmp_path, ["1"])
    (folder,) = tmp_path.iterdir()
    name = "0" * 32
    leftovers = [folder / f".{name}.rows.tmp1", folder / f".{name}.json.tmp2", folder / f"{name}.rows"]
    stranger = folder / "notes.txt"
    for path in (*leftovers, stranger):
        path.write_text("{}")
        os.utime(path, (0, time.time() - 3500))

    store = opened(tmp_path)
    assert (store.missing("shelf", ["leaf"], ["1"]), store.notes) == ([], ())
    assert all(path.exists() for path in leftovers)
    for path in (*leftovers[:2], stranger):
        os.utime(path, (0, time.time() - 3700))
    opened(tmp_path)
    assert [path.exists() for path in leftovers] == [False, False, True]
    store.discard()
    assert list(folder.iterdir()) == [stranger]


@contextmanager
def file_size_limit(size_bytes: int) -> Iterator[None]:
    """Files cannot grow beyond this: a disk that is full in the middle of a file."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("limit", [100, 200], ids=["rows do not fit", "manifest does not fit"])
def test_a_full_disk_gets_a_sentence(tmp_path: Path, limit: int) -> None:
    """Nothing torn is left, the rows stay in memory, and all goes on once there is room."""
    store = put_and_flushed(tmp_path, ["100"])
    before = files(tmp_path)
    ids = numbered(0, 8)
    store.put("shelf", "leaf", ids, rows_of(ids))
    with file_size_limit(limit), pytest.raises(StudyError, match=r"cannot be written: File too large\. Make room"):
        store.flush()

    assert files(tmp_path) == before
    assert same_bits(store.get("shelf", "leaf", ids), rows_of(ids))
    store.flush()
    assert opened(tmp_path).missing("shelf", ["leaf"], [*ids, "100"]) == []


def test_a_full_buffer_that_could_not_be_written_is_tried_again(tmp_path: Path) -> None:
    """A put that fails for the disk keeps what went before, and the next one goes on."""
    store = opened(tmp_path)
    with small_segments(4 * 24):
        with file_size_limit(50), pytest.raises(StudyError, match="cannot be written"):
            store.put("shelf", "leaf", numbered(0, 6), rows_of(numbered(0, 6)))
        assert store.missing("shelf", ["leaf"], numbered(0, 6)) == [4, 5]
        store.put("shelf", "leaf", numbered(4, 6), rows_of(numbered(4, 6)))
    store.flush()

    assert same_bits(opened(tmp_path).get("shelf", "leaf", numbered(0, 6)), rows_of(numbered(0, 6)))


def test_a_folder_that_cannot_be_made_gets_a_sentence(tmp_path: Path) -> None:
    """A file in its place, for one."""
    (tmp_path / "activations").write_text("")
    with pytest.raises(StudyError, match=r"activations/[0-9a-f]{16} cannot be opened"):
        opened(tmp_path / "activations")


if __name__ == "__main__":
    fill(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
