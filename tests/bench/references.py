"""References that are not measured in the same call: what KubeRay took on another machine, brought to this one.

On that machine the bare operator of `bare_operator.py` took 21.5 s and 16 ms of CPU a job for the same 500 jobs. Where
it runs in the same call, it says how fast this machine is; elsewhere the fixed loop of `yardstick.py` does.
"""

from __future__ import annotations

from bench.report import Reference, Scaled
from bench.yardstick import loop_ms

BARE_OPERATOR = "a bare kopf operator"
PYTHON_LOOP = "a fixed Python loop"
BARE_SECONDS_THEN = 21.5
"""Until all 500 jobs run."""
BARE_CPU_THEN = 16.0
"""Milliseconds a job."""
LOOP_THEN = 25.0
"""Milliseconds. The loop did not exist then: this is what it takes where the bare operator takes 16 ms."""

KUBERAY = "KubeRay, 500 RayClusters"
KUBERAY_JOBS = 500
KUBERAY_SECONDS = 81.0
"""The middle of 74 to 88."""
KUBERAY_CPU = 22.0
KUBERAY_MEMORY = Reference(KUBERAY, 92.0)
KUBERAY_START_SECONDS = 44.4
"""Of a RayJob, from apply to the first step of its training."""


def by_bare_seconds(name: str, value: float, now: float) -> Reference:
    """Seconds of that machine, where the bare operator takes `now` here."""
    return _scaled(name, value, f"{BARE_OPERATOR}, s until 500 jobs run", BARE_SECONDS_THEN, now)


def by_bare_cpu(name: str, value: float, now: float) -> Reference:
    """CPU of that machine, where the bare operator takes `now` here."""
    return _scaled(name, value, f"{BARE_OPERATOR}, ms of CPU a job", BARE_CPU_THEN, now)


def by_loop(name: str, value: float) -> Reference:
    """Seconds or CPU of that machine, as the loop tells the two apart."""
    return _scaled(name, value, f"{PYTHON_LOOP}, ms", LOOP_THEN, loop_ms())


def _scaled(name: str, value: float, by: str, then: float, now: float) -> Reference:
    return Reference(name, value * now / then, Scaled(by, value, then, round(now, 2)))
