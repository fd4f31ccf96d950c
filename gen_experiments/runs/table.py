"""A CSV file that grows by rows, and by columns where a row has new ones."""

import csv
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from gen_experiments.errors import UserError
from gen_experiments.storage import atomic_write


class CsvTable:
    """Rows of a CSV file whose columns are all that any row has, in alphabetical order.

    Args:
        path: the file; it comes with the first row.

    Raises:
        UserError: from every method that writes, where the file cannot be written.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._columns: list[str] | None = None

    def append(self, row: Mapping[str, Any]) -> None:
        """Adds a row at the end."""
        columns = self._known_columns()
        with named_errors(self.path):
            if missing := set(row) - set(columns):
                columns = self._columns = sorted({*columns, *missing})
                self._rewrite(self.rows())
            with self.path.open("a", newline="", encoding="utf-8") as file:
                csv.DictWriter(file, columns).writerow(row)

    def rows(self) -> list[dict[str, str]]:
        """Returns the rows as text, without the values that they lack; a last one that a kill has cut is left out."""
        try:
            with self.path.open(newline="", encoding="utf-8", errors="replace") as file:
                found = list(csv.DictReader(file))
        except FileNotFoundError:
            return []
        return [{name: value for name, value in row.items() if value} for row in found if None not in row.values()]

    def replace(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Puts `rows` in the place of all; without any the file goes."""
        self._known_columns()
        with named_errors(self.path):
            if rows:
                self._rewrite(rows)
            else:
                self.path.unlink(missing_ok=True)
                self._columns = None

    def _known_columns(self) -> list[str]:
        if self._columns is None:
            try:
                with self.path.open(newline="", encoding="utf-8", errors="replace") as file:
                    self._columns = next(csv.reader(file), [])
            except FileNotFoundError:
                self._columns = []
        return self._columns

    def _rewrite(self, rows: Sequence[Mapping[str, Any]]) -> None:
        with atomic_write(self.path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, self._known_columns())
            writer.writeheader()
            writer.writerows(rows)


@contextmanager
def named_errors(path: Path) -> Iterator[None]:
    """Turns the system's error into a line that says which file of the run could not be written."""
    try:
        yield
    except OSError as error:
        raise UserError(
            f"cannot write {path}: {error.strerror}; make room or choose another place by --run.root"
        ) from None
