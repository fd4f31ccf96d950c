"""`demo`: a page in the browser on which one tries what a model can do."""

import importlib.util
import os
import tempfile
import threading
from pathlib import Path

from gen_experiments.commands.demo_pages import build_page
from gen_experiments.errors import UserError, check_interval
from gen_experiments.models.base import ImageModel
from gen_experiments.models.checkpoints import load_model

HOST = "127.0.0.1"


def demo(checkpoint: str, port: int | None = None) -> None:
    """Serves a page on which to sample, interpolate, reconstruct and inpaint, until it is stopped by Ctrl-C.

    It shows what the model can do: samples by class and seed, ways between samples of a GAN, reconstructions of one's
    own pictures by a VQ-VAE, and their covered part filled by a prior. Nobody outside of this machine can open it.
    Pictures that are given to it are removed when it ends.

    Args:
        checkpoint: a checkpoint, the folder of a run (its best checkpoint) or of an export.
        port: where to serve; by default the first free one from 7860 on.

    Raises:
        UserError: the checkpoint cannot be used, the model can do nothing of this, the port is taken, or gradio is not
            installed.
    """
    if importlib.util.find_spec("gradio") is None:
        raise UserError("the demo needs gradio: pip install 'gen-experiments[demo]'")
    if port is not None:
        check_interval("[1, 65535]", port=port)
    path = Path(checkpoint)
    model = load_model(path, ImageModel, "be shown")
    with tempfile.TemporaryDirectory() as folder:
        # Before gradio is imported, which reads them then: it is to tell nobody of its use.
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
