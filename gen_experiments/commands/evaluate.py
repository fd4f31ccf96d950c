"""`evaluate`: scores of images against others, each metric from one pass of each extractor, with the whole protocol."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch

from gen_experiments.commands.by_damage import scores_by_damage
from gen_experiments.commands.copies import OF_COPIES, copies
from gen_experiments.commands.devices import chosen_device
from gen_experiments.commands.inputs import (
    EVALUATION_FILE,
    SPLITS,
    Archive,
    Images,
    split_compared_with,
    split_images,
)
from gen_experiments.commands.model_images import images_of, opened
from gen_experiments.commands.passes import collected_of, extractor_needed
from gen_experiments.commands.printed import keep_record, print_record
from gen_experiments.commands.reconstructed import GAIN, OF_CODES, PAIRED
from gen_experiments.commands.remade import data_compared_with, remade_of, remakes
from gen_experiments.commands.training_data import training_data
from gen_experiments.data.damage import Damage
from gen_experiments.errors import UserError, check_interval
from gen_experiments.evaluation.intervals import add_intervals
from gen_experiments.evaluation.record import record, write_record
from gen_experiments.evaluation.scores import BY_CLASS, METRICS, check_counts, computable, score
from gen_experiments.losses.perceptual import Perceptual
from gen_experiments.metrics.features import FeatureExtractor
from gen_experiments.metrics.reconstruction import MS_SSIM_SIZE
from gen_experiments.progress import progress
from gen_experiments.runs.checkpoint_files import run_of
from gen_experiments.runs.job import is_first_process

NEEDS = {
    "ms_ssim": f" of {MS_SSIM_SIZE} pixels a side",
    GAIN: " of damaged pictures",
    **dict.fromkeys(OF_CODES, " by codes"),
}


@dataclass(frozen=True)
class Protocol:
    """How images are scored; the fields are the options of `evaluate`.

    Raises:
        UserError: a number is out of range, or there is no such metric.
    """

    metrics: list[str] | None
    num: int
    seed: int
    bootstrap: int
    device: str
    covariance: Literal["n-1", "n"] = "n-1"
    lpips: Perceptual | None = None
    damage: list[Damage] | None = None

    def __post_init__(self) -> None:
        check_interval("[2, inf)", num=self.num)
        check_interval("[0, inf)", seed=self.seed)
        if self.bootstrap:
            check_interval("[39, inf)", bootstrap=self.bootstrap)  # fewer resamples have no quantile of 2.5%
        known = (*METRICS, *OF_COPIES, *PAIRED, GAIN, "lpips", *OF_CODES)
        unknown = sorted(set(self.metrics or ()) - set(known))
        if unknown:
            raise UserError(f"there is no metric {unknown[0]}: choose from {', '.join(known)}")

    @property
    def of_features(self) -> bool | None:
        """Whether a metric needs features; None where all are meant that can be computed."""
        return None if self.metrics is None else bool({*self.metrics} & {*METRICS, *OF_COPIES})


def evaluate(
    evaluated: str,
    reference: str | None = None,
    metrics: list[str] | None = None,
    num: int = 10_000,
    seed: int = 0,
    extractor: FeatureExtractor | list[FeatureExtractor] | None = None,
    covariance: Literal["n-1", "n"] = "n-1",
    lpips: Perceptual | None = None,
    bootstrap: int = 0,
    damage: list[Damage] | None = None,
    device: str = "auto",
    json: str | None = None,
) -> None:
    """Scores images against others: FID, KID, IS, precision, recall, density, coverage and MIND, from one pass.

    Reconstructions are scored by PSNR, SSIM, MS-SSIM and LPIPS too, and their codes by how many are used and the bits
    they take. Each side is a checkpoint, a run (its best checkpoint), a folder of pictures, a data configuration
    (`FILE.yaml`, or `FILE.yaml:test` for another split than train), or an .npz file of samples (`arr_0`), statistics
    (`mu`, `sigma`) or features (`reps`). A model that reconstructs is scored by its reconstructions of the other side,
    one that translates or restores by what it makes of that side's sources, and a model of damaged data also by what it
    makes of every kind of damage alone. The pictures of a folder are framed, and where `data.fast_decoding` is
    set decoded, as those of the run or the data on the other side. The processes of torchrun share the images.

    Args:
        evaluated: what is scored.
        reference: what it is compared with: as above, or a split (train, val, test) of the data that the evaluated
            run was trained on; by default the split that its training compared with.
        metrics: names, such as [fid,kid]; by default all that what is known allows, but for fid_infinity, sfid (ADM's,
            by InceptionFeatures), near_copies and near_copies_p (see `memorisation`) and, without --lpips, lpips.
        num: images that a model generates.
        seed: names the sequence of a model's samples.
        extractor: whose features are compared, or a list of several; by default that of the evaluated run, or of a data
            configuration.
        covariance: by which count the covariances of FID are divided: n-1 as by NumPy, clean-fid, EDM and
            torch-fidelity, or n as in the code of StyleGAN2-ADA.
        lpips: the network of LPIPS and its weights, as in --lpips=Perceptual --lpips.net=alex; its weights are fetched.
        damage: kinds of damage, each of which all pictures go through alone, such as
            '[{class_path: GaussianNoise, init_args: {deviation: [0.3, 0.3]}}]'; by default those that the data of the
            other side name, each at its least and at its greatest strength.
        bootstrap: resamples of the evaluated images for 95% intervals, such as 1000; 0 for no intervals.
        device: auto (a GPU where there is one), cpu, cuda or cuda:N.
        json: a file for the record: the scores with their whole protocol; by default RUN/evaluation.json of a run.

    Raises:
        UserError: something named cannot be used, a number is out of range, a metric needs more than there is.
    """
    protocol = Protocol(metrics, num, seed, bootstrap, device, covariance, lpips, damage)
    networks = extractor if isinstance(extractor, list) else [extractor] if extractor is not None else []
    held = evaluation_of(evaluated, reference, networks, protocol)
    if not is_first_process():
        return
    for each in (held, *held.get("by_other_extractors", ())):
        print_record(each)
    if json is not None:
        write_record(held, Path(json))
        print(f"wrote the record to {json}")
    elif run_of(Path(evaluated)) is not None:
        keep_record(held, Path(evaluated) / EVALUATION_FILE, ": name a file for it by --json")


@torch.inference_mode()
def evaluation_of(
    evaluated: str, reference: str | None, networks: list[FeatureExtractor], protocol: Protocol
) -> dict[str, Any]:
    """Returns the record of an evaluation, by the first extractor; those by others are its `by_other_extractors`.

    Args:
        evaluated: as for `evaluate`.
        reference: as for `evaluate`.
        networks: the extractors; none for that of the inputs.
        protocol: the rest.

    Raises:
        UserError: see `evaluate`.
    """
    place = chosen_device(protocol.device)
    mine = opened(evaluated, place)
    if not networks:
        in_pairs = mine.model is not None and remakes(mine.model)
        networks = [extractor_needed((evaluated, reference), protocol.of_features, in_pairs)]
    networks = [network.to(place) for network in networks]
    theirs = None if reference is None or reference in SPLITS else opened(reference, place)
    checkpoint, model = mine.checkpoint, mine.model
    remade, compared = None, None
    if checkpoint is not None and remakes(model):
        compared = data_compared_with(checkpoint, reference) if theirs is None else theirs.data
    look = mine.look or (None if theirs is None else theirs.look)
    if compared is not None:
        real: Images | Archive = split_images(*compared)
    elif theirs is None:
        real = _own_split(evaluated, checkpoint, reference)
    else:
        real = images_of(theirs, look, protocol.num, protocol.seed)
    if model is not None and checkpoint is not None and remakes(model):
        remade = remade_of(model, checkpoint, real, compared, protocol.lpips, protocol.metrics)
    if protocol.damage is not None and compared is None:
        raise UserError("--damage is for a model that restores and a split of its data: leave it out here")
    fake = images_of(mine, look, protocol.num, protocol.seed) if remade is None else remade.images
    # Before the pass, which may take minutes.
    check_counts(protocol.metrics or (), getattr(fake, "count", None), getattr(real, "count", None))
    for name in protocol.metrics or ():
        if name in OF_COPIES and (checkpoint is None or remade is not None):
            raise UserError(f"{name} is for samples of a run: leave it out here")
        if name not in (*METRICS, *OF_COPIES) and (remade is None or name not in remade.metrics):
            raise UserError(f"{name} is for reconstructions{NEEDS.get(name, '')}: leave it out here")
    known = [network.fits(real.content or fake.content, "--extractor") for network in networks]
    sides = [collected_of(side, networks, place) for side in (fake, real)]
    of_pairs = {} if remade is None else remade.scores()
    records = []
    for network, knows, generated, originals in zip(networks, known, *sides, strict=True):
        generated.paired = remade is not None and remade.in_pairs
        for each in (generated, originals):
            each.by_n = protocol.covariance == "n"
            each.moments = each.divided(each.moments)
        wanted = protocol.metrics or [*computable(generated, originals, network), *of_pairs]
        if "missed" in wanted:
            for side, each in ((fake, generated), (real, originals)):
                each.labels = side.labels() if isinstance(side, Images) else None
        found = of_pairs | score(generated, originals, network, [name for name in wanted if name in METRICS])
        if checkpoint is not None and generated.features is not None and set(wanted) & set(OF_COPIES):
            found |= copies(checkpoint, generated.features, real.described, originals.features, network)
        found = {name: found[name] for name in (*wanted, *BY_CLASS) if name in found}
        if protocol.bootstrap and generated.moments.count is not None:
            add_intervals(found, generated.moments.count, protocol.bootstrap, _resamples)
        told = network.protocol() | {
            "extractor_knows_the_images": knows,
            "covariance": protocol.covariance,
            "metrics": wanted,
            "bootstrap": protocol.bootstrap,
        }
        for role, side, held in (("evaluated", fake, generated), ("reference", real, originals)):
            told[role] = {**side.described, "count": held.moments.count, "pixels_sha256": held.pixels_sha256}
        records.append(record(found, told))
    others: dict[str, Any] = {"by_other_extractors": records[1:]} if len(records) > 1 else {}
    if compared is not None and (compared[0].damage or protocol.damage):
        assert model is not None
        assert checkpoint is not None
        kinds, intervals = protocol.damage, protocol.bootstrap
        alone = scores_by_damage(model, checkpoint, *compared, kinds, protocol.lpips, protocol.metrics, intervals)
        others |= {"by_damage": alone} if alone else {}
    return records[0] | others


def _resamples(count: int) -> Iterator[range]:
    return progress(count, "resamples")


def _own_split(evaluated: str, checkpoint: Path | None, split: str | None) -> Images:
    """Returns a split of the data that a model that samples was trained on, by default what training compared with."""
    if checkpoint is None:
        raise UserError(f"{evaluated} has no data of its own to be compared with: name a reference after it")
    return split_images(training_data(str(checkpoint), None), split or split_compared_with(checkpoint, False))
