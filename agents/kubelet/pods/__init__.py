"""What a pod's state should be, what it is, and how the one becomes the other."""
