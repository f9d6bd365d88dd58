"""Webhooks: programs of others that the API server asks, for admission and for conversion."""
