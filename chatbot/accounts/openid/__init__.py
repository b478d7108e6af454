"""Sign-in with OpenID Connect providers: the operator's, and each client's own."""
