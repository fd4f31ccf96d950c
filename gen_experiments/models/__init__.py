"""Models: LightningModules that say which network steps when, and what is logged.

- `base`: what all models share;
- `gan`; `vqvae`, on `tokenizer`; `prior` and `restoration_prior`, on `code_model`; `pix2pix`, `cyclegan`, `cut` and
  `munit`, on `translation`; `classifier`;
- `adversary`: what makes a VQ-VAE a VQGAN; `augmented`, `strength`: the images that discriminators see;
- `averaged_generator`, `averaged_translator`, `sampling`: how a trained model is used.
"""
