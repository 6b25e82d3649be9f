"""The simulated company, servers that speak the vendors' APIs about it, and what its channels truly add."""
