"""`evaluate`: scores of images against others, each metric from one pass of each extractor, with the whole protocol."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import torch

from gen_experiments.checkpoints.paths import run_of
from gen_experiments.commands.devices import chosen_device
from gen_experiments.commands.evaluating.by_damage import scores_by_damage
from gen_experiments.commands.evaluating.copies import OF_COPIES, copies
from gen_experiments.commands.evaluating.extraction import extractor_needed, features_of
from gen_experiments.commands.evaluating.image_sets import Images
from gen_experiments.commands.evaluating.printing import keep_record, print_record
from gen_experiments.commands.evaluating.protocol import Protocol
from gen_experiments.commands.evaluating.sides import Sides, open_sides
from gen_experiments.data.damage import Damage
from gen_experiments.evaluation.feature_set import FeatureSet
from gen_experiments.evaluation.intervals import Score, add_intervals
from gen_experiments.evaluation.records import EVALUATION_FILE, record_of, write_record
from gen_experiments.evaluation.scores import BY_CLASS, METRICS, computable, score
from gen_experiments.losses.perceptual import Perceptual
from gen_experiments.metrics.features import FeatureExtractor
from gen_experiments.priors.decoding import UNCHANGED, DecodingChanges
from gen_experiments.progress import progress
from gen_experiments.runs.job import is_first_process
from gen_experiments.storage import prepare_file


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
    decoding: DecodingChanges = UNCHANGED,
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
        evaluated: the images to score: CHECKPOINT, RUN, DIR, FILE.yaml, FILE.yaml:test or FILE.npz.
        reference: the images to compare with: as before, or a split (train, val, test) of the evaluated run's data; by
            default the split that its training compared with.
        metrics: names, such as [fid,kid]; by default all that can be computed, except fid_infinity, sfid (ADM's, by
            InceptionFeatures), near_copies and near_copies_p (see `memorisation`) and, without --lpips, lpips.
        num: the number of images that a model generates.
        seed: the seed of a model's samples.
        extractor: the feature extractor, or a list of several; by default that of the evaluated run or of a data
            configuration.
        covariance: the divisor of FID's covariances: n-1 as in NumPy, clean-fid, EDM and torch-fidelity, or n as in the
            code of StyleGAN2-ADA.
        lpips: the network of LPIPS and its weights, as in --lpips=Perceptual --lpips.net=alex; its weights are fetched.
        damage: kinds of damage, each of which all pictures go through alone, such as
            '[{class_path: GaussianNoise, init_args: {deviation: [0.3, 0.3]}}]'; by default those that the data of the
            other side name, each at its least and at its greatest strength.
        decoding: what to change of how an evaluated prior draws codes, as in --decoding.guidance=2.
        bootstrap: resamples of the evaluated images for 95% intervals, such as 1000; 0 for no intervals.
        device: auto (a GPU where there is one), cpu, cuda or cuda:N.
        json: a file for the record: the scores with their whole protocol; by default RUN/evaluation.json of a run.

    Raises:
        UserError: an input cannot be used, a number is out of range, a metric needs more than the inputs have, or
            the file of the record cannot be written.
    """
    protocol = Protocol(
        metrics=metrics,
        num=num,
        seed=seed,
        bootstrap=bootstrap,
        device=device,
        covariance=covariance,
        lpips=lpips,
        damage=damage,
        decoding=decoding,
    )
    if json is not None:
        prepare_file(Path(json))
    networks = extractor if isinstance(extractor, list) else [extractor] if extractor is not None else []
    record = evaluation_of(evaluated, reference, networks, protocol)
    if not is_first_process():
        return
    for one in (record, *record.get("by_other_extractors", ())):
        print_record(one)
    if json is not None:
        write_record(record, Path(json))
        print(f"wrote the record to {json}")
    elif run_of(Path(evaluated)) is not None:
        keep_record(record, Path(evaluated) / EVALUATION_FILE, ": name a file for it by --json")


