"""Losses: pure formulas over tensors, logits and callables.

- `base`: the contracts; `adversarial`: what GANs minimise; `penalties`, `lecam`: terms on the discriminator;
- `reconstruction`, `perceptual`, `trained_perceptual`: distances of images; `frozen_networks`: how the latter two
  build theirs;
- `contrastive`: a loss of features.
"""
