import torch

import two_processes
from gen_experiments import distributed
from gen_experiments.images import ImageSpec
from gen_experiments.training.image_buffer import ImageBuffer

SPEC = ImageSpec(channels=1, size=1)


def images(*values):
    return torch.tensor(values, dtype=torch.float32).reshape(-1, 1, 1, 1)


def of(number):
    return torch.Generator().manual_seed(number)


def pool(size, batches):
    """CycleGAN's util/image_pool.py, image by image, with the draws of the buffer."""
    kept, given = [], []
    for number, batch in enumerate(batches):
        draws = torch.rand(len(batch), 2, generator=of(number))
        for image, (place, chance) in zip(batch, draws.tolist(), strict=True):
            if len(kept) < size:
                kept.append(image)
                given.append(image)
            elif chance < 0.5:
                given.append(kept[int(place * size)])
                kept[int(place * size)] = image
            else:
                given.append(image)
    return kept, given


def test_it_is_cyclegans_pool():
    batches = [[float(10 * number + place) for place in range(4)] for number in range(12)]
    buffer = ImageBuffer(SPEC, 6)
    given = [buffer(images(*batch), of(number)).flatten().tolist() for number, batch in enumerate(batches)]
    kept, expected = pool(6, batches)
    assert [value for batch in given for value in batch] == expected
    assert buffer.images.flatten().tolist() == kept
    assert expected != [value for batch in batches for value in batch]


def test_without_room_everything_is_new():
    buffer = ImageBuffer(SPEC, 0)
    assert buffer(images(1, 2), of(0)).flatten().tolist() == [1, 2]


def test_its_state_is_in_the_state_dict():
    first, second = ImageBuffer(SPEC, 3), ImageBuffer(SPEC, 3)
    first(images(1, 2, 3, 4), of(0))
    second.load_state_dict(first.state_dict())
    assert torch.equal(first(images(5, 6), of(1)), second(images(5, 6), of(1)))


def _two_batches():
    buffer, given = ImageBuffer(SPEC, 3), []
    for number in range(4):
        values = [float(10 * number + place) for place in range(4)]
        half = 4 // distributed.world_size()
        own = values[distributed.rank() * half : (distributed.rank() + 1) * half]
        given.append(buffer(images(*own), of(number)))
    return {"given": torch.stack(given), "kept": buffer.images}


def test_two_processes_keep_what_one_keeps(tmp_path):
    whole, parts = _two_batches(), two_processes.run(_two_batches, tmp_path)
    assert torch.equal(torch.cat([part["given"] for part in parts], dim=1), whole["given"])
    assert all(torch.equal(part["kept"], whole["kept"]) for part in parts)
