"""Options of the evaluation that nothing reads are said, those left at their default are not."""

import warnings

import pytest

from gen_experiments.callbacks.evaluation import Evaluation
from gen_experiments.callbacks.shares import warn_of_unread
from gen_experiments.metrics.features import DigitsFeatures
from small_models import gan, vqvae


@pytest.mark.parametrize(
    ("model", "extractor", "options", "said"),
    [
        (vqvae, DigitsFeatures, {"seed": 1, "samples": 5}, "evaluation.samples, evaluation.seed have no effect"),
        (vqvae, DigitsFeatures, {"reference": "val"}, "evaluation.reference has no effect"),
        (vqvae, None, {"metrics": ["mind"]}, "evaluation.metrics has no effect"),
        (vqvae, None, {"metrics": ["fid"], "batch_size": 7}, ""),
        (vqvae, DigitsFeatures, {"metrics": ["mind"], "reference": "train"}, ""),
        (gan, DigitsFeatures, {"seed": 1, "samples": 500, "reference": "val"}, ""),
        (gan, None, {"metrics": ["kid"]}, "evaluation.metrics has no effect"),
    ],
)
def test_what_the_scores_of_a_model_do_not_read(model, extractor, options, said):
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        warn_of_unread(Evaluation(extractor and extractor(), **options), model())
    messages = [str(warning.message) for warning in warned]
    assert len(messages) == bool(said)
    assert all(message.startswith(said) for message in messages)
