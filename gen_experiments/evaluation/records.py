"""Records of evaluations: the scores, and the protocol that one must know to compare them; and several compared."""

import json
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gen_experiments.errors import UserError
from gen_experiments.storage import atomic_write

if TYPE_CHECKING:
    from gen_experiments.evaluation.intervals import Score

EVALUATION_FILE = "evaluation.json"  # in the folder of a run
PACKAGES = ("gen_experiments", "torch", "torchmetrics", "torch-fidelity", "numpy")
# What must be equal for two numbers to be ranked. Seeds, paths and versions may differ.
PROTOCOL = ("extractor", "weights_sha256", "resize", "extractor_knows_the_images", "covariance")
OF_THE_REFERENCE = ("split", "count", "size", "crop", "pixels_sha256", "sha256")
OF_THE_EVALUATED = ("count", "size")
RECONSTRUCTIONS = "reconstructions"
# Metrics with smaller values for better images; all others have larger ones.
SMALLER_IS_BETTER = (
    "fid",
    "sfid",
    "fid_infinity",
    "kid",
    "mind",
    "lpips",
    "l1",
    "near_copies",
    "missed",
    "class_missed",
    "bits_per_pixel",
)


def record_of(scores: dict[str, "Score"], protocol: dict[str, Any]) -> dict[str, Any]:
    """Returns scores and protocol as plain values, with the versions of the packages."""
    import torch  # here, as `report` reads records without it

    versions = {name: version(name) for name in PACKAGES}
    return {
        "scores": {name: score.to_json() for name, score in scores.items()},
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
        for score in record["scores"].values():
            score |= {"value": float(score["value"]), "settings": dict(score["settings"])}
            if "interval" in score:
                low, high = map(float, score["interval"])
                score["interval"] = [low, high]
        protocol = record["protocol"]
        if not all(isinstance(protocol[role], dict) for role in ("evaluated", "reference")):
            raise TypeError("a side is no description")
    except OSError as error:
        raise UserError(f"there is no record at {path} ({error.strerror}): write one by evaluate") from None
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        raise UserError(f"{path} holds no record of an evaluation: write it anew by evaluate") from None
    return record


def differences(records: Sequence[dict[str, Any]]) -> dict[str, list[Any]]:
    """Returns the fields in which protocols differ, with the values of all records."""
    return _differing([_fields(record["protocol"]) for record in records])


def differing_settings(records: Sequence[dict[str, Any]], metric: str) -> dict[str, list[Any]]:
    """Returns the settings in which a metric differs, with the values of all records."""
    return _differing([record["scores"][metric]["settings"] for record in records])


def better(records: Sequence[dict[str, Any]], metric: str) -> tuple[int | None, str]:
    """Returns the index of the best record by a metric, None if there is none, and a remark.

    A score whose interval overlaps another has not won.
    """
    scores = [record["scores"][metric] for record in records]
    sign = 1 if metric in SMALLER_IS_BETTER else -1
    first, second, *_ = sorted(range(len(scores)), key=lambda number: sign * scores[number]["value"])
    if scores[first]["value"] == scores[second]["value"]:
        return None, "equal"
    if not all("interval" in score for score in scores):
        return first, "without error bars"
    low, high = scores[first]["interval"]
    for number, score in enumerate(scores):
        if number != first and score["interval"][0] <= high and low <= score["interval"][1]:
            return None, "no winner, intervals overlap"
    return first, ""


def _differing(rows: Sequence[dict[str, Any]]) -> dict[str, list[Any]]:
    names = dict.fromkeys(name for fields in rows for name in fields)
    values_of = {name: [fields.get(name) for fields in rows] for name in names}
    return {name: values for name, values in values_of.items() if any(value != values[0] for value in values)}


def _fields(protocol: dict[str, Any]) -> dict[str, Any]:
    fields = {name: protocol.get(name) for name in PROTOCOL}
    fields |= {f"reference.{name}": protocol["reference"].get(name) for name in OF_THE_REFERENCE}
    fields |= {f"evaluated.{name}": protocol["evaluated"].get(name) for name in OF_THE_EVALUATED}
    fields["evaluated.reconstructions"] = protocol["evaluated"].get("kind") == RECONSTRUCTIONS
    return fields
