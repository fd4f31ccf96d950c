"""Records of several evaluations: whether they can be ranked, and which is best."""

from collections.abc import Sequence
from typing import Any

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
    if not all("interval" in each for each in scores):
        return first, "without error bars"
    low, high = scores[first]["interval"]
    for number, each in enumerate(scores):
        if number != first and each["interval"][0] <= high and low <= each["interval"][1]:
            return None, "no winner, intervals overlap"
    return first, ""


def _differing(each: Sequence[dict[str, Any]]) -> dict[str, list[Any]]:
    names = dict.fromkeys(name for fields in each for name in fields)
    found = {name: [fields.get(name) for fields in each] for name in names}
    return {name: values for name, values in found.items() if any(value != values[0] for value in values)}


def _fields(protocol: dict[str, Any]) -> dict[str, Any]:
    found = {name: protocol.get(name) for name in PROTOCOL}
    found |= {f"reference.{name}": protocol["reference"].get(name) for name in OF_THE_REFERENCE}
    found |= {f"evaluated.{name}": protocol["evaluated"].get(name) for name in OF_THE_EVALUATED}
    found["evaluated.reconstructions"] = protocol["evaluated"].get("kind") == RECONSTRUCTIONS
    return found
