"""`inpaint`: fills the covered part of pictures by drawing its codes from a prior."""

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import torch
from torch import Tensor
from torch.nn.functional import adaptive_max_pool2d, max_pool2d

from gen_experiments import randomness
from gen_experiments.commands.decoding import decode_by
from gen_experiments.commands.devices import load_on_device
from gen_experiments.commands.image_files import decoded_batches, is_image_file
from gen_experiments.commands.labels import class_numbers, one_label
from gen_experiments.commands.outputs import at_once, find_originals, places_of, proposed, write_batches
from gen_experiments.commands.reading import eight_bits, reading_of
from gen_experiments.data.folder import find_pictures
from gen_experiments.data.picture_decoding import check_headers, decode_one
from gen_experiments.data.undecodable import naming, refusal
from gen_experiments.errors import UserError, check_interval, quoted
from gen_experiments.grids import MAX_IN_GRID, page_names, save_grid
from gen_experiments.images import IMAGE_FORMATS, ImageSpec, to_float, to_uint8
from gen_experiments.models.prior import CodePrior
from gen_experiments.priors.base import CodeSpec, Draws
from gen_experiments.priors.decoding import UNCHANGED, DecodingChanges
from gen_experiments.randomness import Stream

GREY, REPEATS = 128, 2


@torch.inference_mode()
def inpaint(
    checkpoint: str,
    images: str,
    mask: str = "box",
    out: str = "inpainted.png",
    proposals: int = 3,
    seed: int = 0,
    class_: str | None = None,
    decoding: DecodingChanges = UNCHANGED,
    device: str = "auto",
) -> None:
    """Fills the covered part of a folder's pictures. Known pixels stay.

    A grid has a row for each picture: original, masked, proposals.

    The picture is encoded with its covered part in its median colour. The prior draws the codes whose cells touch that
    part, and their neighbours, given all others. Both steps are repeated with the filled picture: an encoder sees far,
    and the known codes must not depend on the edge of the mask.

    Args:
        checkpoint: a checkpoint of a prior (configs/prior.yaml).
        images: the folder; its pictures are cropped and resized to what the model was trained on.
        mask: what is covered: an image of the model's size, white where the pictures are covered; a folder of such
            images, of the pictures' names (their endings may differ); LEFT,TOP,RIGHT,BOTTOM in pixels; or "box" for the
            central quarter.
        out: an image file, for a grid; or a folder, for PNG files of the pictures' names, several proposals in its
            folders proposal_1, proposal_2, ….
        proposals: the number of fillings of each picture.
        seed: the seed of the proposals.
        class_: the class of all pictures, by name or number, for a prior of classes; by default unknown.
        decoding: what to change of how a prior draws codes, as in --decoding.guidance=2 --decoding.top_k=100.
        device: auto (a GPU where there is one), cpu, cuda or cuda:N.

    Raises:
        UserError: the checkpoint, the folder or the mask cannot be used, a number is out of range, or `out` cannot be
            written.
    """
    check_interval("[1, inf)", proposals=proposals)
    check_interval("[0, inf)", seed=seed)
    reading, places = reading_of(checkpoint), places_of(out, proposals)
    files, names = find_originals(images, reading, places)
    if is_image_file(out) and len(names) * (proposals + 2) > MAX_IN_GRID:
        raise UserError(
            f"a grid has room for {MAX_IN_GRID} images, and {len(names)} pictures with {proposals} proposals each "
            "need more: lower --proposals, or name a folder by --out"
        )
    mask_files = _mask_files(mask, names)
    model = load_on_device(
        checkpoint, CodePrior, "inpaint: name the checkpoint of a prior (configs/prior.yaml)", device
    )
    decode_by(model, decoding)
    label = None if class_ is None else class_numbers("--class", [class_], model)[0]
    masks = _masks(mask, mask_files, model.image)

    def covered_pictures() -> Iterator[tuple[Tensor, Tensor, int]]:
        first = 0
        for originals in decoded_batches(files, model.image, reading, at_once(model.device)):
            yield originals, torch.stack([masks(n) for n in range(first, first + len(originals))]), first
            first += len(originals)

    def fill(proposal: int, pictures: tuple[Tensor, Tensor, int]) -> Tensor:
        originals, covered, first = pictures
        return fill_in(model, originals, covered, label, seed, proposal, first)

    def filled() -> Iterator[list[Tensor]]:
        fillings = [partial(fill, proposal) for proposal in range(proposals)]
        for (originals, covered, _), made in proposed(covered_pictures(), fillings, len(names)):
            yield [eight_bits(originals), *made, covered]

    if not is_image_file(out):
        write_batches(names, ((shown, *made) for shown, *made, _ in filled()), places, "filled images")
        return
    shown, *made, covered = (torch.cat(parts) for parts in zip(*filled(), strict=True))
    columns = torch.stack([shown, shown.where(~covered, GREY), *made], dim=1)
    pages = page_names(save_grid(columns.flatten(0, 1), out, columns.shape[1]))
    print(f"wrote {len(names)} images, each original, masked and filled {proposals} times, to {pages}")


