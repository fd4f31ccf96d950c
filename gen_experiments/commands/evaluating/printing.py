"""Prints and writes the record of an evaluation."""

from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from gen_experiments.errors import UserError
from gen_experiments.evaluation.records import write_record
from gen_experiments.metrics.modes import ALARM, hardly_generated
from gen_experiments.reports.evaluations import bias_warning, damage_text
from gen_experiments.units import with_unit

# The printed fields of each side's description.
FIELDS = ("kind", "path", "model", "images_seen", "split", "source", "size", "crop", "seed", "count")


def print_record(record: dict[str, Any]) -> None:
    """Prints the scores of a record as a table, and the two sides below it."""
    protocol = record["protocol"]
    table = Table("metric", "value", *(["95% interval"] if protocol["bootstrap"] else []), "settings")
    for name, score in record["scores"].items():
        settings = [f"{value} {key.replace('_', ' ')}" for key, value in score["settings"].items()]
        settings += [f"class {score['class']}"] if "class" in score else []
        cells = [f"{score['value']:.6g}" + (f" ± {score['deviation']:.4g}" if "deviation" in score else "")]
        if protocol["bootstrap"]:
            cells.append("{:.6g} to {:.6g}".format(*score["interval"]) if "interval" in score else "")
        table.add_row(with_unit(name), *cells, ", ".join(settings))
    Console(soft_wrap=True).print(table)
    without = [name for name, score in record["scores"].items() if "interval" not in score]
    if protocol["bootstrap"] and without:
        print(f"no interval is known to hold for {', '.join(without)}")
    if outside := bias_warning(record["scores"]):
        print(outside)
    for name in ("missed", "class_missed"):
        if name in record["scores"] and (share := record["scores"][name]["value"]) > ALARM:
            hardly = hardly_generated(f"{share:.0%}", record["scores"][name].get("class"))
            print(f"{hardly}: modes are missing, whatever the FID")
    if "by_damage" in record:
        _print_by_damage(record["by_damage"])
    for role in ("evaluated", "reference"):
        fields = [f"{key} {value}" for key, value in protocol[role].items() if key in FIELDS and value is not None]
        print(f"{role}: {', '.join(fields)}")
    if protocol["extractor"] is None:
        return
    knows = "" if protocol["extractor_knows_the_images"] else ", which was not trained on such images"
    divided = "" if protocol["covariance"] == "n-1" else ", covariances divided by n"
    print(f"features: {protocol['extractor']}{knows}, {protocol['resize']}{divided}")


def keep_record(record: dict[str, Any], path: Path, hint: str = "") -> None:
    """Writes the record of a run into its folder and says so; `hint` is advice for a folder that is read-only."""
    try:
        write_record(record, path)
    except UserError as error:
        # The scores are printed anyway.
        print(f"the record is not kept ({error}){hint}")
    else:
        print(f"wrote the record to {path}")


def _print_by_damage(rows: list[dict[str, Any]]) -> None:
    """Prints the scores of each kind of damage."""
    names = list(dict.fromkeys(name for row in rows for name in row["scores"]))
    table = Table("damage of all images", *map(with_unit, names))
    for row in rows:
        cells = [f"{row['scores'][name]['value']:.4g}" if name in row["scores"] else "" for name in names]
        table.add_row(damage_text(row["damage"]), *cells)
    Console(soft_wrap=True).print(table)
