"""`compare`: a table of the scores of several runs, ranked only where their protocols agree."""

import inspect
import shlex
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from gen_experiments.checkpoints.paths import run_of
from gen_experiments.errors import UserError
from gen_experiments.evaluation.records import EVALUATION_FILE, better, differences, differing_settings, read_record
from gen_experiments.metrics.features import FeatureExtractor
from gen_experiments.reports.evaluations import bias_warning
from gen_experiments.runs.job import is_first_process
from gen_experiments.units import with_unit


def compare(
    runs: list[str],
    rescore: bool = False,
    reference: str | None = None,
    metrics: list[str] | None = None,
    num: int = 10_000,
    seed: int = 0,
    extractor: FeatureExtractor | None = None,
    bootstrap: int = 200,
    device: str = "auto",
) -> None:
    """Prints the records of evaluations beside each other, and which is better or why they cannot be ranked.

    Numbers of different protocols are not ranked: the differing fields are printed. A number does not win if its 95%
    interval overlaps another's.

    Args:
        runs: two or more folders of runs that `evaluate` has scored, or records (JSON) that it wrote.
        rescore: evaluate all runs again by one protocol, which the following options set; replaces the runs' records.
        reference: the images to compare with; by default the split that the first run's training compared with.
        metrics: names; by default all that can be computed.
        num: the number of images that a model generates.
        seed: the seed of a model's samples.
        extractor: the feature extractor; by default that of the first run.
        bootstrap: resamples for the 95% intervals; 0 for no intervals.
        device: auto (a GPU where there is one), cpu, cuda or cuda:N.

    Raises:
        UserError: fewer than two runs, a run without a record, an option of `rescore` without it, or as for `evaluate`.
    """
    if len(runs) < 2:
        raise UserError("name at least two runs or records to compare")
    options: dict[str, Any] = {"reference": reference, "metrics": metrics, "num": num, "seed": seed}
    options |= {"extractor": extractor, "bootstrap": bootstrap, "device": device}
    if rescore:
        from gen_experiments.commands.rescoring import rescore_runs  # slow to import

        for run in runs:
            _check_run(run)
        records = rescore_runs(runs, **options)
    else:
        usual = inspect.signature(compare).parameters
        changed = [name for name, value in options.items() if value != usual[name].default]
        if changed:
            raise UserError(f"--{changed[0]} is for scoring the runs again: add --rescore, or leave it out")
        records = [_record_of(name) for name in runs]
    if not is_first_process():
        return
    differ = print_comparison(runs, records)
    if differ and not rescore:
        print("score them under one protocol by --rescore")


def print_comparison(names: list[str], records: list[dict[str, Any]]) -> bool:
    """Prints the metrics that all records have, and the fields that keep them from being ranked.

    Returns:
        Whether there are such fields.

    Raises:
        UserError: no metric is in all records.
    """
    differing = differences(records)
    table = Table("metric", *(str(number + 1) for number in range(len(names))), "better")
    shared = [name for name in records[0]["scores"] if all(name in record["scores"] for record in records)]
    if not shared:
        raise UserError("the records have no metric in common: evaluate the runs by the same --metrics, or --rescore")
    for metric in shared:
        settings = differing_settings(records, metric)
        if differing or settings:
            remark = "not ranked" + "".join(f", {name} {_join(values)}" for name, values in settings.items())
        else:
            number, note = better(records, metric)
            remark = note if number is None else f"{number + 1}{', ' if note else ''}{note}"
        table.add_row(with_unit(metric), *(_cell(record["scores"][metric]) for record in records), remark)
    Console(soft_wrap=True).print(table)
    for number, name in enumerate(names):
        print(f"{number + 1}: {name}")
        if outside := bias_warning(records[number]["scores"]):
            print(f"   {outside}")
    for field, values in differing.items():
        print(f"not ranked, as {field} differs: {_join(values)}")
    return bool(differing)


def _record_of(name: str) -> dict[str, Any]:
    if Path(name).suffix == ".json":
        return read_record(Path(name))
    _check_run(name)
    path = Path(name) / EVALUATION_FILE
    if not path.is_file():
        raise UserError(
            f"the run {name} has no record yet: run evaluate {shlex.quote(str(name))}, or compare with --rescore"
        )
    return read_record(path)


def _check_run(name: str) -> None:
    if run_of(Path(name)) is None:
        raise UserError(f"{name} is no folder of a run, nor a record that ends in .json")


def _join(values: list[Any]) -> str:
    return ", ".join(str(value) for value in values)


def _cell(score: dict[str, Any]) -> str:
    if "interval" in score:
        return "{:.6g} ({:.6g} to {:.6g})".format(score["value"], *score["interval"])
    return f"{score['value']:.6g}"
