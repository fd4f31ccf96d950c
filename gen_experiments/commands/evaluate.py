"""`evaluate`: scores of images against others, each metric from one pass of the extractor, with the whole protocol."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from gen_experiments.callbacks.protocols import Reconstructs, Translates
from gen_experiments.commands.devices import chosen_device
from gen_experiments.commands.inputs import (
    EVALUATION_FILE,
    SPLITS,
    Archive,
    Images,
    configured_data,
    split_images,
)
from gen_experiments.commands.model_images import common_spec, images_of
from gen_experiments.commands.passes import collected_of, extractor_for
from gen_experiments.commands.progress import progress
from gen_experiments.commands.reconstructed import OF_CODES, PAIRED, Reconstructions
from gen_experiments.commands.training_data import contents_of, run_config, training_data
from gen_experiments.errors import UserError, check_interval
from gen_experiments.evaluation.record import record, write_record
from gen_experiments.evaluation.scores import METRICS, add_intervals, computable, score
from gen_experiments.metrics.features import FeatureExtractor
from gen_experiments.metrics.reconstruction import MS_SSIM_SIZE
from gen_experiments.models.base import ImageModel
from gen_experiments.models.checkpoints import load_model
from gen_experiments.runs.checkpoint_files import checkpoint_of, run_of

NEEDS = {"ms_ssim": f" of {MS_SSIM_SIZE} pixels a side", **dict.fromkeys(OF_CODES, " by codes")}
# Of what the record says about each side, what is printed.
SAID = ("kind", "path", "model", "images_seen", "split", "source", "size", "seed", "count")


def evaluate(
    evaluated: str,
    reference: str | None = None,
    metrics: list[str] | None = None,
    num: int = 10_000,
    seed: int = 0,
    extractor: FeatureExtractor | None = None,
    bootstrap: int = 0,
    device: str = "auto",
    json: str | None = None,
) -> None:
    """Scores images against others: FID, KID, IS, precision, recall, density, coverage and MIND, from one pass.

    Reconstructions are scored by PSNR, SSIM and MS-SSIM too, and their codes by how many are used and the bits they
    take. Each side is a checkpoint, a run (its best checkpoint), a folder of pictures, a data configuration
    (`FILE.yaml`, or `FILE.yaml:test` for another split than train), or an .npz file of samples (`arr_0`), statistics
    (`mu`, `sigma`) or features (`reps`). A model that reconstructs is scored by its reconstructions of the other side,
    one that translates by what it makes of that side's sources.

    Args:
        evaluated: what is scored.
        reference: what it is compared with: as above, or a split (train, val, test) of the data that the evaluated
            run was trained on; by default the split that its training compared with.
        metrics: names, such as [fid,kid]; by default all that what is known allows, but for fid_infinity.
        num: images that a model generates.
        seed: names the sequence of a model's samples.
        extractor: whose features are compared; by default that of the evaluated run, or of a data configuration.
        bootstrap: resamples of the evaluated images for 95% intervals, such as 1000; 0 for no intervals.
        device: auto (a GPU where there is one), cpu, cuda or cuda:N.
        json: a file for the record: the scores with their whole protocol; by default RUN/evaluation.json of a run.

    Raises:
        UserError: something named cannot be used, a number is out of range, a metric needs more than there is.
    """
    held = evaluation_of(evaluated, reference, metrics, num, seed, extractor, bootstrap, device)
    print_record(held)
    kept = json or (Path(evaluated) / EVALUATION_FILE if run_of(Path(evaluated)) is not None else None)
    if kept is not None:
        write_record(held, Path(kept))
        print(f"wrote the record to {kept}")


@torch.inference_mode()
def evaluation_of(
    evaluated: str,
    reference: str | None,
    metrics: list[str] | None,
    num: int,
    seed: int,
    extractor: FeatureExtractor | None,
    bootstrap: int,
    device: str,
) -> dict[str, Any]:
    """Returns the record of an evaluation; arguments and errors are those of `evaluate`."""
    check_interval("[2, inf)", num=num)
    check_interval("[0, inf)", seed=seed)
    if bootstrap:
        check_interval("[39, inf)", bootstrap=bootstrap)  # fewer resamples have no quantile of 2.5%
    known_metrics = (*METRICS, *PAIRED, *OF_CODES)
    unknown = sorted(set(metrics or ()) - set(known_metrics))
    if unknown:
        raise UserError(f"there is no metric {unknown[0]}: choose from {', '.join(known_metrics)}")
    place = chosen_device(device)
    network = (extractor or extractor_for(evaluated, reference)).to(place)
    checkpoint, spec = checkpoint_of(Path(evaluated)), common_spec(evaluated, reference)
    model = None if checkpoint is None else load_model(checkpoint, ImageModel, "be evaluated").to(place)
    if reference is None or reference in SPLITS:
        real: Images | Archive = _own_split(evaluated, checkpoint, reference, remakes(model))
    else:
        real = images_of(reference, spec, num, seed, place)
    remade = None
    if model is not None and checkpoint is not None and isinstance(model, Reconstructs):
        remade = Reconstructions(model, checkpoint, real)
    elif model is not None and checkpoint is not None and isinstance(model, Translates):
        remade = _translations(model, checkpoint, real, reference)
    fake = images_of(evaluated, spec, num, seed, place) if remade is None else remade.images
    # Before the pass, which may take minutes.
    for name in metrics or ():
        if name not in METRICS and (remade is None or name not in remade.metrics):
            raise UserError(f"{name} is for reconstructions{NEEDS.get(name, '')}: leave it out here")
    known = network.fits(real.content or fake.content, "--extractor")
    generated, originals = (collected_of(side, network, place) for side in (fake, real))
    generated.paired = remade is not None and remade.in_pairs
    of_pairs = {} if remade is None else remade.scores()
    wanted = metrics or [*computable(generated, originals, network), *of_pairs]
    found = of_pairs | score(generated, originals, network, [name for name in wanted if name in METRICS])
    found = {name: found[name] for name in wanted}
    if bootstrap and generated.moments.count is not None:
        add_intervals(found, generated.moments.count, bootstrap, lambda count: progress(count, "resamples", 1))
    protocol: dict[str, Any] = {
        **network.protocol(),
        "extractor_knows_the_images": known,
        "metrics": wanted,
        "bootstrap": bootstrap,
    }
    for role, side, held in zip(("evaluated", "reference"), (fake, real), (generated, originals), strict=True):
        protocol[role] = {**side.described, "count": held.moments.count, "pixels_sha256": held.pixels_sha256}
    return record(found, protocol)


def print_record(held: dict[str, Any]) -> None:
    """Prints the scores of a record as a table, and below it what they are of."""
    protocol = held["protocol"]
    table = Table("metric", "value", *(["95% interval"] if protocol["bootstrap"] else []), "settings")
    for name, found in held["scores"].items():
        settings = ", ".join(f"{value} {key.replace('_', ' ')}" for key, value in found["settings"].items())
        cells = [f"{found['value']:.6g}" + (f" ± {found['deviation']:.4g}" if "deviation" in found else "")]
        if protocol["bootstrap"]:
            cells.append("{:.6g} to {:.6g}".format(*found["interval"]) if "interval" in found else "")
        table.add_row(name, *cells, settings)
    Console(soft_wrap=True).print(table)
    for role in ("evaluated", "reference"):
        said = [f"{key} {value}" for key, value in protocol[role].items() if key in SAID and value is not None]
        print(f"{role}: {', '.join(said)}")
    knows = "" if protocol["extractor_knows_the_images"] else ", which was not trained on such images"
    print(f"features: {protocol['extractor']}{knows}, {protocol['resize']}")


def remakes(model: object) -> bool:
    """Returns whether a model makes an image of each that it is given."""
    return isinstance(model, (Reconstructs, Translates))


def _translations(
    model: ImageModel, checkpoint: Path, real: Images | Archive, reference: str | None
) -> Reconstructions:
    """Returns what a model turns the sources of the reference's images into."""
    if reference is None or reference in SPLITS:
        data, split = training_data(str(checkpoint), None), reference or split_compared_with(checkpoint, True)
    elif (configured := configured_data(reference)) is not None:
        data, _, split = configured
    else:
        raise UserError(f"{checkpoint} translates: name a split of its data ({', '.join(SPLITS)}) or a configuration")
    return Reconstructions(
        model, checkpoint, real, lambda part: data.sources(split, np.arange(part.start, part.stop)), data.in_pairs
    )


def _own_split(evaluated: str, checkpoint: Path | None, split: str | None, reconstructs: bool) -> Images:
    """Returns a split of the data that a checkpoint was trained on, by default the one that training compared with."""
    if checkpoint is None:
        raise UserError(f"{evaluated} has no data of its own to be compared with: name a reference after it")
    return split_images(training_data(str(checkpoint), None), split or split_compared_with(checkpoint, reconstructs))


def split_compared_with(checkpoint: Path, reconstructs: bool) -> str:
    """Returns the split that the training of a checkpoint's run compares what the model makes with.

    Raises:
        UserError: the run's configuration is not there or names no split.
    """
    if reconstructs:
        return "val"
    evaluation = contents_of(run_config(str(checkpoint), None)).get("evaluation")
    split = str(evaluation.get("reference", "train")) if isinstance(evaluation, dict) else "train"
    if split not in SPLITS:
        raise UserError(f"the run of {checkpoint} compares with {split}, which is no split: name a reference")
    return split
