"""The stable version's servers split requests between their own model and a candidate: exactly, and per request.

`draw`, `breaker`, `counters`, `compare` and `state` are pure: they decide and count. `client` sends, `handing` hands
over, `mirror` copies, and `reporter` tells the judge and takes the route from its reply. `splitter` has all of it for
one server.
"""
