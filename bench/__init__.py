"""Measures a model server: throughput, latency and the CPU time that each of its processes spends on a request."""
