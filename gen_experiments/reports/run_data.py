"""Reads the folder of a run."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gen_experiments.checkpoints.paths import run_of
from gen_experiments.errors import UserError
from gen_experiments.runs.table import CsvTable
from gen_experiments.untrusted.plain_values import check_plain, read_yaml

PICTURE = re.compile(r"(?P<kind>.+)-(?P<step>\d+)\.png")
X_AXIS = "images_seen"
NO_CURVES = {X_AXIS, "epoch", "step"}


@dataclass
class RunData:
    """The contents of the folder of a run.

    Attributes:
        name: the title of the run on a page.
        folder: the folder.
        config: the configuration, as values by dotted keys.
        curves: for each metric, the images seen and the values, in order.
        pictures: for each kind, such as samples, the iterations and the files, in order.
    """

    name: str
    folder: Path
    config: dict[str, Any]
    curves: dict[str, tuple[list[float], list[float]]]
    pictures: dict[str, list[tuple[int, Path]]]

    @classmethod
    def read(cls, folder: Path) -> "RunData":
        """Reads the folder of a run.

        Raises:
            UserError: it is not the folder of a run, or the run has no curves.
        """
        if run_of(folder) is None:
            raise UserError(f"{folder} is no folder of a run: it has no config.yaml")
        path = folder / "config.yaml"
        config = read_yaml(path)
        check_plain(config, path)
        curves = _curves(folder / "metrics.csv")
        if not curves:
            raise UserError(f"{folder} has no curves yet: nothing is logged in its metrics.csv")
        return cls(str(folder), folder, _flat(config), curves, _pictures(folder / "images"))


def _curves(path: Path) -> dict[str, tuple[list[float], list[float]]]:
    curves: dict[str, tuple[list[float], list[float]]] = {}
    for row in CsvTable(path).rows():
        try:
            values = {name: float(value) for name, value in row.items()}
        except ValueError:
            raise UserError(f"{path} is damaged: it holds other things than numbers") from None
        for name in values.keys() - NO_CURVES:
            if X_AXIS in values:
                x, y = curves.setdefault(name, ([], []))
                x.append(values[X_AXIS])
                y.append(values[name])
    return curves


def _pictures(folder: Path) -> dict[str, list[tuple[int, Path]]]:
    by_name: dict[str, list[tuple[int, Path]]] = {}
    for path in sorted(folder.glob("*.png")):
        if match := PICTURE.fullmatch(path.name):
            by_name.setdefault(match["kind"], []).append((int(match["step"]), path))
    return {kind: sorted(pictures) for kind, pictures in by_name.items()}


def _flat(value: Any, key: str = "") -> dict[str, Any]:
    """Returns the leaves of a configuration by their dotted keys, without `class_path` and `init_args` in the keys."""
    if not isinstance(value, (dict, list)) or not value:
        return {key: value}
    flat: dict[str, Any] = {}
    for name, item in value.items() if isinstance(value, dict) else enumerate(value):
        if name == "init_args":
            flat |= _flat(item, key) if item else {}  # of a class without any, the name of the class stands
        else:
            flat |= _flat(item, (f"{key}.{name}" if key else str(name)).removesuffix(".class_path"))
    return flat
