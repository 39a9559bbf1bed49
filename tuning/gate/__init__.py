"""The gate: the measurements that a version must pass, on the engine that will serve it, before it may serve."""
