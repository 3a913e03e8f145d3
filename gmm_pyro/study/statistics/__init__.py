"""What many rows say: means, paired differences, ranks, profiles, effects; each as a table too.

`rows.py` has the rows and what counts as a value, `means.py` the errors of means, `written.py` how
tables are written, and the other files a question each.
"""

from .differences import Differences
from .effects import Effects
from .profiles import Profile
from .ranks import Ranks
from .summary import Summary
from .written import Written

__all__ = ["Differences", "Effects", "Profile", "Ranks", "Summary", "Written"]
