"""The OpenAPI documents, made from the registry and the packaged schemas when first asked for."""
