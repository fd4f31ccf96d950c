"""Quantizers: continuous latents to codes and back.

- `base`: the contract; `ema`, `gradient`, `simvq`, `fsq`, `lfq`, `residual`, `hierarchy`: the quantizers;
- `lookup`, `learned`: the bases of quantizers with a table of codes; `codebook`: functions of such a table;
- `nearest`, `nearest_triton`: the search for the nearest code; `estimators`: how gradients pass a quantizer.
"""
