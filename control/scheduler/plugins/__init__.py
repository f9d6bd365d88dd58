"""The scheduler's plugins: one small file each."""
