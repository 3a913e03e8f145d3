"""Array-likes in, checked points out: the only room that coerces and checks what users give.

`observations.py` has what comes out, `Points` and `Observations`; `checks.py` the checks of single
arguments, and `words.py` what messages are made of.
"""
