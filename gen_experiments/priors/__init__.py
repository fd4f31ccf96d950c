"""Priors: densities over the codes of images, which they learn, measure and sample.

- `base`: the contract; `autoregressive`, `masked`: the priors; `decoding`: how codes are drawn from logits.
"""
