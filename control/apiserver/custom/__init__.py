"""Custom resources in the server: from definitions to endpoints, and the loop that settles definitions' status."""
