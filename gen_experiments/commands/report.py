"""`report`: writes a page about runs from their folders."""

from pathlib import Path

from gen_experiments.errors import UserError
from gen_experiments.evaluation.records import EVALUATION_FILE, read_record
from gen_experiments.reports.page import page
from gen_experiments.reports.run_data import RunData
from gen_experiments.storage import atomic_write


def report(runs: list[str], out: str = "report.html") -> None:
    """Writes a page with the curves, pictures, evaluations and configurations of runs; it needs no other file.

    Args:
        runs: folders of runs, whose curves share their plots.
        out: the HTML file.

    Raises:
        UserError: a folder is not a run's, a run has no curves, or `out` cannot be written or does not end in .html.
    """
    if Path(out).suffix != ".html":
        raise UserError(f"a report is written to a file that ends in .html, not to {out}")
    data = [RunData.read(Path(run)) for run in dict.fromkeys(runs)]
    paths = [run.folder / EVALUATION_FILE for run in data]
    records = [read_record(path) if path.is_file() else None for path in paths]
    with atomic_write(Path(out)) as temporary:
        temporary.write_text(page(data, records), encoding="utf-8")
    print(f"wrote a report of {len(data)} run{'s' if len(data) > 1 else ''} to {out}")
