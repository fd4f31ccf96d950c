"""Begins and ends runs of the client of Weights & Biases, without waiting for a server that does not answer."""

import logging
import os
import shlex
import ssl
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gen_experiments.storage import user_caches

if TYPE_CHECKING:
    from wandb import Run
    from wandb.sdk.lib import RunDisabled

# Seconds; by default the client tries for 90 s to begin a run, and without a limit to end one.
CONNECT_TIMEOUT, INIT_TIMEOUT, FINISH_TIMEOUT, FINISH_TIMEOUT_WITH_FILES = 5, 15, 30, 600


def begin(settings: dict[str, Any], folder: Path, finish_timeout: int) -> "Run":
    """Begins a run: offline if the server cannot take it; then prints the reason and how to upload the run.

    Args:
        settings: for `wandb.init`; "mode" is set if the run begins offline.
        folder: the run's folder, for the message.
        finish_timeout: the most seconds that `finish` takes; `$WANDB_FINISH_TIMEOUT` overrides it.
    """
    import wandb

    # The client writes its log beside the run. On a full disk Python would print a traceback for each line of it.
    logging.raiseExceptions = False
    logging.getLogger("asyncio").setLevel(logging.ERROR)
    if not os.environ.get("HOME") and not os.environ.get("XDG_CACHE_HOME"):
        # The client's process would not find the home folder of the user database, and write its log to the screen.
        os.environ["XDG_CACHE_HOME"] = str(user_caches() or tempfile.gettempdir())
    os.environ.setdefault("WANDB_INIT_TIMEOUT", str(INIT_TIMEOUT))
    os.environ.setdefault("WANDB_FINISH_TIMEOUT", str(finish_timeout))
    os.environ.setdefault("WANDB_FINISH_TIMEOUT_RAISES", "true")
    reason = _offline_reason()
    if reason is None:
        try:
            return wandb.init(**settings)
        except (wandb.Error, OSError, ValueError) as error:
            reason = f"no run could be begun ({str(error).splitlines()[0]})"
    os.environ["WANDB_MODE"] = "offline"
    wandb.teardown()
    settings["mode"] = "offline"
    run = wandb.init(**settings)
    say(
        f"{reason}, so this run is logged offline; upload it later by "
        f"`wandb login && wandb sync {shlex.quote(str(folder))}/wandb/offline-run-*`"
    )
    return run


def silence_upload_hint(run: "Run | RunDisabled") -> None:
    """Prints that nothing of an offline run is kept; silences the client's hint how to upload it."""
    if not run.disabled and run.offline:
        run._settings.quiet = True
        say("no iteration has ended, so there is nothing to upload")


def end(run: "Run | RunDisabled", exit_code: int) -> None:
    """Uploads the rest within the time limit, and ends the client's processes; code 0 is for a complete run."""
    import wandb

    try:
        run.finish(exit_code=exit_code)
    except TimeoutError:
        folder = Path(run.dir).parent
        quoted = shlex.quote(str(folder))
        say(f"not everything was uploaded in time; upload the rest by `wandb sync --include-online {quoted}`")
    wandb.teardown(exit_code)


def check_server(run: "Run | RunDisabled") -> None:
    """Makes sure that the server of a run answers; the client itself would wait for a minute.

    Raises:
        CommError: it does not (see `is_unanswered`); never for a run without a server.
    """
    from wandb.errors import CommError

    if run.disabled or run.offline:
        return
    reason = _failure(run.settings.base_url, run.settings.api_key)
    if reason is not None:
        raise CommError(reason)


def is_lost(error: Exception) -> bool:
    """Returns whether an error means that the client's process has ended: out of memory, a full disk, the job's end."""
    from wandb.sdk.mailbox import HandleAbandonedError, MailboxClosedError

    return isinstance(error, ConnectionError | HandleAbandonedError | MailboxClosedError)


def is_unanswered(error: Exception) -> bool:
    """Returns whether an error means that the server did not answer, which tables and artifacts wait for."""
    from wandb.errors import AuthenticationError, CommError
    from wandb.sdk.lib.service.service_connection import WandbApiFailedError

    return isinstance(error, (AuthenticationError, CommError, WandbApiFailedError))


def disabled_run(error: Exception) -> "Run":
    """Returns a run that discards all values, for the rest of a run whose client is lost."""
    import wandb

    # The lost run still captures what is printed, and would log an error for each line.
    logging.getLogger("wandb").setLevel(logging.CRITICAL + 1)
    with suppress(Exception):
        wandb.teardown(1)
    say(
        f"the client has ended ({error}), so this run is no longer logged there, only in metrics.csv; "
        "what is missing is logged when the run goes on (--run.resume=auto)"
    )
    return wandb.init(mode="disabled")


def say(message: str) -> None:
    """Prints one line."""
    print(f"Weights & Biases: {message}", flush=True)


def _offline_reason() -> str | None:
    """Returns why the client cannot log to its server; None if it can or need not.

    Asks the server for the owner of the key, as the client does, but for 5 s instead of 90. The client handles all
    failures but those named here.
    """
    import wandb
    from wandb.sdk import wandb_setup

    settings = wandb_setup.singleton().settings  # `wandb.setup` would start the client's process
    wandb.teardown()  # else the client keeps settings from before the mode is set
    if settings.mode not in ("online", "run", "shared"):
        return None
    from requests.utils import get_netrc_auth

    host = settings.base_url
    netrc = get_netrc_auth(host)
    key = settings.api_key or (netrc[1] if netrc else None)
    if not (key or settings.identity_token_file):
        return "no API key was found"
    return _failure(host, key)


def _failure(host: str, key: str | None) -> str | None:
    """Returns why a server does not accept a key; None if it does, or after a failure that the client handles."""
    import requests

    try:
        answer = requests.post(
            f"{host}/graphql",
            json={"query": "query { viewer { id } }"},
            auth=("api", key) if key else None,
            timeout=CONNECT_TIMEOUT,
        )
    except (requests.exceptions.SSLError, ssl.SSLError, UnicodeError):
        return None
    except requests.RequestException:
        return f"{host} cannot be reached"
    if answer.status_code in (401, 403) and key:
        return f"{host} refuses the API key"
    return f"{host} answers with status {answer.status_code}" if answer.status_code >= 500 else None
