from __future__ import annotations

import json
import subprocess

import pytest
from packaging.requirements import Requirement

from console import audit


def report(*vulnerable):
    packages = []
    for name, fix in vulnerable:
        weakness = {"id": f"GHSA-{name}", "aliases": [f"CVE-{name}"], "fix_versions": fix}
        packages.append({"name": name, "version": "1.0", "vulns": [weakness]})
    return {"dependencies": [*packages, {"name": "fine", "version": "2.0", "vulns": []}], "fixes": []}


@pytest.fixture
def answers(monkeypatch):
    """What pip-audit prints, or the error that running it ends with."""

    def give(output):
        def run(command, **more):
            if isinstance(output, Exception):
                raise output
            return subprocess.CompletedProcess(command, 1, output, "ConnectionError: …")

        monkeypatch.setattr(subprocess, "run", run)

    return give


@pytest.mark.parametrize("output", ["", "Traceback …", subprocess.TimeoutExpired("pip-audit", 1)])
def test_without_the_service_it_says_so_and_blocks_nothing(answers, capsys, output):
    answers(output)
    assert audit.main() == 0
    told = capsys.readouterr().out
    assert "NOT CHECKED" in told and "could not be asked" in told


def test_what_can_be_mended_must_be(answers, capsys):
    answers(json.dumps(report(("alpha", ["1.1"]))))
    assert audit.main() == 1
    assert "alpha 1.0: GHSA-alpha (fixed in 1.1)" in capsys.readouterr().out


def test_what_cannot_be_mended_is_listed_with_the_reason(monkeypatch):
    monkeypatch.setitem(audit.ACCEPTED, "CVE-gamma", "it is never given files of others")
    held = {"beta": {"engine": Requirement("beta==1.0"), "other": Requirement("beta>=0.5")}}
    found = audit.findings(
        report(("alpha", []), ("beta", ["1.1", "2.0"]), ("gamma", ["1.1"]), ("delta", ["1.1"])), held
    )
    assert [one.reason for one in found] == [
        "there is no version without it", "engine needs beta==1.0", "it is never given files of others", "",
    ]  # fmt: skip


def test_a_pin_that_lets_a_mended_version_in_is_no_excuse():
    held = {"beta": {"engine": Requirement("beta<2")}}
    assert audit.findings(report(("beta", ["1.1", "2.0"])), held)[0].reason == ""


def test_packages_that_the_service_does_not_know_are_not_taken_for_sound(answers, capsys):
    answers(json.dumps({"dependencies": [{"name": "ours", "skip_reason": "not found"}], "fixes": []}))
    assert audit.main() == 0
    told = capsys.readouterr().out
    assert "0 in 0 packages" in told and "Not known to the service: ours" in told


def test_who_asks_for_what_is_read_from_what_is_installed():
    asked = audit.requirements()
    assert "parlance" in asked["sqlalchemy"] and "parlance" not in asked.get("trl", {})
