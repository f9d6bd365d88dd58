"""Who may do what: nodes by what is bound to them, everyone by roles."""
