"""A local Globus: Auth, Transfer and Timers over HTTP on loopback, with state behind it and real bytes in real folders.

HTTP and the world are kept apart. A route unpacks a request, calls one method of the world, and renders the result.

    http/       the services over HTTP: the server, who is let in (gate), what happens around every request
                (middleware), the private prefix /_emulator/ (control), five files of routes
    auth/       people, clients, codes, tokens, consents, scopes
    transfer/   collections, listings, submissions, tasks and their queue, bytes on their way
    timers/     timers, their schedules, what they run
    world       World: everything there is
    snapshot    the world as one document
    faults      faults on demand around requests (those inside tasks: transfer/outcome_rules)
    errors      an exception is the response
    clock       the time all of it follows

Shapes are graded where they are made: *recorded* (in the SDK's fixtures), *documented* (docs.globus.org), *observed*
(seen in public reports of the real service) or *assumed*. What is not built answers 501 by name. Time moves by
`World.advance`, which every request begins with: timers fire at the moments they were due, then tasks progress.
"""
