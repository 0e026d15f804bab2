"""Every test of the suite with wrong peers is held against the examples that came from it."""

from tests.conformance.recording import hold_against_examples

__all__ = ["hold_against_examples"]
