"""`restore`: pictures of a folder without their damage; `damage`: pictures with it."""

from collections.abc import Iterable, Iterator
from functools import partial

import torch
from torch import Tensor

from gen_experiments import randomness
from gen_experiments.callbacks.protocols import Proposes, Reconstructs, image_mapping
from gen_experiments.commands.decoding import decode_by
from gen_experiments.commands.devices import load_on_device
from gen_experiments.commands.image_files import decoded_batches, is_image_file, read_in_batches
from gen_experiments.commands.outputs import (
    SHOWN,
    Network,
    applied,
    at_once,
    find_originals,
    first_of,
    on_device,
    places_of,
    proposed,
    write_batches,
    write_outputs,
    write_rows,
)
from gen_experiments.commands.reading import eight_bits, reading_in, reading_of
from gen_experiments.commands.training_data import configuration_of, contents_of, data_of, training_data
from gen_experiments.data.damage import Damage, damage_images
from gen_experiments.errors import UserError, check_interval
from gen_experiments.images import to_float, to_integers
from gen_experiments.metrics.reconstruction import psnr
from gen_experiments.models.base import ImageModel
from gen_experiments.priors.decoding import UNCHANGED, DecodingChanges
from gen_experiments.randomness import Stream


@torch.inference_mode()
def restore(
    checkpoint: str,
    images: str,
    out: str = "restored.png",
    damaging: bool = False,
    proposals: int = 1,
    whole: bool = False,
    seed: int = 0,
    decoding: DecodingChanges = UNCHANGED,
    device: str = "auto",
) -> None:
    """Restores the damaged pictures of a folder, by a model that was trained over data with `damage`.

    Args:
        checkpoint: a checkpoint of such a model.
        images: the folder; its pictures are cropped and resized to what the model was trained on.
        out: a folder, for PNG files of the same names, several proposals in its folders proposal_1, proposal_2, …; or
            an image file, for a grid of at most 256 pictures above their restorations.
        damaging: damage the pictures first, as the training of the checkpoint's run did, and print how much closer to
            the pictures the restored ones are than the damaged.
        proposals: the number of restorations of each picture, by a model that draws them (RestorationPrior): it samples
            the codes of the clean picture given those of the damaged one, and decodes them.
        whole: restore in overlapping tiles at the pictures' own size; only into a folder.
        seed: the seed of the damage and of the proposals.
        decoding: what to change of how a RestorationPrior draws codes, as in --decoding.top_p=0.9.
        device: auto (a GPU where there is one), cpu, cuda or cuda:N.

    Raises:
        UserError: as for `translate`, the run knows no damage, the model makes one restoration only, or `whole` is
            asked for beside proposals or damage.
    """
    check_interval("[1, inf)", proposals=proposals)
    check_interval("[0, inf)", seed=seed)
    if damaging and (whole or not is_image_file(out)):
        raise UserError(
            "--damaging compares pictures of the model's size: name an image file by --out, without --whole"
        )
    if whole and proposals > 1:
        raise UserError("--whole blends tiles, which proposals do not share: leave out --proposals or --whole")
    reading, places = reading_of(checkpoint), places_of(out, proposals)
    originals = files, names = find_originals(images, reading, places, None if damaging else SHOWN, whole)
    model = load_on_device(checkpoint, ImageModel, "restore", device)
    decode_by(model, decoding)
    restorers = _restorers(model, checkpoint, proposals, seed)
    batch = at_once(model.device if isinstance(model, Proposes) else None)
    if proposals == 1 and not damaging:
        write_outputs(restorers[0], originals, model.image, reading, out, whole, batch)
        return
    batches = decoded_batches(files, model.image, reading, batch)
    draws = [partial(applied, restorer) for restorer in restorers]
    if not damaging:
        made = ((part, *drawn) for part, drawn in proposed(batches, draws, len(names)))
        write_batches(names, made, places, "images", f"damaged images above {proposals} proposals each")
        return
    parts = training_data(checkpoint, None).damage
    if not parts:
        raise UserError(f"the run of {checkpoint} was trained without damage: restore pictures that are damaged")
    before: list[Tensor] = []
    after: list[Tensor] = []

    def compared() -> Iterator[list[Tensor]]:
        damaged = [partial(lambda draw, pair: draw(pair[1]), draw) for draw in draws]
        for (clean, inputs), restored in proposed(_damaged(batches, parts, seed), damaged, len(files)):
            columns = [eight_bits(inputs), *restored]
            damaged_psnr, *restored_psnr = (psnr(pictures, eight_bits(clean)) for pictures in columns)
            before.append(damaged_psnr)
            after.extend(restored_psnr)
            yield [*columns, clean]

    rows = first_of(compared())
    decibels, restored = (float(torch.cat(values).mean()) for values in (before, after))
    print(f"PSNR {decibels:.2f} dB damaged, {restored:.2f} dB restored: {restored - decibels:+.2f} dB")
    write_rows(rows, out, "damaged images above the restored and the true ones")


