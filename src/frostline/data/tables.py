"""Tables of text cells: CSV, TSV, JSONL and Parquet files.

Knows files, rows and columns; nothing of labels, splits or models. A row is always named by the
number an editor shows for it, so a message can be followed to the place it speaks of.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from frostline.core.errors import DataError, suggestion


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Table:
    """The rows of one file."""

    name: str
    """File name, as messages show it."""
    columns: tuple[str, ...]
    rows: Sequence[Sequence[Any]]
    """One value per column; None where the file says nothing."""
    numbers: Sequence[int]
    """Number of each row's first line in the file; in Parquet, of the row. Both count from 1."""

    def __len__(self) -> int:
        return len(self.rows)

    def __repr__(self) -> str:
        return f"Table({self.name}: {len(self)} rows; {', '.join(self.columns)})"

    def where(self, row: int) -> str:
        """Where a row stands: "messages.csv row 17". `row` counts from 0."""
        return f"{self.name} row {self.numbers[row]}"

    def column(self, name: str) -> list[str]:
        """All values of one column, as text; an empty string where there is none.

        Raises:
            DataError: There is no such column, or a value is not text, number, date or truth value.
        """
        at = self.position(name)
        return [self._text(row, name, cells[at]) for row, cells in enumerate(self.rows)]

    def filled(self, name: str) -> list[str]:
        """The same, for a column in which every row must say something.

        Raises:
            DataError: As `column`; or a cell is empty or white space.
        """
        values = self.column(name)
        for row, value in enumerate(values):
            if not value.strip():
                raise DataError(self._nothing_in(name, row, sum(not other.strip() for other in values)))
        return values

    def position(self, name: str) -> int:
        """Which column carries the name, counted from 0.

        Raises:
            DataError: There is no such column.
        """
        if name not in self.columns:
            raise DataError(f"{self.name} has no column {name!r}. {suggestion(name, self.columns)}")
        return self.columns.index(name)

    def _nothing_in(self, name: str, row: int, empty: int) -> str:
        if empty == 1:
            return f"{self.where(row)} has nothing in column {name!r}. Fill it in, or take the row out."
        return (
            f"{self.where(row)} has nothing in column {name!r}, the first of {empty} such rows among {len(self)}. "
            "Fill them in, or take these rows out."
        )

    def _text(self, row: int, column: str, value: Any) -> str:
        if value is None:
            return ""
        if isinstance(value, bool):
            return str(value).lower()
        if isinstance(value, list | dict | bytes):
            raise DataError(
                f"{self.where(row)} holds a {type(value).__name__} in column {column!r} where text is needed. "
                "Name another column, or store plain text there."
            )
        text = str(value)
        if not is_encodable(text):
            raise DataError(
                f"{self.where(row)} holds half of a surrogate pair in column {column!r}, which is no character. "
                "Write the file again from its source, or take the row out."
            )
        return text


def read_table(path: Path) -> Table:
    r"""Read one table; the suffix names the format.

    In TSV a quote mark is an ordinary character and a line is a row, always: many such files hold
    unpaired quote marks, and taking them for quoting would glue rows together without a word.

    Args:
        path: A file ending in .csv, .tsv, .jsonl or .parquet; text in UTF-8, with or without a mark (BOM).

    Returns:
        The table, with at least one row.

    Raises:
        DataError: The file is missing, empty, not UTF-8, of another format or malformed; or
            pyarrow, which reads Parquet, is not installed.

    Source: RFC 4180 for CSV, IANA text/tab-separated-values for TSV.

    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     path = Path(folder, "messages.csv")
    ...     _ = path.write_text('label,text\nham,"see you\nat six"\nspam,WIN a phone\n')
    ...     table = read_table(path)
    >>> table.column("label"), table.where(1)
    (['ham', 'spam'], 'messages.csv row 4')
    """
    read = READERS.get(path.suffix.lower())
    if read is None:
        raise DataError(
            f"{path.name} is not a table frostline can read: the name must end in {', '.join(READERS)}. "
            "Save it as one of these."
        )
    try:
        if not path.exists():
            raise DataError(f"{path} does not exist. Check the path; it is read from the current folder.")
        if not path.is_file():
            raise DataError(f"{path} is a folder where a table file is needed.")
        if path.stat().st_size == 0:
            raise DataError(f"{path.name} is empty (0 bytes). Give a file with a header and at least one row.")
        table = read(path)
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror or error}). Check its permissions.") from error
    if len(table) == 0:
        found = f"a header ({', '.join(table.columns)})" if table.columns else "blank lines"
        raise DataError(f"{path.name} holds {found} but no rows. Add at least one row.")
    return table


def _read_csv(path: Path) -> Table:
    return _delimited(path, csv.reader(_lines(path), strict=True))


def _read_tsv(path: Path) -> Table:
    return _delimited(path, csv.reader(_lines(path), delimiter="\t", quoting=csv.QUOTE_NONE))


