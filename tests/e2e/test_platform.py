"""The platform as a process: it answers before its engine does, survives being killed, and leaves nothing behind."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import psutil
import pytest

ROOT = Path(__file__).resolve().parents[2]


@contextmanager
def _platform(home: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    environment = dict(os.environ) | {"PARLANCE_HOME": str(home), "PYTHONUNBUFFERED": "1", "COLUMNS": "200"}
    process = subprocess.Popen(
        [sys.executable, "-m", "console.cli", "up", "--port", "0"],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment, cwd=ROOT,
    )  # fmt: skip
    try:
        assert process.stdout is not None
        for line in process.stdout:
            if found := re.search(r"Parlance is up: (http://\S+)", line):
                break
        else:
            pytest.fail("the platform ended before its page was up")
        yield process, found[1]
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()
        process.stdout.close()


def _engine_processes(home: Path) -> list[psutil.Process]:
    """Whatever still works for this home: its socket stands in their command lines."""
    found = []
    for process in psutil.process_iter():
        try:
            if any(str(home / "run") in word for word in process.cmdline()):
                found.append(process)
        except psutil.Error:
            continue
    return found


def _wait_for(holds: object, seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not holds():  # type: ignore[operator]
        assert time.monotonic() < end, "it never came about"
        time.sleep(0.2)


def _a_program_with_a_key_waits(home: Path, page: str) -> None:
    """For the engine, in line, once its key is known and its model is there. The key is made by another process while
    the platform runs."""
    made = subprocess.run(
        [sys.executable, "-m", "console.cli", "key", "add", "program", "--all", "--json"],
        capture_output=True, text=True, env=dict(os.environ) | {"PARLANCE_HOME": str(home)}, cwd=ROOT, check=True,
    )  # fmt: skip
    asked = {"model": "parlance", "messages": [{"role": "user", "content": "Hello"}]}
    headers = {"Authorization": f"Bearer {json.loads(made.stdout)['key']}", "Origin": "https://elsewhere.example"}
    with pytest.raises(httpx.ReadTimeout):
        httpx.post(f"{page}/v1/chat/completions", json=asked, headers=headers, timeout=1)
    answer = httpx.post(f"{page}/v1/chat/completions", json=asked | {"model": "nobody"}, headers=headers)
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "model_not_found")
    assert "content-security-policy" not in answer.headers
    assert httpx.get(f"{page}/v1/models", headers=headers).json()["data"][0]["id"] == "parlance"
    assert httpx.get(f"{page}/v1/models", cookies={"parlance": "x"}).status_code == 401


def test_the_page_is_up_while_the_engine_warms_and_a_killed_platform_leaves_no_engine(home: Path) -> None:
    with _platform(home) as (process, page):
        assert "Parlance" in httpx.get(page).text
        assert httpx.get(f"{page}/api/status").json()["state"] == "warming"
        assert httpx.get(f"{page}/readyz").json() == {"ready": False}
        assert 'parlance_engine_state{state="warming"} 1.0' in httpx.get(f"{page}/metrics").text
        assert httpx.get(f"{page}/metrics", headers={"X-Forwarded-For": "127.0.0.1"}).status_code == 403
        _a_program_with_a_key_waits(home, page)
        _wait_for(lambda: _engine_processes(home))
        process.send_signal(signal.SIGKILL)
        process.wait()
    _wait_for(lambda: not _engine_processes(home))

    with _platform(home) as (process, page):  # and it starts again on what it left
        assert httpx.get(f"{page}/healthz").json() == {"ok": True}
        second = subprocess.run(
            [sys.executable, "-m", "console.cli", "up", "--port", "0"],
            capture_output=True, text=True, env=dict(os.environ) | {"PARLANCE_HOME": str(home)}, cwd=ROOT, check=False,
        )  # fmt: skip
        assert second.returncode == 1
        assert "already runs" in second.stderr
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=30) == 0
    _wait_for(lambda: not _engine_processes(home))


def test_the_log_holds_neither_codes_nor_keys(home: Path) -> None:
    with _platform(home) as (process, _):
        assert process.stdout is not None
        code = re.search(r"#operator=(\S+)", process.stdout.readline())
        assert code is not None
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=30) == 0
    key = (home / "secret" / "key").read_text().strip()
    for file in (home / "logs").iterdir():
        text = file.read_text(errors="replace")
        assert code[1] not in text
        assert key not in text
