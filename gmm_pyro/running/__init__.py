"""How work is run: threads and forks, streams of random numbers, versions of libraries."""
