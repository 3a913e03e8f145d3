"""The one pass over the data that every method is made of, and the kernels that do the work.

`kernels.py` evaluates a block of rows, `assignments.py` says what logits are made into, `sums.py`
adds up.
"""
