"""Where a job learns, here or on the other machine that is set, and by what plan.

The one place that decides it, for what is said before a retrain and for the retrain itself.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping
from dataclasses import replace

from config.catalogue import CatalogueModel
from config.hardware import Plan, plan, probe
from config.settings import Settings
from tuning.elsewhere.connection import hardware_of
from tuning.elsewhere.training import run_training_on
from tuning.training.process import run_training
from tuning.training.run import Progress, RunFolder


def plan_here(settings: Settings, model: CatalogueModel) -> Plan:
    """How this machine serves, and tunes where no other one does."""
    return plan(
        probe(settings.home), model, sharing=settings.sharing, training_gpu=settings.training_gpu,
        context=settings.context,
    )  # fmt: skip


async def plan_to_learn(settings: Settings, model: CatalogueModel) -> Plan:
    """How a job learns: by what the machine has on which it does. The context and the largest rank are those that are
    served here. Raises MachineAway and JobFailed where another machine is set and cannot be asked."""
    here = await asyncio.to_thread(plan_here, settings, model)
    if settings.machine is None:
        return here
    settings.paths.ensure()
    with (settings.paths.logs / "training.log").open("ab") as errors:
        hardware = await hardware_of(settings.machine, errors)
    there = plan(hardware, model, sharing="sleep")  # nobody is served there meanwhile
    context = min(there.learnt_context, here.context)
    return replace(there, learnt_context=context, training_rank=here.training_rank)


def learning(
    settings: Settings, run: RunFolder, model: CatalogueModel, environment: Mapping[str, str]
) -> AsyncGenerator[Progress, None]:
    """The run, where it is to be learnt: as `run_training` and `run_training_on`. `environment`: of a trainer here."""
    log = settings.paths.logs / "training.log"
    if settings.machine is None:
        return run_training(run, log, environment)
    return run_training_on(settings.machine, run, model, log)
