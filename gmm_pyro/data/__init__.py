"""Array-likes in, checked points out: the only room that coerces and checks what users give.

`points.py` has what comes out, `Points` and `Observations`, and `observations.py` makes them;
`checks.py` has the checks of single arguments, and `words.py` what messages are made of.
"""
