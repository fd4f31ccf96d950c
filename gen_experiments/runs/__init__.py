"""A run's life: its folder and identity, its checkpoint files, the signals that stop it."""
