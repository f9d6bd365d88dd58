"""The scheduler: queue, snapshot, filter and score plugins, binder."""
