"""`python -m gmm_pyro` is `gmm-pyro`."""

from .cli import main

if __name__ == "__main__":
    main()
