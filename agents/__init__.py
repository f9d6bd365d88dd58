"""What runs on every node: kubelet, pod network, service proxy.

Invariant: agents know the control plane only through `api`, never by importing `control`.
"""
