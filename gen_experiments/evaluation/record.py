"""The record of an evaluation: the scores, and the protocol that one must know to compare them."""

import json
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from gen_experiments.evaluation.intervals import Score
from gen_experiments.storage import atomic_write

PACKAGES = ("gen_experiments", "torch", "torchmetrics", "torch-fidelity", "numpy")


def record(scores: dict[str, Score], protocol: dict[str, Any]) -> dict[str, Any]:
    """Returns scores and protocol as plain values, with the versions of the packages."""
    versions = {name: version(name) for name in PACKAGES}
    return {
        "scores": {name: found.to_json() for name, found in scores.items()},
        "protocol": {**protocol, "versions": versions, "threads": torch.get_num_threads()},
    }


def write_record(held: dict[str, Any], path: Path) -> None:
    """Writes a record as JSON.

    Raises:
        UserError: the file cannot be written.
    """
    with atomic_write(path) as temporary:
        temporary.write_text(json.dumps(held, indent=1) + "\n", encoding="utf-8")
