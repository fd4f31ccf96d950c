"""`demo`: a page in the browser to try a model."""

import importlib.util
import os
import tempfile
import threading
from pathlib import Path

from gen_experiments.checkpoints.loading import load_model
from gen_experiments.commands.demo_pages import build_page
from gen_experiments.errors import UserError, check_interval
from gen_experiments.models.base import ImageModel

HOST = "127.0.0.1"


def demo(checkpoint: str, port: int | None = None) -> None:
    """Serves a page to sample, interpolate, reconstruct and inpaint, until Ctrl-C.

    The page has a tab for each ability of the model: samples by class and seed, interpolations between samples of a
    GAN, reconstructions of uploaded pictures by a VQ-VAE, and inpainting of them by a prior. Only this machine can open
    the page. Uploaded pictures are removed at the end.

    Args:
        checkpoint: a checkpoint, the folder of a run (its best checkpoint) or of an export.
        port: the port; by default the first free one from 7860 on.

    Raises:
        UserError: the checkpoint cannot be used, the model has none of these abilities, the port is taken, or gradio is
            not installed.
    """
    if importlib.util.find_spec("gradio") is None:
        raise UserError("the demo needs gradio: pip install 'gen-experiments[demo]'")
    if port is not None:
        check_interval("[1, 65535]", port=port)
    path = Path(checkpoint)
    model = load_model(path, ImageModel, "be shown")
    with tempfile.TemporaryDirectory() as folder:
        # gradio reads these variables at import; they disable its analytics.
        os.environ.update(GRADIO_ANALYTICS_ENABLED="False", GRADIO_TEMP_DIR=folder)
        page, theme = build_page(model, path)
        try:
            _, address, _ = page.launch(
                server_name=HOST,
                server_port=port,
                share=False,
                prevent_thread_lock=True,
                quiet=True,
                theme=theme,
                footer_links=[],
            )
        except OSError as error:
            raise UserError(f"cannot serve at port {port or '7860 or above'}: choose another by --port") from error
        print(f"serving {path} at {address} until Ctrl-C", flush=True)
        try:
            threading.Event().wait()
        finally:
            page.close(verbose=False)
