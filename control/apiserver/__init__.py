"""The API server: REST over the registry, watch cache, admission, authentication and authorization."""
