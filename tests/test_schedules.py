import math

import pytest

from gen_experiments.errors import UserError
from gen_experiments.schedules import Constant, Cosine, Linear, WarmingUp
from small_models import gan, vqvae


def test_a_constant_does_not_move():
    assert [Constant(0.3)(images) for images in (0, 5, 1e9)] == [0.3] * 3
    assert Constant()(7) == 1


def test_a_cosine_passes_through_its_ends_and_its_middle():
    schedule = Cosine(start=2e-4, end=5e-5, images=1000)
    assert schedule(0) == 2e-4
    assert schedule(500) == pytest.approx(1.25e-4)
    assert schedule(250) == pytest.approx(2e-4 - 1.5e-4 * 0.5 * (1 - math.sqrt(0.5)))
    assert schedule(1000) == pytest.approx(5e-5)
    assert schedule(10**9) == schedule(1000)


def test_a_line_is_straight_and_then_flat():
    schedule = Linear(start=1.0, end=0.0, images=200)
    assert [schedule(images) for images in (0, 50, 100, 200, 300)] == [1, 0.75, 0.5, 0, 0]


def test_a_value_warms_up_with_a_share_of_the_images_seen():
    assert [WarmingUp(500.0)(images) for images in (0, 64, 10_000, 10**6)] == [0, pytest.approx(3.2), 500, 500]
    assert WarmingUp(500.0, share=0.5)(100) == 50
    with pytest.raises(UserError, match="share must be > 0, not 0"):
        WarmingUp(1.0, share=0)


@pytest.mark.parametrize("kind", [Cosine, Linear])
def test_a_warmup_multiplies_the_schedule_by_a_rising_line(kind):
    cold, warm = kind(1.0, 0.5, 1000), kind(1.0, 0.5, 1000, warmup=100)
    assert warm(0) == 0
    assert warm(25) == pytest.approx(0.25 * cold(25))
    assert [warm(images) for images in (100, 400, 2000)] == [cold(images) for images in (100, 400, 2000)]


@pytest.mark.parametrize("kind", [Cosine, Linear])
@pytest.mark.parametrize(("images", "warmup"), [(0, 0), (-5, 0), (10, -1)])
def test_impossible_lengths_are_refused(kind, images, warmup):
    with pytest.raises(UserError, match="must be >"):
        kind(1.0, 0.0, images, warmup)


def test_a_ramp_may_hold_its_start():
    held = Linear(1.0, 0.0, images=100, hold=0.5)
    assert [held(images) for images in (0, 50, 75, 100, 200)] == pytest.approx([1, 1, 0.5, 0, 0])
    with pytest.raises(UserError, match="hold must be in"):
        Linear(1.0, 0.0, hold=1.0)


@pytest.mark.parametrize(
    ("build", "options"),
    [
        (gan, {"lr_schedule": Constant(-1.0)}),
        (vqvae, {"lr_schedule": Linear(1.0, -0.1)}),
        (gan, {"penalty_schedule": Cosine(-1.0, 0.0)}),
        (gan, {"beta2_schedule": Linear(0.9, 1.0)}),
        (gan, {"ema_half_life": WarmingUp(-1.0)}),
        (gan, {"ema_half_life": float("nan")}),
        (gan, {"augmentation_strength": Linear(0.0, 2.0)}),
    ],
)
def test_a_schedule_that_leaves_its_range_at_either_end_is_refused_at_once(build, options):
    with pytest.raises(UserError, match=f"^{next(iter(options))} must be "):
        build(**options)
