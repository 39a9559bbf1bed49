"""`make lint` asks whether a known weakness is among the installed packages: pip-audit, against the OSV database.

Fails only for what can be mended: a weakness with a fixed version that nothing here holds back. What has no fix yet,
and what another package keeps at an old version, is listed with that reason. Where the service cannot be reached, it
says so, clearly, and goes on: a build must not depend on somebody else's server. Knows nothing of Parlance itself.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import distributions
from typing import Any

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

LONGEST_SECONDS = 240
ACCEPTED: dict[str, str] = {}
"""Weaknesses that are known and do no harm here, by id, each with the reason."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One weakness of one package. `reason`: why it is lived with; empty where it must be mended."""

    package: str
    version: str
    id: str
    fixed_in: tuple[str, ...]
    reason: str

    def __str__(self) -> str:
        mended = f"fixed in {', '.join(self.fixed_in)}" if self.fixed_in else "no fix"
        return f"{self.package} {self.version}: {self.id} ({mended}){f'; kept: {self.reason}' if self.reason else ''}"


def main() -> int:
    """0, or 1 where something is to be mended."""
    command = [sys.executable, "-m", "pip_audit", "--progress-spinner", "off", "--format", "json"]
    command += ["--vulnerability-service", "osv", "--skip-editable", "--timeout", "15"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=LONGEST_SECONDS)
    except subprocess.TimeoutExpired:
        return _not_checked(f"no answer within {LONGEST_SECONDS} s")
    try:
        report = json.loads(done.stdout)
    except json.JSONDecodeError:
        return _not_checked((done.stderr.strip().splitlines() or ["it said nothing"])[-1][:200])
    found = findings(report, requirements())
    unknown = [one["name"] for one in report["dependencies"] if "skip_reason" in one]
    _say(f"Known weaknesses: {len(found)} in {len(report['dependencies']) - len(unknown)} packages.")
    if unknown:
        _say(f"Not known to the service: {', '.join(sorted(unknown))}.")
    for one in sorted(found, key=str):
        _say(f"  {one}")
    return int(any(not one.reason for one in found))


def findings(report: Mapping[str, Any], required: Mapping[str, Mapping[str, Requirement]]) -> list[Finding]:
    """All in pip-audit's `report`, with why each is lived with. `required`: by package, who asks for it, and how."""
    found: list[Finding] = []
    for package in report["dependencies"]:
        for one in package.get("vulns", ()):
            fixed_in, reason = tuple(one["fix_versions"]), _reason(package, one, required)
            found.append(Finding(package["name"], package["version"], one["id"], fixed_in, reason))
    return found


def _reason(
    package: Mapping[str, Any], one: Mapping[str, Any], required: Mapping[str, Mapping[str, Requirement]]
) -> str:
    for name in (one["id"], *one.get("aliases", ())):
        if name in ACCEPTED:
            return ACCEPTED[name]
    if not one["fix_versions"]:
        return "there is no version without it"
    for who, requirement in required.get(canonicalize_name(package["name"]), {}).items():
        if not any(requirement.specifier.contains(version, prereleases=True) for version in one["fix_versions"]):
            return f"{who} needs {requirement.name}{requirement.specifier}"
    return ""


def requirements() -> dict[str, dict[str, Requirement]]:
    """Of every package that an installed one asks for on this machine: who asks, and for which versions."""
    asked: dict[str, dict[str, Requirement]] = {}
    for distribution in distributions():
        for line in distribution.requires or ():
            try:
                requirement = Requirement(line)
            except InvalidRequirement:
                continue
            if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
                asked.setdefault(canonicalize_name(requirement.name), {})[distribution.name] = requirement
    return asked


def _not_checked(why: str) -> int:
    _say(f"NOT CHECKED for known weaknesses, because the advisory service (OSV) could not be asked: {why}")
    _say("Going on without; with a connection, make lint checks.")
    return 0


def _say(line: str) -> None:
    print(line, flush=True)  # noqa: T201 - what it is for


if __name__ == "__main__":
    sys.exit(main())
