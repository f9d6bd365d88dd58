"""The cloud controller: the provider interface and its providers."""
