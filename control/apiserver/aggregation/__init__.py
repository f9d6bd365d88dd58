"""APIs that other servers serve under this one: which there are, whether they answer, and handing requests on."""
