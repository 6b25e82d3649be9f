"""The simulated company, the servers that speak the vendors' APIs about it, and the truth about its channels."""
