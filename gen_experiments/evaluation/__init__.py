"""Evaluation: what is compared with what, and the record of it.

- `online`, `class_variety`: scores of batches during training; `reference_statistics`: cached statistics of the
  reference;
- `feature_set`: the features of images, from one pass of extractors; `archives`: files of other tools;
- `scores`: the metrics by name; `intervals`: a score and its 95% interval;
- `records`: the record of an evaluation, and several records compared.

The way of one evaluation is told in `commands.evaluating`.
"""