def _restorers(model: ImageModel, checkpoint: str, proposals: int, seed: int) -> list[Network]:
    """Returns the networks that make the proposals, one for each.

    Raises:
        UserError: the model restores nothing, or makes fewer.
    """
    draws: list[Network]
    if isinstance(model, Proposes):
        draws = [partial(model.propose, proposal=number, seed=seed) for number in range(proposals)]
    elif (mapping := image_mapping(model)) is None:
        raise UserError(f"{checkpoint} holds a {type(model).__name__}, which cannot restore")
    elif proposals > 1:
        raise UserError(
            f"a {type(model).__name__} makes one restoration of a picture: leave out --proposals, or name the "
            "checkpoint of a RestorationPrior"
        )
    elif isinstance(model, Reconstructs) and not training_data(checkpoint, None).has_source_images:
        raise UserError(f"the run of {checkpoint} was trained without damage: it reconstructs pictures as they are")
    else:
        one = torch.zeros(1, dtype=torch.int64)  # a drawn style is one for all pictures
        draws = [lambda pictures: mapping(pictures, one)]
    return [on_device(draw, model.device) for draw in draws]


@torch.inference_mode()
def damage(config: str, images: str, out: str = "damaged.png", seed: int = 0) -> None:
    """Damages the pictures of a folder as the training of a configuration would, so that one can look.

    Args:
        config: a YAML file whose `data` has `damage`, such as a recipe; a run or its checkpoint
            stands for the run's config.yaml.
        images: the folder; its pictures are cropped and resized to the size of the configuration.
        out: a folder, for PNG files of the same names, or an image file, for a grid of at most 256 pictures above their
            damaged versions.
        seed: the seed of the damage.

    Raises:
        UserError: the configuration has no damage, the folder cannot be used, the seed is negative, or `out` cannot be
            written.
    """
    check_interval("[0, inf)", seed=seed)
    described = configuration_of(config)
    reading = reading_in(contents_of(described))
    files, names = find_originals(images, reading, [out], SHOWN)
    data = data_of(described)
    if not data.damage:
        raise UserError(f"{config} damages nothing: give it data.damage, a list of kinds such as GaussianNoise")
    batches = read_in_batches(files, data.image, reading, at_once())
    write_batches(names, _damaged(batches, data.damage, seed, torch.uint8), [out], "damaged images")


def _damaged(
    batches: Iterable[Tensor], parts: list[Damage], seed: int, dtype: torch.dtype | None = None
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yields (B, C, H, W) images and them after their damage, as a dtype or in their own.

    The damage depends on an image's number and the seed.
    """
    first = 0
    for clean in batches:
        seeds = randomness.seeds_of(torch.arange(first, first + len(clean)), Stream.DAMAGE, seed)
        first += len(clean)
        yield clean, to_integers(damage_images(to_float(clean), parts, seeds), dtype or clean.dtype)