def fill_in(
    model: CodePrior,
    originals: Tensor,
    covered: Tensor,
    label: int | None,
    seed: int,
    proposal: int,
    first: int = 0,
) -> Tensor:
    """Returns the pictures with their covered part filled; see `inpaint`.

    Args:
        model: the prior.
        originals: (N, C, H, W) uint8 or uint16.
        covered: (N, 1, H, W) bool.
        label: the class of all; None for an unknown class.
        seed: the seed of all proposals.
        proposal: the number of the proposal; each has its own random numbers.
        first: the number of the first picture; each has its own random numbers.

    Returns:
        (N, C, H, W) uint8.
    """
    known, hidden = to_float(originals), covered_codes(covered, model.prior.codes).to(model.device)
    filled = known.where(~covered, _median(known, covered))
    for repeat in range(REPEATS):
        numbers = range(first, first + len(originals))
        draws = Draws([randomness.generator("cpu", Stream.SAMPLE, seed, proposal, repeat, n) for n in numbers])
        codes = model.encode(filled.to(model.device))
        drawn_codes = model.draw(one_label(label, len(known), model.device), draws, codes, hidden)
        made = to_uint8(model.decode(drawn_codes)).cpu()
        filled = to_float(made).where(covered, known)
    return made.where(covered, eight_bits(originals))


def covered_codes(covered: Tensor, codes: CodeSpec) -> Tensor:
    """Maps a (N, 1, H, W) bool mask -> (N, L) bool, the codes that it makes unknown.

    These are the codes whose cell it touches, and the eight around each.
    """
    levels = []
    for cells in codes.grids:
        touched = adaptive_max_pool2d(covered.float(), cells)
        levels.append(max_pool2d(touched, kernel_size=3, stride=1, padding=1).flatten(1) > 0)
    return torch.cat(levels, dim=1)


def _median(images: Tensor, covered: Tensor) -> Tensor:
    """Returns (N, C, 1, 1) in [-1, 1], the median of each image's known pixels; grey where none is known."""
    known = images.masked_fill(covered, torch.nan).flatten(2)
    grey = to_float(torch.tensor(GREY, dtype=torch.uint8))
    return known.nanmedian(dim=2).values.nan_to_num(float(grey))[..., None, None]


def _mask_files(mask: str, names: list[Path]) -> list[Path]:
    """Returns the mask of each picture if `mask` is a folder, its file if it is one, and nothing if it is a box.

    Raises:
        UserError: some pictures have none or two, or files are no pictures by their headers.
    """
    if not Path(mask).is_dir():
        files = [Path(mask)] if Path(mask).is_file() else []
    else:
        found: dict[Path, Path] = {}
        for file in find_pictures(Path(mask))[0]:
            other = found.setdefault(file.relative_to(mask).with_suffix(""), file)
            if other != file:
                raise UserError(f"{quoted(other)} and {quoted(file)} are masks of one picture: keep one")
        missing = [name for name in names if name.with_suffix("") not in found]
        if missing:
            raise UserError(
                f"{mask} has no mask for {len(missing)} of {len(names)} pictures, such as {quoted(missing[0])}: give "
                "each picture one of its name"
            )
        files = [found[name.with_suffix("")] for name in names]
    check_headers(files)
    return files


def _masks(mask: str, files: list[Path], image: ImageSpec) -> Callable[[int], Tensor]:
    """Returns what gives the mask of a picture by its number: (1, H, W) bool, True where the picture is covered.

    Args:
        mask: as for `inpaint`.
        files: those of the masks.
        image: the shape of the pictures.

    Raises:
        UserError: a mask cannot be used; all are tried, as drawing takes long.
    """
    if refused := refusal(files, lambda number: _read_mask(files[number], image), range(len(files))):
        raise refused
    if Path(mask).is_dir():
        return lambda number: _read_mask(files[number], image)
    if files:
        one = _read_mask(files[0], image)
    else:
        left, top, right, bottom = _box(mask, image)
        one = torch.zeros(1, image.height, image.width, dtype=torch.bool)
        one[:, top:bottom, left:right] = True
    return lambda _: one


def _read_mask(file: Path, image: ImageSpec) -> Tensor:
    from PIL import Image

    with naming(file), Image.open(file, formats=IMAGE_FORMATS) as picture:
        width, height = picture.size
    if (width, height) != (image.width, image.height):
        raise UserError(f"{file} has {height}x{width} pixels; a mask must have {image.height}x{image.width}")
    covered = torch.from_numpy(decode_one(file, image.size, 1)) > GREY - 1
    if not covered.any():
        raise UserError(f"the mask {file} covers nothing of a picture: make white what is to be filled")
    return covered


def central_quarter(image: ImageSpec) -> tuple[int, int, int, int]:
    """Returns left, top, right and bottom of the central box, of half the height and width."""
    across, down = image.width // 4, image.height // 4
    return across, down, image.width - across, image.height - down


def _box(box: str, image: ImageSpec) -> tuple[int, int, int, int]:
    if box == "box":
        return central_quarter(image)
    try:
        left, top, right, bottom = (int(number) for number in box.split(","))
    except ValueError:
        raise UserError(f"--mask {box} is no file, no folder, not LEFT,TOP,RIGHT,BOTTOM and not box") from None
    if not (0 <= left < right <= image.width and 0 <= top < bottom <= image.height):
        raise UserError(f"the box {box} does not lie in a picture of {image.height}x{image.width} pixels")
    return left, top, right, bottom
