"""MAP, SVI and NUTS through Pyro's own inference, over the program with its assignment enumerated.

They are here so that what enumeration costs can be compared, and so that guides of Pyro's and of
the user's own can be used.
"""
