"""The loops that numba compiles: what a block of rows gives under an assignment, in one call.

Nothing but `compiled.py` imports this package, and only once a fit has decided for it: numba takes
some tenths of a second to import, and the loops some seconds to compile, once on a machine.

`lanes.py` has the numbers that a processor works on at once, `elementary.py` exp and log of them,
`products.py` the product of two matrices, and `chunk.py` the pass over some rows that they make up.
`algebra.py` is what lies between two passes; of families whose covariances have a part in common it
is in `coupled.py`, `volumes.py` and `axes.py`. `eigen.py` has eigenvalues.
"""
