"""Grids of images: as one image, or as files with names of rows or columns, cut into pages of limited size."""

import math
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from gen_experiments.channels import viewable
from gen_experiments.errors import UserError, quoted
from gen_experiments.images import save_image

MAX_IN_GRID = 2**14  # images
MAX_PIXELS = 4096  # width and height of a page, without the names
PADDING = 2
MIN_PITCH = 9  # pixels per row that a line of text needs
LONGEST_NAME = 24  # characters of a name that a sheet shows


def grid(images: Tensor, columns: int | None = None, padding: int = 2) -> Tensor:
    """Arranges images row by row on a mid-grey background.

    Args:
        images: (N, C, H, W) uint8.
        columns: images in a row; by default the grid is as square as it can be.
        padding: grey pixels between and around the images.

    Returns:
        (C, rows * (H + padding) + padding, columns * (W + padding) + padding) uint8, with an opaque background. The two
        channels of an image with two are shown side by side (`viewable`).

    Raises:
        UserError: more than 2^14 images.
    """
    images = viewable(images)
    count, channels, height, width = images.shape
    if count > MAX_IN_GRID:
        raise UserError(f"a grid has room for {MAX_IN_GRID} images, not {count}")
    columns = columns or math.ceil(math.sqrt(count))
    rows = math.ceil(count / columns)
    sheet = images.new_full((channels, rows * (height + padding) + padding, columns * (width + padding) + padding), 128)
    sheet[3:] = 255
    for i, image in enumerate(images):
        top = padding + (i // columns) * (height + padding)
        left = padding + (i % columns) * (width + padding)
        sheet[:, top : top + height, left : left + width] = image
    return sheet


def in_rows(*parts: Tensor, columns: int) -> Tensor:
    """Orders images for a grid: a row of the first part, below it a row of the second part, and so on.

    Args:
        parts: (N, C, H, W) each.
        columns: images in a row of the grid.

    Returns:
        (parts · N, C, H, W), where grey images fill N up to full rows.
    """
    missing = -parts[0].shape[0] % columns
    grey = parts[0].new_full((missing, *parts[0].shape[1:]), 128)
    grey[:, 3:] = 255
    rows = [torch.cat([part, grey]).split(columns) for part in parts]
    return torch.cat([row for together in zip(*rows, strict=True) for row in together])


def save_grid(
    images: Tensor,
    path: str | Path,
    columns: int | None = None,
    row_names: Sequence[str] | None = None,
    column_names: Sequence[str] | None = None,
    together: int = 1,
) -> list[Path]:
    """Writes images as a grid, in pages of at most 4096 x 4096 pixels: `NAME.png`, `NAME_2.png` and so on.

    The pages are ordered from left to right, then from top to bottom.

    Args:
        images: (N, C, H, W) uint8, row by row.
        path: the file of the first page.
        columns: images in a row; by default the grid is as square as it can be, and one page wide.
        row_names: texts to the right of the rows.
        column_names: texts below the columns, turned by a quarter.
        together: groups of so many rows stay on one page; divides the number of rows.

    Returns:
        The files, in order.

    Raises:
        UserError: there are more than 2^14 images, or a file cannot be written.
    """
    pages = grid_pages(images, columns, row_names, column_names, together)
    path = Path(path)
    names = [path, *(path.with_name(f"{path.stem}_{number}{path.suffix}") for number in range(2, len(pages) + 1))]
    return [save_image(page, name) for page, name in zip(pages, names, strict=True)]


def grid_pages(
    images: Tensor,
    columns: int | None = None,
    row_names: Sequence[str] | None = None,
    column_names: Sequence[str] | None = None,
    together: int = 1,
) -> list[Tensor]:
    """Returns the pages of a grid, each (C, height, width) uint8; see `save_grid`."""
    images = viewable(images)
    count, _, height, width = images.shape
    if count > MAX_IN_GRID:
        raise UserError(f"a grid has room for {MAX_IN_GRID} images, not {count}")
    wide, high = (max(1, (MAX_PIXELS - PADDING) // (side + PADDING)) for side in (width, height))
    high = max(together, high - high % together)
    columns = columns or min(math.ceil(math.sqrt(count)), wide)
    numbers = torch.arange(math.ceil(count / columns) * columns).reshape(-1, columns)
    pages = []
    for top in range(0, len(numbers), high):
        for left in range(0, columns, wide):
            block = numbers[top : top + high, left : left + wide]
            shown = images[block[block < count].to(images.device)]
            if not len(shown):
                continue
            page = grid(shown, block.shape[1], PADDING)
            if row_names is not None:
                page = with_names(page, row_names[top : top + high], height + PADDING)
            if column_names is not None:
                # Columns are rows of the sheet turned by a quarter.
                page = page.rot90(1, (1, 2))
                page = with_names(page, column_names[left : left + wide][::-1], width + PADDING)
                page = page.rot90(-1, (1, 2))
            pages.append(page)
    return pages


def with_names(sheet: Tensor, names: Sequence[str], pitch: int) -> Tensor:
    """Returns a sheet with a name to the right of each row, or the sheet itself if its rows are too low for text.

    Args:
        sheet: (C, height, width) uint8.
        names: of the rows, from the top.
        pitch: pixels from one row to the next.

    Returns:
        (C, height, width + width of the longest name) uint8.
    """
    import numpy as np
    from PIL import Image, ImageDraw, ImageFont

    if pitch < MIN_PITCH or not names:
        return sheet
    font = ImageFont.load_default()
    # Pillow's own font has few letters beyond these.
    texts = [quoted(name)[:LONGEST_NAME].encode("latin-1", "replace").decode("latin-1") for name in names]
    width = math.ceil(max(font.getbbox(text)[2] for text in texts)) + 3 * PADDING
    margin = Image.new("L", (width, sheet.shape[1]), 128)
    draw = ImageDraw.Draw(margin)
    for number, text in enumerate(texts):
        _, top, _, bottom = font.getbbox(text)
        middle = PADDING + pitch * number + (pitch - PADDING) / 2
        draw.text((PADDING, middle - (top + bottom) / 2), text, fill=255, font=font)
    drawn = torch.from_numpy(np.array(margin)).to(sheet.device)
    beside = drawn.repeat(sheet.shape[0], 1, 1)
    beside[3:] = 255
    return torch.cat([sheet, beside], dim=2)


def page_names(paths: Sequence[Path]) -> str:
    """Returns the files of a grid's pages as a short text."""
    return str(paths[0]) if len(paths) == 1 else f"{paths[0]} … {paths[-1]} ({len(paths)} pages)"
