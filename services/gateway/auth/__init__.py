"""Who calls: JSON Web Tokens, and the named development identity."""
