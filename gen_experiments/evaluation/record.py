"""The record of an evaluation: the scores, and the protocol that one must know to compare them."""

import json
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gen_experiments.errors import UserError
from gen_experiments.storage import atomic_write

if TYPE_CHECKING:
    from gen_experiments.evaluation.intervals import Score

EVALUATION_FILE = "evaluation.json"  # in the folder of a run
PACKAGES = ("gen_experiments", "torch", "torchmetrics", "torch-fidelity", "numpy")


def record_of(scores: dict[str, "Score"], protocol: dict[str, Any]) -> dict[str, Any]:
    """Returns scores and protocol as plain values, with the versions of the packages."""
    import torch  # here, as `report` reads records without it

    versions = {name: version(name) for name in PACKAGES}
    return {
        "scores": {name: found.to_json() for name, found in scores.items()},
        "protocol": {**protocol, "versions": versions, "threads": torch.get_num_threads()},
    }


def write_record(record: dict[str, Any], path: Path) -> None:
    """Writes a record as JSON.

    Raises:
        UserError: the file cannot be written.
    """
    with atomic_write(path) as temporary:
        temporary.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


def read_record(path: Path) -> dict[str, Any]:
    """Returns the record that `evaluate` has written to a file.

    Raises:
        UserError: there is no such file, or it holds no record.
    """
    try:
        record: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        for found in record["scores"].values():
            found |= {"value": float(found["value"]), "settings": dict(found["settings"])}
            if "interval" in found:
                low, high = map(float, found["interval"])
                found["interval"] = [low, high]
        protocol = record["protocol"]
        if not all(isinstance(protocol[role], dict) for role in ("evaluated", "reference")):
            raise TypeError("a side is no description")
    except OSError as error:
        raise UserError(f"there is no record at {path} ({error.strerror}): write one by evaluate") from None
    except (ValueError, TypeError, KeyError, AttributeError):
        raise UserError(f"{path} holds no record of an evaluation: write it anew by evaluate") from None
    return record
