"""Figures of this library beside the bare cost and beside its peers; run with ``python -m benchmarks``.

Machines are noisy, so every figure is a ratio of two costs measured in one run: the cases of a group take turns, round
by round, and of each the best round counts.
"""
