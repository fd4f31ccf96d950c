"""The part of a page with the scores that `evaluate` has measured."""

import html
from collections.abc import Sequence
from typing import Any

from gen_experiments.reports.run_data import RunData
from gen_experiments.reports.tables import table
from gen_experiments.units import with_unit


def evaluations(runs: Sequence[RunData], records: Sequence[dict[str, Any] | None]) -> str:
    """Returns the HTML of the scores of runs: by each extractor, and for each kind of damage.

    Args:
        runs: the runs.
        records: the evaluation of each run; None for none.
    """
    parts = []
    for run, record in zip(runs, records, strict=True):
        if record is None:
            continue
        parts.append(f"<h3>{html.escape(run.name)}</h3>{_scores(record)}")
        for other in record.get("by_other_extractors", ()):
            parts.append(f"<h4>by {html.escape(str(other['protocol']['extractor']))}</h4>{_scores(other)}")
        if "by_damage" in record:
            parts.append(_by_damage(record["by_damage"]))
    return "".join(parts)


def _scores(record: dict[str, Any]) -> str:
    rows = []
    for name, score in record["scores"].items():
        deviation = f" ± {score['deviation']:.3g}" if score.get("deviation") is not None else ""
        rows.append([with_unit(name), f"{score['value']:.6g}{deviation}", _interval(score)])
    protocol = record["protocol"]
    entries = {key: value for key, value in protocol.items() if not isinstance(value, (dict, list))}
    for role in ("evaluated", "reference"):
        entries |= {f"{role}: {key}": value for key, value in protocol[role].items() if value not in (None, "")}
    fields = table(["field", "value"], ([key, str(value)] for key, value in entries.items()))
    shown = table(["metric", "value", "95% interval"], rows)
    if outside := bias_warning(record["scores"]):
        shown += f"<p>{html.escape(outside)}</p>"
    return f"{shown}<details><summary>protocol</summary>{fields}</details>"


def _by_damage(kinds: Sequence[dict[str, Any]]) -> str:
    names = list(dict.fromkeys(name for kind in kinds for name in kind["scores"]))
    rows = []
    for kind in kinds:
        scores = (kind["scores"].get(name) for name in names)
        cells = ["" if score is None else f"{score['value']:.4g}{_bounds(score)}" for score in scores]
        rows.append([damage_text(kind["damage"]), *cells])
    return table(["damage of all images", *map(with_unit, names)], rows)


def _interval(score: dict[str, Any]) -> str:
    return "{:.6g} to {:.6g}".format(*score["interval"]) if "interval" in score else ""


def _bounds(score: dict[str, Any]) -> str:
    return f" ({_interval(score)})" if "interval" in score else ""


def damage_text(damage: dict[str, Any]) -> str:
    """Returns a short text for a kind of damage; two equal bounds of a strength become one number."""
    words = [damage["class_path"].rpartition(".")[2]]
    for name, value in damage["init_args"].items():
        same = isinstance(value, list) and len(set(map(str, value))) == 1
        words.append(f"{name} {value[0] if same else value}")
    return ", ".join(words)


def bias_warning(scores: dict[str, Any]) -> str:
    """Returns a sentence that names the scores of a record that lie outside of their intervals; empty for none."""
    names = [
        name
        for name, score in scores.items()
        if "interval" in score and not score["interval"][0] <= score["value"] <= score["interval"][1]
    ]
    if not names:
        return ""
    return (
        f"outside of its 95% interval: {', '.join(names)}; an interval is about very many images, and so few as these "
        "move a score away from theirs"
    )
