"""A fit as a folder of files, and what it predicts when it is read again.

`save.py` writes `mixture.json`, `fit.json`, tables of labels and responsibilities, pictures, and
`posterior.nc` where there are draws. `load.py` reads what a prediction needs, and
`prediction.py` makes it; `away.py` has it written where files of points are read.
"""

from .away import predict_files
from .load import SavedFit, load_fit
from .prediction import Prediction, beside, predict, refuse_clashes
from .save import TABLE_FORMATS, fit_facts, plain, save_fit

__all__ = [
    "TABLE_FORMATS",
    "Prediction",
    "SavedFit",
    "beside",
    "fit_facts",
    "load_fit",
    "plain",
    "predict",
    "predict_files",
    "refuse_clashes",
    "save_fit",
]
