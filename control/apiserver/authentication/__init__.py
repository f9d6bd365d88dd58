"""Who asks: client certificates, service account tokens, bootstrap tokens."""
