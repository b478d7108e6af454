"""What is asked for beside a password: codes of an app, passkeys, recovery codes."""
