"""Files of several pages, of which only the first is a picture of the data."""

import io
import threading
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL.Image import Image

_said = threading.Lock()  # held for good by the thread that has said it


def warn_of_pages(picture: "Image", file: Path | bytes, name: str) -> None:
    """Warns once in a process if an opened TIFF holds more pages than the one that is read.

    Args:
        picture: the opened file, at its first page.
        file: the file or its contents, which is opened again to count the pages: damage behind the first does no harm.
        name: of the file.
    """
    from PIL import Image, TiffImagePlugin

    if not isinstance(picture, TiffImagePlugin.TiffImageFile) or not picture.tag_v2.next:
        return
    if not _said.acquire(blocking=False):
        return
    try:
        with Image.open(io.BytesIO(file) if isinstance(file, bytes) else file, formats=["TIFF"]) as again:
            pages = f"{getattr(again, 'n_frames', 1)} pages"
    except Exception:  # Pillow's plugins fail in any way
        pages = "several pages"
    warnings.warn(
        f"{name} holds {pages}, of which only the first is read, as of other TIFF files: make the others files of "
        "their own if they are pictures",
        stacklevel=2,
    )
