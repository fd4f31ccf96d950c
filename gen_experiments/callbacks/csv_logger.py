"""The curves of a run as one CSV file that a resumed run continues."""

import csv
from pathlib import Path
from typing import Any

from lightning.pytorch.loggers import Logger
from lightning.pytorch.utilities import rank_zero_only

from gen_experiments.errors import UserError
from gen_experiments.storage import atomic_write

STEP = "step"


class MetricsCSV(Logger):
    """Appends a row to `metrics.csv` of the run's folder whenever values are logged; all rows have all columns.

    A row whose step and names of values are those of a row before is the same row logged twice, as happens where a run
    goes on from a checkpoint that was written between a row and what follows it. It is left out.

    Args:
        save_dir: the run's folder.
    """

    def __init__(self, save_dir: str = "RUN_DIR") -> None:
        super().__init__()
        self._folder = Path(save_dir)
        self._columns: list[str] | None = None
        self._rows_of_step: dict[int, list[set[str]]] = {}  # the names in the rows of the last step

    @property
    def name(self) -> str:
        """Nothing: the run's folder has the name."""
        return ""

    @property
    def version(self) -> str:
        """Nothing, likewise."""
        return ""

    @property
    def save_dir(self) -> str:
        """The run's folder."""
        return str(self._folder)

    @property
    def path(self) -> Path:
        """The file."""
        return self._folder / "metrics.csv"

    def log_hyperparams(self, *args: Any, **kwargs: Any) -> None:
        """Does nothing: config.yaml holds them."""

    @rank_zero_only
    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        """Appends a row.

        Args:
            metrics: name to value.
            step: iterations before the one that is logged.

        Raises:
            UserError: the file cannot be written.
        """
        number = step or 0
        rows = self._rows_of_step.get(number, [])
        if set(metrics) in rows:
            return
        self._rows_of_step = {number: [*rows, set(metrics)]}
        columns = self._known_columns()
        try:
            if missing := {*metrics, STEP} - set(columns):
                columns = self._columns = sorted({*columns, *missing})
                self._rewrite(self._read())
            with self.path.open("a", newline="", encoding="utf-8") as file:
                csv.DictWriter(file, columns).writerow({**metrics, STEP: number})
        except OSError as error:
            raise UserError(
                f"cannot write {self.path}: {error.strerror}; make room, then go on by --ckpt_path=last"
            ) from None

    @rank_zero_only
    def rewind(self, step: int) -> None:
        """Takes back every row of the iterations from number `step` on, counted from 0.

        Raises:
            UserError: the file cannot be written.
        """
        rows = [row for row in self._read() if int(row[STEP]) < step]
        self._known_columns()
        self._rows_of_step = {}
        for row in rows:
            names = {name for name, value in row.items() if value and name != STEP}
            self._rows_of_step.setdefault(int(row[STEP]), []).append(names)
        self._rows_of_step = {step - 1: self._rows_of_step.get(step - 1, [])}
        try:
            if rows:
                self._rewrite(rows)
            else:
                self.path.unlink(missing_ok=True)
                self._columns = None
        except OSError as error:
            raise UserError(
                f"cannot write {self.path}: {error.strerror}; make room, then go on by --ckpt_path=last"
            ) from None

    def _known_columns(self) -> list[str]:
        if self._columns is None:
            try:
                with self.path.open(newline="", encoding="utf-8") as file:
                    self._columns = next(csv.reader(file), [])
            except (OSError, UnicodeDecodeError, csv.Error):
                self._columns = []
        return self._columns

    def _read(self) -> list[dict[str, str]]:
        """The rows; a last one that a kill has cut short is left out."""
        try:
            with self.path.open(newline="", encoding="utf-8") as file:
                rows = list(csv.DictReader(file))
        except (OSError, UnicodeDecodeError, csv.Error):
            return []
        return [row for row in rows if None not in row.values() and (row.get(STEP) or "").isdigit()]

    def _rewrite(self, rows: list[dict[str, str]]) -> None:
        with atomic_write(self.path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, self._known_columns())
            writer.writeheader()
            writer.writerows(rows)
