"""gmm_pyro"""
