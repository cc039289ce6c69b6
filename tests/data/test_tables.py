"""Reading tables: what is in them, where it stands, and one sentence for everything that can be wrong."""

from __future__ import annotations

import csv
import json
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import pyarrow
import pyarrow.parquet
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from frostline.core.errors import DataError
from frostline.data.tables import read_table


def written(folder: Path, name: str, content: str | bytes) -> Path:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def refusal(path: Path) -> str:
    with pytest.raises(DataError) as caught:
        read_table(path)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.csv", "label,text\nham,hello\nspam,win\n"),
        ("a.csv", "label,text\r\nham,hello\r\n\r\nspam,win"),
        ("a.csv", b"\xef\xbb\xbflabel , text\nham,hello\nspam,win\n"),
        ("a.TSV", "label\ttext\nham\thello\nspam\twin\n"),
        ("a.jsonl", '{"label": "ham", "text": "hello"}\n\n{"text": "win", "label": "spam"}\n'),
    ],
)
def test_formats_tell_the_same(tmp_path: Path, name: str, content: str | bytes) -> None:
    """The format, the byte order mark, line ends and blank lines change nothing of what is read."""
    table = read_table(written(tmp_path, name, content))

    assert table.columns == ("label", "text")
    assert table.column("label") == ["ham", "spam"]
    assert table.column("text") == ["hello", "win"]


def test_parquet_values_become_text(tmp_path: Path) -> None:
    """Numbers, truth values and nulls of a typed file read as they would from JSON."""
    columns = {"label": [1, 0], "text": ["a", None], "flag": [True, False]}
    pyarrow.parquet.write_table(pyarrow.table(columns), tmp_path / "a.parquet")

    table = read_table(tmp_path / "a.parquet")

    assert [table.column(name) for name in table.columns] == [["1", "0"], ["a", ""], ["true", "false"]]
    assert table.where(0) == "a.parquet row 1"


def test_rows_are_numbered_as_an_editor_shows_them(tmp_path: Path) -> None:
    """The header, blank lines and line breaks inside cells all count."""
    table = read_table(written(tmp_path, "m.csv", 'label,text\nham,"one\ntwo\nthree"\n\nspam,win\n'))

    assert [table.where(row) for row in range(len(table))] == ["m.csv row 2", "m.csv row 6"]


def test_quotes_in_tsv_are_ordinary(tmp_path: Path) -> None:
    """An unpaired quote mark must not swallow the rows that follow it."""
    table = read_table(written(tmp_path, "m.tsv", 'label\ttext\nham\t"Gimme a sec\nspam\twin a "phone"\n'))

    assert table.column("text") == ['"Gimme a sec', 'win a "phone"']


cells = st.text(st.characters(codec="utf-8", exclude_characters="\r\x00"), min_size=1)


@given(rows=st.lists(st.tuples(cells, cells), min_size=1, max_size=8))
def test_csv_reads_back_what_python_writes(rows: list[tuple[str, str]]) -> None:
    """Any cell survives the way through a file, and the row number leads back to its first line."""
    with TemporaryDirectory() as folder:
        path = Path(folder, "m.csv")
        with path.open("w", encoding="utf-8", newline="") as file:
            csv.writer(file, quoting=csv.QUOTE_ALL, lineterminator="\n").writerows([("a", "b"), *rows])
        table = read_table(path)
        lines = path.read_bytes().decode().split("\n")

    assert list(zip(table.column("a"), table.column("b"), strict=True)) == rows
    for row, (first, _) in enumerate(rows):
        quoted = '"' + first.replace('"', '""')
        assert lines[table.numbers[row] - 1].startswith(quoted.split("\n")[0])