@torch.inference_mode()
def evaluation_of(
    evaluated: str, reference: str | None, networks: list[FeatureExtractor], protocol: Protocol
) -> dict[str, Any]:
    """Returns the record of an evaluation, by the first extractor; those by others are its `by_other_extractors`.

    Args:
        evaluated: as for `evaluate`.
        reference: as for `evaluate`.
        networks: the extractors; none for that of the inputs.
        protocol: the other options.

    Raises:
        UserError: see `evaluate`.
    """
    place = chosen_device(protocol.device)
    sides = open_sides(evaluated, reference, protocol, place)
    if not networks:
        networks = [extractor_needed((evaluated, reference), protocol.of_features, sides.reconstructions is not None)]
    networks = [network.to(place) for network in networks]
    sides.check(protocol, networks)
    knowledge = [network.fits(sides.content, "--extractor") for network in networks]
    features_of_sides = [features_of(side, networks, place) for side in (sides.fake, sides.real)]
    of_pairs = {} if sides.reconstructions is None else sides.reconstructions.scores()
    records = []
    for network, knows, generated, originals in zip(networks, knowledge, *features_of_sides, strict=True):
        scores, wanted = _scores(sides, network, generated, originals, of_pairs, protocol)
        record_protocol = network.protocol() | {
            "extractor_knows_the_images": knows,
            "covariance": protocol.covariance,
            "metrics": wanted,
            "bootstrap": protocol.bootstrap,
        }
        for role, side, features in (("evaluated", sides.fake, generated), ("reference", sides.real, originals)):
            identity = {"count": features.moments.count, "pixels_sha256": features.pixels_sha256}
            record_protocol[role] = {**side.described, **identity}
        records.append(record_of(scores, record_protocol))
    others: dict[str, Any] = {"by_other_extractors": records[1:]} if len(records) > 1 else {}
    if sides.data is not None and (sides.data[0].damage or protocol.damage):
        assert sides.model is not None
        assert sides.checkpoint is not None
        rows = scores_by_damage(
            sides.model,
            sides.checkpoint,
            *sides.data,
            damage=protocol.damage,
            lpips=protocol.lpips,
            wanted=protocol.metrics,
            bootstrap=protocol.bootstrap,
        )
        others |= {"by_damage": rows} if rows else {}
    return records[0] | others


def _scores(
    sides: Sides,
    network: FeatureExtractor,
    generated: FeatureSet,
    originals: FeatureSet,
    of_pairs: Mapping[str, Score],
    protocol: Protocol,
) -> tuple[dict[str, Score], list[str]]:
    """Returns the scores by one extractor, and the names of those that were asked for; `of_pairs` need no extractor."""
    wanted = protocol.metrics or [*computable(generated, originals, network), *of_pairs]
    by_n, in_pairs = protocol.covariance == "n", sides.reconstructions is not None and sides.reconstructions.in_pairs
    fake_labels, real_labels = (
        side.labels() if "missed" in wanted and isinstance(side, Images) else None for side in (sides.fake, sides.real)
    )
    generated = replace(generated, paired=in_pairs, by_n=by_n, labels=fake_labels)
    originals = replace(originals, by_n=by_n, labels=real_labels)
    scores = {**of_pairs, **score(generated, originals, network, [name for name in wanted if name in METRICS])}
    if sides.checkpoint is not None and generated.features is not None and set(wanted) & set(OF_COPIES):
        reference = sides.real.described
        scores |= copies(sides.checkpoint, generated.features, reference, originals.features, network)
    scores = {name: scores[name] for name in (*wanted, *BY_CLASS) if name in scores}
    if protocol.bootstrap and generated.moments.count is not None:
        add_intervals(scores, generated.moments.count, protocol.bootstrap, _resamples)
    return scores, wanted


def _resamples(count: int) -> Iterator[range]:
    return progress(count, "resamples")
