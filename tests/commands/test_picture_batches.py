"""The pictures of a folder, batch by batch."""

from gen_experiments.commands import image_files
from gen_experiments.commands.reading import Reading
from gen_experiments.data.framing import Framing
from gen_experiments.images import IMAGE_SUFFIXES, ImageSpec
from pictures_on_disk import write_pictures


def test_progress_is_of_what_is_done_and_not_of_what_is_decoded_ahead(tmp_path, monkeypatch):
    write_pictures(tmp_path / "in", 5, size=(16, 16), mode="L")
    begun = []

    def progress(total, what, chunk):
        for first in range(0, total, chunk):
            begun.append(first)
            yield range(first, min(first + chunk, total))

    monkeypatch.setattr(image_files, "progress", progress)
    reading = Reading(Framing(), IMAGE_SUFFIXES)
    files, _ = image_files.found_pictures(str(tmp_path / "in"), reading)
    parts = image_files.read_in_batches(files, ImageSpec(1, 16), reading, 2)
    assert [(len(part), begun[-1]) for part in parts] == [(2, 0), (2, 2), (1, 4)]
