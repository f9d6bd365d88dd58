"""Container runtimes: the interface the kubelet speaks, and its drivers."""
