"""Studies: methods on many data sets, which stop and go on, and what comes of them in one frame.

`plan.py` has the cells and their seeds, `methods.py` and `designs.py` what they are made of,
`cell.py` one cell, `measures/` what is measured of it, `worker.py` and `pool.py` the processes,
`folder.py` what is on disk, `statistics/` what many rows say, and `study.py` and `results.py` the
faces of all this.
"""

from .data_files import data_file
from .measures import MEASURES
from .methods import method_from
from .results import StudyResults
from .statistics import Differences, Effects, Profile, Ranks, Summary
from .study import Study

__all__ = [
    "MEASURES",
    "Differences",
    "Effects",
    "Profile",
    "Ranks",
    "Study",
    "StudyResults",
    "Summary",
    "data_file",
    "method_from",
]
