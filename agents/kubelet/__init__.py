"""The kubelet: makes the node's pods so, and says how they are."""
