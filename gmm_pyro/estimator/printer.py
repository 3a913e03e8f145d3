"""What a fit prints while it goes on, as scikit-learn's mixtures do with `verbose`."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from .recipe import Trial


@dataclass(eq=False)
class Printer:
    """Prints how a fit goes on.

    Attributes:
        verbose: 1 for the number of the step, 2 also for the change of the bound and the time.
        interval: steps between the lines.
    """

    verbose: int
    interval: int
    since: dict[int, float] = field(default_factory=dict)

    def __call__(self, trial: Trial) -> None:
        """A line on a trial's last step, if it is time for one."""
        step = len(trial.bounds)
        if step == 1:
            print(f"Initialization {trial.number}")
        now = time.perf_counter()
        before = self.since.setdefault(trial.number, now)
        if step % self.interval == 0:
            more = f"\t time lapse {now - before:.5f}s\t ll change {trial.change:.5f}"
            print(f"  Iteration {step}{more if self.verbose > 1 else ''}")
            self.since[trial.number] = now
        if trial.converged:
            more = f" lower bound {trial.bounds[-1]:.5f}." if self.verbose > 1 else ""
            print(f"Initialization {trial.number} converged.{more}")
