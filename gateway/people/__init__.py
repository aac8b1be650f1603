"""Who is there: staff, sign-in, sessions, security keys, and the machines that ask the API."""
