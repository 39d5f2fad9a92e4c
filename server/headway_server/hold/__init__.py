"""The holder: where a deployment has no server, it keeps requests, asks for one, and hands them over to it."""
