"""Priority and fairness: who waits, and who is sent away, when more is asked than can be answered at once."""
