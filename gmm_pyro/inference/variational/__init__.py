"""Parts of variational Bayes: factors of q, the bound, moves, minibatches and draws."""
