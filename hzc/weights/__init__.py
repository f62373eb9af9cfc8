"""Weights of the shipped models and the registry that names them."""
