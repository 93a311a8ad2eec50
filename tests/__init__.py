"""Tests; `tests.models` writes the SavedModels that they and the benchmarks serve."""
