import math

import pytest
import torch

import independent
from gen_experiments.metrics.features import DigitsFeatures
from gen_experiments.metrics.modes import ALARM, missed_by_class, missed_images, missed_share, strange
from gen_experiments.metrics.neighbours import overlap


def drawn(count, seed, dim=3):
    return torch.randn(count, dim, generator=torch.Generator().manual_seed(seed))


@pytest.fixture(scope="module")
def digits():
    pixels, labels = independent.digits(32)
    return DigitsFeatures()(pixels), torch.as_tensor(labels)


def test_neighbourhoods_by_their_definition():
    generated, real = drawn(60, 0) + torch.tensor([1.0, 0, 0]), drawn(90, 1)
    votes = [0] * 90
    for row in generated.tolist():
        votes[min(range(90), key=lambda j: math.dist(row, real[j].tolist()))] += 1
    count = 30  # of 20 expected images
    expected = []
    for own in real.tolist():
        around = sorted(range(90), key=lambda j: math.dist(own, real[j].tolist()))[:count]
        expected.append(sum(votes[j] for j in around) < 60 * count / 90 / 4)
    assert missed_images(generated, real).tolist() == expected
    assert 0 < sum(expected) < 90


def test_samples_without_half_of_the_classes_are_noticed_whatever_their_spread(digits):
    features, labels = digits
    source = torch.Generator().manual_seed(0)
    for _ in range(10):
        order = torch.randperm(len(features), generator=source)
        shown = torch.randperm(10, generator=source)[:5]
        made, real = order[:900], order[900:]
        pool = features[made[torch.isin(labels[made], shown)]]
        generated = pool[torch.randint(len(pool), (900,), generator=source)]
        assert generated.T.cov().trace() > 0.5 * features[real].T.cov().trace()
        assert missed_share(generated, features[real]) > ALARM


def test_real_images_raise_no_alarm(digits):
    features, _ = digits
    source = torch.Generator().manual_seed(1)
    for count in (900, 200, 100):
        for _ in range(10):
            order = torch.randperm(len(features), generator=source)
            assert missed_share(features[order[:count]], features[order[count:]]) < 0.05


def test_images_that_look_bad_are_not_taken_for_missing_ones(digits):
    features, _ = digits
    bad = features[:900] + 0.5 * torch.randn(900, 64, generator=torch.Generator().manual_seed(2))
    assert overlap(bad, features[900:]).coverage < 0.05
    assert missed_share(bad, features[900:]) < 0.05


def test_pictures_that_show_everything_badly_miss_nothing():
    """Spoilt in one direction they are nearest to few real images, all ten digits to those of other digits."""
    pixels, labels = independent.digits(32)
    order = torch.randperm(len(pixels), generator=torch.Generator().manual_seed(4))
    made, held = order[:900], order[900:]
    network, shown = DigitsFeatures(), pixels[made].float()
    real = network(pixels[held])
    noise = torch.randn(shown.shape, generator=torch.Generator().manual_seed(5))
    narrow = torch.nn.functional.interpolate(shown, (8, 8), mode="area")
    for spoilt in (shown + 40 * noise, shown.roll((3, 3), (2, 3)), torch.nn.functional.interpolate(narrow, (32, 32))):
        rows = network(spoilt.clamp(0, 255).to(torch.uint8))
        assert missed_images(rows, real).double().mean() > ALARM
        assert missed_share(rows, real) == 0
        for classes in (5, 10):
            found = missed_by_class(rows, labels[made] % classes, real, labels[held] % classes, classes)
            assert not (found > ALARM).any()


def test_what_is_strange_by_its_definition():
    real, generated = drawn(60, 0), torch.cat([drawn(40, 1), drawn(20, 2) + 6])
    distances = [[math.dist(row, other) for other in real.tolist()] for row in real.tolist()]
    reach = [sorted(row)[5] for row in distances]  # the first is the image itself
    outside = sum(all(math.dist(row, real[j].tolist()) > reach[j] for j in range(60)) for row in generated.tolist())
    alone = sum(all(distances[i][j] > reach[j] for j in range(60) if j != i) for i in range(60))
    assert strange(generated, real) == pytest.approx(outside / 60 - alone / 60)
    assert 0.2 < strange(generated, real) < 0.5
    assert strange(real, real) == 0
    plain = float(missed_images(generated, real).double().mean())
    assert missed_share(generated, real) == pytest.approx(max(0, plain - 4 * strange(generated, real)))


def test_of_too_few_images_nothing_is_said():
    assert missed_share(drawn(5, 0), drawn(40, 1) + 9) == 0
    assert missed_share(drawn(40, 0), drawn(5, 1)) == 0


def test_a_few_real_images_are_not_missed_by_many_samples_like_them():
    """The part of space that is nearest to one of 60 images may be small by chance, that of 20 together is not."""
    for seed in range(20):
        assert not missed_images(drawn(2000, seed), drawn(60, 100 + seed)).any()


def test_classes_are_judged_by_themselves():
    generated, real = drawn(300, 0) / 4, drawn(400, 1)
    labels, real_labels = torch.arange(300) % 3, torch.arange(400) % 4
    found = missed_by_class(generated, labels, real, real_labels, 5)
    expected = [missed_share(generated[labels == k], real[real_labels == k]) for k in range(3)]
    assert found[:3].tolist() == expected
    assert min(expected) > 0
    assert found[3:].isnan().all()


@pytest.mark.parametrize("counts", [(79, 80), (80, 79)])
def test_a_class_of_few_images_is_not_judged(counts):
    def sides(generated, real):  # all in one place that is real
        return drawn(generated, 0) / 100, torch.zeros(generated).long(), drawn(real, 1), torch.zeros(real).long()

    assert missed_by_class(*sides(*counts), 1).isnan()
    assert missed_by_class(*sides(80, 80), 1) > ALARM


def test_a_class_without_half_of_its_kinds_is_noticed_and_no_other_is(digits):
    """Classes of two digits each: one shows only one of them, which is a tenth of all images."""
    features, labels = digits
    source = torch.Generator().manual_seed(3)
    for number in range(10):
        order = torch.randperm(len(features), generator=source)
        made, real = order[:900], order[900:]
        asked, chosen = labels[made] % 5, made.clone()
        own = asked == number % 5
        pool = made[labels[made] == number]
        chosen[own] = pool[torch.randint(len(pool), (int(own.sum()),), generator=source)]
        assert missed_share(features[chosen], features[real]) < ALARM
        found = missed_by_class(features[chosen], asked, features[real], labels[real] % 5, 5)
        assert (found > ALARM).tolist() == [k == number % 5 for k in range(5)]
