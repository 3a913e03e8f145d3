"""What a fit prints while it goes on, as scikit-learn's mixtures do with `verbose`."""

from __future__ import annotations

import time
from dataclasses import dataclass

from .recipe import Trial


@dataclass(eq=False)
class Printer:
    """Prints how a fit goes on.

    Attributes:
        verbose: 1 for the number of the step, 2 also for the change of the bound and the time.
        interval: steps between the lines.
        begun: when the trial began.
        printed: when its last line was printed.
    """

    verbose: int
    interval: int
    begun: float = 0.0
    printed: float = 0.0

    def begin(self, trial: Trial) -> None:
        """A line on a trial that begins."""
        self.begun = self.printed = time.perf_counter()
        print(f"Initialization {trial.number}")

    def step(self, trial: Trial) -> None:
        """A line on a trial's last step, if it is time for one."""
        step = len(trial.bounds)
        if step % self.interval:
            return
        before, self.printed = self.printed, time.perf_counter()
        more = f"\t time lapse {self.printed - before:.5f}s\t ll change {trial.change:.5f}"
        print(f"  Iteration {step}{more if self.verbose > 1 else ''}")

    def end(self, trial: Trial) -> None:
        """A line on how a trial has ended."""
        ended = f"Initialization {'converged' if trial.converged else 'did not converge'}."
        if self.verbose > 1 and trial.bounds:
            taken = time.perf_counter() - self.begun
            ended += f" time lapse {taken:.5f}s\t lower bound {trial.bounds[-1]:.5f}."
        print(ended)
