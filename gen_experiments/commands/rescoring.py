"""Runs evaluated again by one protocol, for `compare --rescore`."""

from pathlib import Path
from typing import Any

from gen_experiments.callbacks.protocols import image_mapping
from gen_experiments.checkpoints.loading import load_model
from gen_experiments.checkpoints.paths import checkpoint_of
from gen_experiments.commands.evaluate import evaluation_of
from gen_experiments.commands.evaluating.extraction import extractor_needed
from gen_experiments.commands.evaluating.image_sets import split_compared_with
from gen_experiments.commands.evaluating.printing import keep_record
from gen_experiments.commands.evaluating.protocol import Protocol
from gen_experiments.evaluation.records import EVALUATION_FILE
from gen_experiments.metrics.features import FeatureExtractor
from gen_experiments.models.base import ImageModel
from gen_experiments.runs.job import is_first_process


def rescore_runs(
    runs: list[str], reference: str | None, extractor: FeatureExtractor | None, **options: Any
) -> list[dict[str, Any]]:
    """Evaluates runs by one protocol, and replaces their records; returns these in the order of the runs.

    Args:
        runs: folders of runs.
        reference: the images to compare with; None takes the split that the first run's training compared with.
        extractor: the feature extractor; None takes that of the first run.
        options: the further fields of `Protocol`.

    Raises:
        UserError: as for `evaluate`.
    """
    reference = reference or _first_reference(Path(runs[0]))
    protocol = Protocol(**options)
    network = extractor or extractor_needed(runs, protocol.of_features, False)
    records = []
    for run in runs:
        record = evaluation_of(run, reference, [network], protocol)
        records.append(record)
        if is_first_process():
            keep_record(record, Path(run) / EVALUATION_FILE)
    return records


def _first_reference(run: Path) -> str:
    """Returns the data and the split that the training of a run compares with, as `evaluate` takes them."""
    checkpoint = checkpoint_of(run)
    assert checkpoint is not None
    reconstructs = image_mapping(load_model(checkpoint, ImageModel, "be evaluated")) is not None
    return f"{run / 'config.yaml'}:{split_compared_with(checkpoint, reconstructs)}"
