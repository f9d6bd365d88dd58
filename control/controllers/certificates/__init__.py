"""Certificate signing requests: judging, signing and clearing them away."""
