"""The cluster's DNS, answered on every node from what the API says."""
