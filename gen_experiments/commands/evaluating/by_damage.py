"""Scores a model's restoration of each kind of damage alone."""

from collections.abc import Sequence
from copy import copy
from functools import partial
from pathlib import Path
from typing import Any

from gen_experiments.checkpoints.arguments import arguments_of, class_path
from gen_experiments.commands.evaluating.extraction import BATCH
from gen_experiments.commands.evaluating.image_sets import split_images
from gen_experiments.commands.evaluating.reconstructions import Reconstructions, source_images_of_split
from gen_experiments.data.damage import Damage
from gen_experiments.data.datamodule import ImageDataModule
from gen_experiments.evaluation.intervals import Score, add_intervals
from gen_experiments.losses.perceptual import Perceptual
from gen_experiments.models.base import ImageModel
from gen_experiments.progress import progress


def scores_by_damage(
    model: ImageModel,
    checkpoint: Path,
    data: ImageDataModule,
    split: str,
    *,
    damage: list[Damage] | None,
    lpips: Perceptual | None,
    wanted: Sequence[str] | None,
    bootstrap: int,
) -> list[dict[str, Any]]:
    """Returns the scores of restorations for each kind of damage, applied to all pictures.

    An image's random numbers are those of validation and test.

    Args:
        model: one that reconstructs or translates images.
        checkpoint: its file.
        data: the data of the images.
        split: the split of the data.
        damage: kinds, each of which all images go through alone; None for those of the data, each at its least and at
            its greatest strength.
        lpips: by what LPIPS is measured; None for none, unless it is wanted.
        wanted: names of metrics; None for all of pairs. Where none of these is wanted, nothing is computed.
        bootstrap: resamples for 95% intervals; 0 for none.
    """
    kinds = [kind for part in data.damage for kind in part.fixed()] if damage is None else damage
    originals = split_images(data, split)
    rows = []
    for kind in kinds:
        alone = copy(data)
        alone.damage = [kind]
        sources = partial(source_images_of_split, alone, split)
        restored = Reconstructions(
            model,
            checkpoint,
            originals,
            sources=sources,
            in_pairs=alone.in_pairs,
            lpips=lpips,
            wanted=wanted,
            with_codes=False,
        )
        names = [name for name in restored.metrics if wanted is None or name in wanted]
        if not names:
            return []
        for part in progress(len(data.split(split)), "images", BATCH, shared=True):
            restored.images.read(part)
        all_scores = restored.scores()
        scores = {name: all_scores[name] for name in names}
        if bootstrap and originals.count is not None:
            add_intervals(scores, originals.count, bootstrap)
        rows.append(_row(kind, scores))
    return rows


def _row(kind: Damage, scores: dict[str, Score]) -> dict[str, Any]:
    damage = {"class_path": class_path(type(kind)), "init_args": arguments_of(kind)}
    return {"damage": damage, "scores": {name: score.to_json() for name, score in scores.items()}}
