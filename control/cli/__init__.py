"""`wherry`, the one command of the operator."""
