"""What the scores of a run are measured by: scores that differ in it do not choose the best checkpoint together."""

import math
from pathlib import Path
from typing import Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import EarlyStopping, ModelCheckpoint

from gen_experiments.callbacks.changes import hash_of_images
from gen_experiments.callbacks.divergence import StopOnDivergence
from gen_experiments.callbacks.evaluation import Evaluation
from gen_experiments.callbacks.lookups import callbacks_of, data_of
from gen_experiments.callbacks.protocols import Samples

MEASURED_BY = "measured_by"  # in a checkpoint of a run that has a best score


def has_best(trainer: Trainer) -> bool:
    """Returns whether a score has chosen a checkpoint."""
    return any(callback.best_model_score is not None for callback in callbacks_of(trainer, ModelCheckpoint))


def measured_by(trainer: Trainer, model: LightningModule) -> dict[str, Any]:
    """Returns what scores of validations depend on beside the model: the images and the protocol, as plain values."""
    data, fields, splits = data_of(trainer), dict[str, Any](), {"val"}
    for evaluation in callbacks_of(trainer, Evaluation):
        fields |= evaluation.protocol()
        if not isinstance(model, Samples):
            for name in ("samples", "seed", "reference"):
                del fields[name]
        elif getattr(model, "score_without_fid", None) is None:
            splits = {evaluation.reference}
        else:
            splits.add(evaluation.reference)
    limit = trainer.limit_val_batches
    if "val" in splits and (isinstance(limit, int) or limit < 1):
        fields["limit_val_batches"] = f"{limit} of {data.eval_batch_size} images"
    return fields | {f"images of {split}": hash_of_images(data, split) for split in sorted(splits)}


def forget_scores(trainer: Trainer, states: dict[str, Any]) -> list[Path]:
    """Removes from the states of callbacks what they compare scores with; returns the files of the best checkpoints.

    Args:
        trainer: of the resumed run.
        states: those of all callbacks, by their keys; changed in place.
    """
    best = []
    for callback in callbacks_of(trainer, ModelCheckpoint):
        if callback.monitor is not None:
            state = states.pop(callback.state_key, {})
            best.append(Path(state.get("best_model_path", "")))
    for early in callbacks_of(trainer, EarlyStopping):
        states.pop(early.state_key, None)
    for watching in callbacks_of(trainer, StopOnDivergence):
        if watching.state_key in states:
            states[watching.state_key] |= {"best": math.inf, "worse": 0}
    return [path for path in best if path.is_file()]
