"""Models: LightningModules that say who steps, when, and what is logged. `base` holds what all share.

- `gan`; `vqvae`, a `tokenizer` that is trained; `prior` and `restoration_prior`, each a `code_model`; `pix2pix`,
  `cyclegan`, `cut` and `munit`, each a `translation`; `classifier`;
- `manual`, `optimizers`, `micro_batches`: models that step their own optimizers;
- `trainer_options`, `batch_norm`: what of Lightning's a model cannot obey, and what several processes change;
- `judging`, `adversary`, `statistics`, `augmented`, `strength`, `image_buffer`: discriminators and what they are shown;
- `ema`, `averaged_generator`, `sampling`, `autoencoding`: what is left after training, and how it is used;
- `checkpoints`, `described`, `building`, `transfer`: models from files; `pairs`: what their data must hold.
"""
