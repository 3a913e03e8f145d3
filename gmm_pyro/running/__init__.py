"""How work is run: threads and forks, interrupts, streams of random numbers, versions."""