@given(rows=st.lists(st.dictionaries(st.sampled_from("abc"), cells, min_size=1), min_size=1, max_size=8))
def test_jsonl_reads_back_what_python_writes(rows: list[dict[str, str]]) -> None:
    """A key that a line lacks reads as empty."""
    with TemporaryDirectory() as folder:
        path = Path(folder, "m.jsonl")
        path.write_text(
            "\n".join(json.dumps(row, ensure_ascii=False).replace("\x85", "\\u0085") for row in rows), "utf-8"
        )
        table = read_table(path)

    assert {key for row in rows for key in row} == set(table.columns)
    assert all(table.column(key) == [row.get(key, "") for row in rows] for key in table.columns)


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.csv", "", "a.csv is empty (0 bytes)"),
        ("a.csv", "\n\n", "blank lines but no rows"),
        ("a.csv", "label,text\n", "a header (label, text) but no rows"),
        ("a.csv", "label,text\nham,hi\nham,caf\xe9\n".encode("latin-1"), "row 3 holds byte 0xe9 at byte offset 25"),
        ("a.csv", b"\xef\xbb\xbflabel,text\n\xff,hi\n", "row 2 holds byte 0xff at byte offset 14"),
        ("a.csv", "label,text\nham,hi\n".encode("utf-16"), "iconv -f UTF-16 -t UTF-8 a.csv"),
        ("a.csv", "label,text\nham,hi\nspam,win, now\n", "a.csv row 3 has 3 cells where the header has 2. Put cells"),
        ("a.tsv", "label\ttext\nham\n", "a.tsv row 2 has 1 cells where the header has 2. In TSV"),
        ("a.csv", 'label,text\nham,hi\nham,"open\nspam,win\n', "a.csv row 3 cannot be read as CSV"),
        ("a.csv", f"label,text\nham,{'x' * 200_000}\n", "a.csv row 2 cannot be read as CSV"),
        ("a.csv", "label,label\nham,hi\n", "two columns named 'label'"),
        ("a.csv", "label;text\nham;hi\n", "seem separated by ';'"),
        ("a.jsonl", '{"a": 1}\n{"a": \n', "a.jsonl row 2 is not JSON"),
        ("a.jsonl", "[" * 100_000 + "\n", "a.jsonl row 1 is not JSON"),
        ("a.jsonl", '{"a": 1}\n[1]\n', "a.jsonl row 2 is a JSON list where an object is needed"),
        ("a.parquet", "no parquet", "cannot be read as Parquet"),
        ("a.xlsx", "anything", "the name must end in .csv, .tsv, .jsonl, .parquet. Save it"),
    ],
)
def test_what_is_wrong_is_said_in_one_sentence(tmp_path: Path, name: str, content: str | bytes, said: str) -> None:
    """Every malformed file is refused with its name and, where there is one, the row."""
    assert said in refusal(written(tmp_path, name, content))


def test_missing_file_and_folder_are_refused(tmp_path: Path) -> None:
    """A path that leads nowhere, or to a folder, is told apart from a bad file."""
    (tmp_path / "folder.csv").mkdir()

    assert "does not exist" in refusal(tmp_path / "none.csv")
    assert "is a folder" in refusal(tmp_path / "folder.csv")


def test_parquet_without_pyarrow_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The optional reader is named together with the command that installs it."""
    monkeypatch.setitem(sys.modules, "pyarrow", None)

    assert "pip install 'frostline[hf]'" in refusal(written(tmp_path, "a.parquet", "PAR1"))


def test_unknown_column_suggests_the_nearest(tmp_path: Path) -> None:
    """A typing mistake is answered with the column that was meant."""
    table = read_table(written(tmp_path, "a.csv", "label,text\nham,hi\n"))

    with pytest.raises(DataError, match=r"a.csv has no column 'lable'. Did you mean 'label'\?"):
        table.column("lable")


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('{"text": "  "}', "a.jsonl row 2 has nothing in column 'text'"),
        ('{"label": "ham"}', "a.jsonl row 2 has nothing in column 'text'. Fill it in, or take the row out."),
        (
            '{"text": ""}\n{"text": " "}',
            "row 2 has nothing in column 'text', the first of 2 such rows among 3. Fill them",
        ),
        ('{"text": ["hi"]}', "a.jsonl row 2 holds a list in column 'text'"),
        (r'{"text": "\ud83d"}', "half of a surrogate pair"),
    ],
)
def test_cell_that_says_nothing_is_named(tmp_path: Path, line: str, said: str) -> None:
    """A column that must be filled names the row that is not; a sound file passes."""
    with pytest.raises(DataError) as caught:
        read_table(written(tmp_path, "a.jsonl", '{"text": "hi"}\n' + line)).filled("text")

    assert said in str(caught.value)
    assert read_table(written(tmp_path, "b.jsonl", '{"text": "hi"}\n')).filled("text") == ["hi"]


@example(content=b"\x00\x0b\x00", suffix=".csv")
@given(content=st.binary(max_size=200), suffix=st.sampled_from([".csv", ".tsv", ".jsonl", ".parquet"]))
def test_no_bytes_make_a_traceback(content: bytes, suffix: str) -> None:
    """Whatever a file holds, it is read or refused with one line."""
    with TemporaryDirectory() as folder:
        path = Path(folder, "a" + suffix)
        path.write_bytes(content)
        try:
            table = read_table(path)
            assert len(table) > 0
            assert all(len(table.column(name)) == len(table) for name in table.columns)
        except DataError as error:
            assert len(str(error).splitlines()) == 1
