"""Metrics: pure formulas over features or pixels, and the networks that extract features.

- `features`, `channels`, `trained`, `fidelity`, `scripted`: feature extractors; `digits_net`, `inception_net`,
  `classifier_net`: their networks; `network_inputs`: what they take;
- `frechet`, `kernel`, `neighbours`, `sliced`, `modes`, `memorisation`: two sets of features compared; `class_spread`:
  how much the images of a class differ;
- `uncertainty`, `overlap_deviation`: error bars;
- `reconstruction`: pairs of images compared; `codebook`: how a codebook is used; `image_means`: means over processes.
"""
