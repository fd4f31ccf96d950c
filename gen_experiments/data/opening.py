"""Which images are decoded once and kept, and which as they are read."""

from dataclasses import dataclass

from gen_experiments.data.cache import ImageArray, decoded, decoded_as_read, decoded_bytes, in_words
from gen_experiments.data.sources.base import PictureSource, Source
from gen_experiments.sizes import Size
from gen_experiments.storage import GIB, cache_root


@dataclass(frozen=True)
class Opening:
    """How the splits of a source are opened.

    Attributes:
        source: where the images come from.
        size: of the images.
        cache_limit: the most that the decoded images of picture files may take on the disk, in GiB.
        threads: that decode in this process, where it decodes as it reads.
        fast: see `pictures.decode_one`.
    """

    source: Source
    size: Size
    cache_limit: float
    threads: int
    fast: bool

    @property
    def beyond_limit(self) -> PictureSource | None:
        """The source, if its pictures are to be decoded as they are read."""
        source = self.source
        beyond = isinstance(source, PictureSource) and decoded_bytes(source, self.size) > self.cache_limit * GIB
        return source if isinstance(source, PictureSource) and beyond else None

    def prepare(self) -> None:
        """Fetches and decodes what is not in the cache yet."""
        self.source.fetch()
        for split in self.source.splits() if self.beyond_limit is None else ():
            decoded(self.source, split, self.size, self.fast)

    def split(self, name: str) -> ImageArray:
        """Returns a split of the source, with its decoded images on the disk or not."""
        source = self.beyond_limit
        if source is None:
            return decoded(self.source, name, self.size, self.fast)
        return decoded_as_read(source, name, self.size, self.threads, self.fast)

    def lines(self) -> list[str]:
        """Returns a line that says whether the images of picture files were decoded once or are as they are read."""
        if not isinstance(self.source, PictureSource):
            return []
        size = in_words(decoded_bytes(self.source, self.size))
        if self.beyond_limit is None:
            return [f"pixels: decoded once, {size} in {cache_root() / 'images'}"]
        return [
            f"pixels: decoded as they are read, by {self.threads} thread{'s' if self.threads > 1 else ''} of each "
            f"process, as {size} are more than data.cache_limit={self.cache_limit:g}"
        ]
