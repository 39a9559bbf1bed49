"""Measurements, side by side with what else one would use; see docs/benchmarks.md."""
