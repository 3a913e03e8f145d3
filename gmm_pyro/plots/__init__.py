"""Pictures of data, mixtures and fits: functions of (data, ax=None) that return the Axes.

Where no Axes are given, pyplot makes them, so that `plt.show()` shows them; no other state of
pyplot's is touched. Colours are those of Okabe & Ito (2008), which colour-blind readers can tell
apart; a cluster has the same colour in all pictures that are given the same labels. This package
is the only one that imports matplotlib.
"""

from .calibration import calibration
from .combinations import combination, combined_clusters, merging_elbow, merging_tree
from .contests import critical_differences, performance_profile
from .fits import comparison_figure, comparison_figures, parameter_errors, png, traces
from .forests import differences
from .mixtures import clusters, density, responsibilities, scatter
from .of_fit import fit_figures
from .posteriors import co_clustering, density_band, label_traces, posterior_ellipses
from .searches import plot_solutions
from .sizes import number_of_components
from .studies import study_lines
from .trees import dendrogram

__all__ = [
    "calibration",
    "clusters",
    "co_clustering",
    "combination",
    "combined_clusters",
    "comparison_figure",
    "comparison_figures",
    "critical_differences",
    "dendrogram",
    "density",
    "density_band",
    "differences",
    "fit_figures",
    "label_traces",
    "merging_elbow",
    "merging_tree",
    "number_of_components",
    "parameter_errors",
    "performance_profile",
    "plot_solutions",
    "png",
    "posterior_ellipses",
    "responsibilities",
    "scatter",
    "study_lines",
    "traces",
]
