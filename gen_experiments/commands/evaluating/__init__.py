"""The parts of `evaluate`, some of which `compare` and `stats` use too.

The way of one evaluation:

1. `protocol` checks the options; `named_inputs` opens what the two names stand for, `image_sets` reads its images, and
   `sides` puts both together; what a model makes of images is in `reconstructions`.
2. `extraction` chooses the extractors, and passes each side through all of them once (`evaluation.feature_set`).
3. `evaluation.scores` computes the metrics of two sets of features, `reconstructions` those of pairs and of codes;
   `copies` and `by_damage` read further images: near copies of training images, and each kind of damage.
4. `evaluation.intervals` adds the 95% intervals; `evaluation.records` stores all with the protocol; `printing` prints.
"""