def _read_jsonl(path: Path) -> Table:
    objects: list[dict[str, Any]] = []
    numbers: list[int] = []
    for number, line in enumerate(_lines(path), start=1):
        if line.strip():
            objects.append(_json_object(path.name, number, line))
            numbers.append(number)
    columns = tuple(dict.fromkeys(key for one in objects for key in one))
    return Table(
        name=path.name, columns=columns, rows=[[one.get(key) for key in columns] for one in objects], numbers=numbers
    )


def _read_parquet(path: Path) -> Table:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise DataError(
            f"{path.name} is a Parquet file, and reading it needs pyarrow: pip install 'frostline[hf]'"
        ) from error
    try:
        found = pyarrow.parquet.ParquetFile(path).read()
    except pyarrow.ArrowException as error:
        raise DataError(
            f"{path.name} cannot be read as Parquet ({_first_line(error)}). Write it again from its source."
        ) from error
    columns = tuple(map(str, found.column_names))
    _check_header(path.name, columns)
    rows = list(zip(*(column.to_pylist() for column in found.columns), strict=True))
    return Table(name=path.name, columns=columns, rows=rows, numbers=range(1, len(rows) + 1))


READERS: Mapping[str, Callable[[Path], Table]] = {
    ".csv": _read_csv,
    ".tsv": _read_tsv,
    ".jsonl": _read_jsonl,
    ".parquet": _read_parquet,
}
"""How each suffix is read."""


def _lines(path: Path) -> io.StringIO:
    """The file's lines with their ends kept: cells may hold line breaks of any kind."""
    content = path.read_bytes()
    try:
        return io.StringIO(content.decode("utf-8-sig"), newline="")
    except UnicodeDecodeError as error:
        # Positions in the error start behind the mark, those in the file before it.
        offset = error.start + len(content) - len(error.object)
        row = len(content[:offset].splitlines(keepends=True) or [b""])
        row += content[:offset].endswith((b"\n", b"\r"))
        encoding = "UTF-16" if content.startswith((b"\xff\xfe", b"\xfe\xff")) else "LATIN1"
        raise DataError(
            f"{path.name} is not UTF-8: row {row} holds byte 0x{content[offset]:02x} at byte offset {offset}. "
            f"Convert it with `iconv -f {encoding} -t UTF-8 {path.name}`, naming the encoding it was written in."
        ) from error


def _delimited(path: Path, cells: Any) -> Table:
    rows: list[list[str]] = []
    numbers: list[int] = []
    header: tuple[str, ...] = ()
    for number, row in _numbered(path.name, cells):
        if not header:
            header = tuple(name.strip() for name in row)
            _check_header(path.name, header)
        elif len(row) != len(header):
            raise DataError(_ragged(path, number, len(row), len(header)))
        else:
            rows.append(row)
            numbers.append(number)
    return Table(name=path.name, columns=header, rows=rows, numbers=numbers)


def _numbered(name: str, cells: Any) -> Iterator[tuple[int, list[str]]]:
    """Rows that are not blank, each with the number of its first line. `cells` is a `csv.reader`."""
    while True:
        number = cells.line_num + 1
        try:
            row = next(cells, None)
        except csv.Error as error:
            raise DataError(
                f"{name} row {number} cannot be read as CSV ({error}). Wrap a cell that holds commas, quotes or "
                "line breaks in quotes, and write each quote inside it twice."
            ) from error
        if row is None:
            return
        if row:
            yield number, row


def _check_header(name: str, columns: Sequence[str]) -> None:
    twice = next((column for column in columns if columns.count(column) > 1), None)
    if twice is not None:
        raise DataError(f"{name} has two columns named {twice!r}. Rename one of them.")
    if len(columns) == 1 and (other := next((mark for mark in ";\t|" if mark in columns[0]), None)):
        raise DataError(
            f"{name} has a single column, {columns[0]!r}: its cells seem separated by {other!r}. "
            "Save it with commas as .csv or with tabs as .tsv."
        )


def _ragged(path: Path, number: int, found: int, wanted: int) -> str:
    advice = (
        "Put cells that hold commas or line breaks in quotes."
        if path.suffix.lower() == ".csv"
        else "In TSV no cell can hold a tab or a line break; save the table as CSV if some do."
    )
    return f"{path.name} row {number} has {found} cells where the header has {wanted}. {advice}"


def _json_object(name: str, number: int, line: str) -> dict[str, Any]:
    try:
        value = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise DataError(
            f"{name} row {number} is not JSON ({_first_line(error)}). Each line must be one JSON object."
        ) from error
    if not isinstance(value, dict):
        raise DataError(
            f"{name} row {number} is a JSON {type(value).__name__} where an object is needed, such as "
            '{"label": "spam", "text": "..."}.'
        )
    return value


def is_encodable(text: str) -> bool:
    """Whether a text can be stored: JSON escapes and names of files may hold halves of characters."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")
