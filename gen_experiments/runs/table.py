"""A CSV file that grows by rows, and by the columns of new values."""

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from gen_experiments.errors import UserError
from gen_experiments.storage import append_line, atomic_write


class CsvTable:
    """The rows of a CSV file, whose columns are the names in all rows, in alphabetical order.

    Args:
        path: the file; the first row makes it.

    Raises:
        UserError: from every method that writes, if the file cannot be written.
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
            line = io.StringIO(newline="")
            csv.DictWriter(line, columns).writerow(row)
            append_line(self.path, line.getvalue())

    def rows(self) -> list[dict[str, str]]:
        """Returns the rows as text, without missing values, and without rows of fewer or more values than columns."""
        try:
            with self.path.open(newline="", encoding="utf-8", errors="replace") as file:
                found = list(csv.DictReader(file))
        except FileNotFoundError:
            return []
        whole = (row for row in found if None not in row and None not in row.values())
        return [{name: value for name, value in row.items() if value} for row in whole]

    def replace(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Replaces all rows; without any, removes the file."""
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
    """Turns an OSError into a UserError that names the file which could not be written."""
    try:
        yield
    except OSError as error:
        raise UserError(
            f"cannot write {path}: {error.strerror}; make room or choose another place by --run.root"
        ) from None
