"""The curves of a run in one CSV file, which a resumed run continues."""

from pathlib import Path
from typing import Any

from lightning.pytorch.loggers import Logger
from lightning.pytorch.utilities import rank_zero_only

from gen_experiments.runs.logged import STEP, LoggedValues
from gen_experiments.runs.table import CsvTable


class MetricsCSV(Logger):
    """Appends a row to `metrics.csv` of the run's folder whenever values are logged; all rows have all columns.

    Values that were logged already (see `LoggedValues`) are left out.

    Args:
        save_dir: the run's folder.
    """

    def __init__(self, save_dir: str = "RUN_DIR") -> None:
        super().__init__()
        self._folder = Path(save_dir)
        self._table = CsvTable(self._folder / "metrics.csv")
        self._logged = LoggedValues()

    @property
    def name(self) -> str:
        """Empty: the run's folder has the name."""
        return ""

    @property
    def version(self) -> str:
        """Empty: the run's folder has the version."""
        return ""

    @property
    def save_dir(self) -> str:
        """The run's folder."""
        return str(self._folder)

    def log_hyperparams(self, *args: Any, **kwargs: Any) -> None:
        """Does nothing: config.yaml holds them."""

    @rank_zero_only
    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        """Appends a row of metrics by name; `step` is the number of iterations before the one that is logged.

        Raises:
            UserError: the file cannot be written.
        """
        row = self._logged.new({**metrics, STEP: step or 0})
        if row:
            self._table.append(row)

    @rank_zero_only
    def rewind(self, step: int) -> None:
        """Removes every row of the iterations from number `step` on, counted from 0.

        Raises:
            UserError: the file cannot be written.
        """
        rows = [row for row in self._table.rows() if row.get(STEP, "").isdigit() and int(row[STEP]) < step]
        self._logged = LoggedValues()
        for row in rows:
            self._logged.new(row)
        self._table.replace(rows)
