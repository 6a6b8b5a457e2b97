"""What runs in a process of its own: a step, alone or until a given boundary, or a look at what steps left."""

import json
import os
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date
from multiprocessing import get_context
from pathlib import Path
from typing import Any

WARM = ["tests.failure.warm"]
"""Modules that the server of processes imports once: a child is forked from it, ready to work."""

DONE, FAILED, REFUSED = 0, 1, 3


@dataclass(frozen=True)
class Job:
    """What a process does.

    Attributes:
        step: its name, `outcome`, or `lead` for the id of a phone.
        tenant: whose.
        days: from and to (excluded).
        environment: of the process.
        told: file for the sentence of a refusal, a traceback, or the outcome.
        stop: number of the boundary to die at, from 1; 0 is none.
        trace: file for the boundaries that were met; None is none.
        at: time of the clock to begin at.
        options: of the step; of `outcome` those of the step it follows.
    """

    step: str
    tenant: str
    days: tuple[date, date]
    environment: dict[str, str]
    told: Path
    stop: int = 0
    trace: Path | None = None
    at: float = 0.0
    options: dict[str, Any] = field(default_factory=dict)


def start(job: Job) -> Any:
    """A process that works on `job`, leader of its own group."""
    return _forked(work, job)


def ready() -> None:
    """Wait until the server of processes has imported what steps use."""
    _forked(os.getpid).join()


def _forked(function: Callable[..., Any], *args: Any) -> Any:
    context = get_context("forkserver")
    context.set_forkserver_preload(WARM)
    process = context.Process(target=function, args=args)
    process.start()
    return process


def run(job: Job, timeout: float = 120.0) -> int:
    """Work on `job` to its end; the exit code of its process."""
    process = start(job)
    process.join(timeout)
    if process.exitcode is None:
        process.kill()
        raise TimeoutError(f"{job.step} did not end within {timeout:g} s")
    return int(process.exitcode)


def work(job: Job) -> None:
    """The main function of the process."""
    os.setsid()
    os.environ.update(job.environment)
    time.sleep(max(0.0, job.at - time.time()))
    from pipelines.cli.errors import sentence
    from pipelines.core.errors import LeadwiseError

    code = FAILED
    try:
        _work(job)
        code = DONE
    except LeadwiseError as error:
        job.told.write_text(f"{type(error).__name__}: {error}", encoding="utf-8")
        code = REFUSED
    except BaseException as error:
        said = sentence(error)  # what the command line tells of it
        code = REFUSED if said else FAILED
        job.told.write_text(" ".join(said.split()) if said else traceback.format_exc(), encoding="utf-8")
    finally:
        os._exit(code)


def _work(job: Job) -> None:
    from pipelines.core.tenant import Tenant
    from tests.failure.boundaries import watched

    tenant = Tenant.load(job.tenant)
    if job.step == "outcome":
        from tests.failure.outcome import outcome

        job.told.write_text(json.dumps(outcome(tenant, job.options.get("phone"))), encoding="utf-8")
        return
    if job.step == "lead":
        from tests.failure.outcome import lead_of

        job.told.write_text(lead_of(tenant, job.options["phone"]), encoding="utf-8")
        return
    call = _step(job, tenant)
    if job.trace is None:
        call()
        return
    with watched(Path(job.environment["LEADWISE_VAR"]), job.stop, job.trace):
        call()


def _step(job: Job, tenant: Any) -> Callable[[], Any]:
    from pipelines.cli.steps import call
    from pipelines.collect.simulator import simulate
    from pipelines.core.interval import Interval
    from pipelines.privacy.forget import forget
    from pipelines.quality.replay import replay

    if job.step == "simulate":
        return lambda: simulate(tenant)
    if job.step == "replay":
        return lambda: replay(tenant)
    if job.step == "forget":
        return lambda: forget(tenant, [job.options["lead"]])
    interval = Interval.of_days(*job.days)
    return lambda: call(job.step, tenant, interval, **job.options)
