"""Which images are decoded once and cached, and which are decoded when they are read."""

import inspect
from dataclasses import dataclass

import numpy as np

from gen_experiments.data.cache import ImageArray, cached_split, decoded_as_read
from gen_experiments.data.crops import RandomCrops
from gen_experiments.data.decoded_as_read import DecodedAsRead
from gen_experiments.data.footprint import decoded_bytes, in_words
from gen_experiments.data.framing import LARGEST, Framing
from gen_experiments.data.pair_source import PicturePairs
from gen_experiments.data.shuffled_pairs import ShuffledPairs
from gen_experiments.data.sources.base import PictureSource, Source
from gen_experiments.errors import UserError
from gen_experiments.sizes import Size
from gen_experiments.storage import GIB, cache_root


@dataclass(frozen=True)
class SplitOpener:
    """How the splits of a source are opened.

    Attributes:
        source: where the images come from.
        size: of the images.
        cache_limit: the most that the decoded images of picture files may take on the disk, in GiB.
        threads: of this process that decode while reading.
        framing: how pictures are brought to the size.
    """

    source: Source
    size: Size
    cache_limit: float
    threads: int
    framing: Framing

    @property
    def beyond_limit(self) -> PictureSource | None:
        """The source if its pictures are decoded when they are read, else None."""
        source = self.source
        beyond = (
            isinstance(source, PictureSource)
            and decoded_bytes(source, self.size, self.framing.depth) > self.cache_limit * GIB
        )
        return source if isinstance(source, PictureSource) and beyond else None

    def prepare(self) -> None:
        """Fetches and decodes what is missing in the cache."""
        self.source.fetch()
        for split in self.source.splits() if self.beyond_limit is None else ():
            cached_split(self.source, split, self.size, self.framing.compared)

    def split(self, name: str) -> ImageArray:
        """Returns a split of the source, cached or decoded when it is read."""
        source = self.beyond_limit
        if source is None:
            return cached_split(self.source, name, self.size, self.framing.compared)
        return decoded_as_read(source, name, self.size, self.threads, self.framing.compared)

    def random_crops(self, train: ImageArray | ShuffledPairs) -> RandomCrops | None:
        """Returns training images with random crops; None for any other framing."""
        if self.framing.crop != "random":
            return None
        assert isinstance(self.source, PictureSource | PicturePairs)
        pictures, sides = self.source.pictures("train"), self.source.sides
        pixels = DecodedAsRead(pictures, self.size, self.source.channels, self.threads, self.framing)
        return RandomCrops(train, pixels, sides * train.members.reshape(len(train), -1) + np.arange(sides))

    def lines(self) -> list[str]:
        """Returns lines that say whether picture files were decoded once or are decoded when they are read."""
        as_read = f"decoded as they are read, by {self.threads} thread{'s' if self.threads > 1 else ''} of each process"
        random = self.framing.crop == "random"
        least, most = self.framing.crop_scale
        area = "" if self.framing.crop_scale == LARGEST else f" to {least:g} ... {most:g} of the largest area"
        lines = [f"training pixels: cropped at random{area}, {as_read}"] if random else []
        if self.framing.fast and self.source.channels in (2, 4):
            lines.append("data.fast_decoding changes nothing: pictures with alpha are decoded in the plain way")
        if not isinstance(self.source, PictureSource):
            return lines
        size = in_words(decoded_bytes(self.source, self.size, self.framing.depth))
        size += "" if self.framing.depth == 8 else f" of {self.framing.depth} bits a channel"
        which = "other pixels" if random else "pixels"
        if self.beyond_limit is None:
            return [*lines, f"{which}: decoded once, {size} in {cache_root() / 'images'}"]
        return [*lines, f"{which}: {as_read}, as {size} are more than data.cache_limit={self.cache_limit:g}"]


def check_framing(source: Source, framing: Framing) -> None:
    """Refuses a framing that a source does not support.

    Raises:
        UserError: random crops for a source whose pictures are not decoded one by one; a depth, a range or fast
            decoding for a source without picture files; or any framing for a source whose `decode` has no argument for
            it.
    """
    name = type(source).__name__
    one_by_one = isinstance(source, PictureSource)
    for option, unusual, known in (
        ("crop=random", framing.crop == "random", one_by_one or isinstance(source, PicturePairs)),
        (f"depth={framing.depth}", framing.depth != 8, one_by_one),
    ):
        if unusual and not known:
            raise UserError(f"data.{option} is for picture files that are read one by one, which {name} does not do")
    # The source within a source of pairs is checked too.
    origin = getattr(source, "source", source)
    name = type(origin).__name__
    if not isinstance(origin, PictureSource) and origin.sides == 1:
        for option, chosen in (("value_range", framing.value_range is not None), ("fast_decoding", framing.fast)):
            if chosen:
                raise UserError(f"data.{option} is for picture files, and {name} has none: leave it out")
    named = {type(one).__name__: one for one in (source, origin)}
    deaf = [one for one in named if "framing" not in inspect.signature(named[one].decode).parameters]
    if deaf and not framing.is_usual:
        raise UserError(
            f"{deaf[0]} brings its images to their size itself: leave out data.crop and data.filter, or give its "
            "decode the argument framing"
        )
