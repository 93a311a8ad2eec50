"""The worker process: owns loaded SavedModels and their batching queues."""
