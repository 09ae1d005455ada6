"""A local Globus: Auth, Transfer and Timers over HTTP on loopback, with state behind it and real bytes in real folders.

Wire and world are apart. A route unpacks a request, calls one method of the world, and renders what it gives.

    server.py            Emulator: the HTTP server in a thread, the Flask application, how an error becomes a response
    gate.py              what happens around every request: path clean-up, request log, faults on demand
    control.py           the private prefix /_emulator/: the powers of the world for tests in other processes
    auth_routes.py       Globus Auth on the wire            auth_api_routes.py  identities, consents, clients
    transfer_routes.py   Globus Transfer: tasks             file_routes.py      Globus Transfer: collections and files
    timer_routes.py      Globus Timers on the wire          timer_requests.py   makes and changes timers as asked
    documents.py         renders tasks, events, endpoints   timer_documents.py  renders timers
    authorize_page.py    the pages a browser sees           wire.py             what the routes share

    world.py             World: everything there is         clock.py            the time all of it follows
    auth.py              people, clients, codes, tokens     consents.py         what people allowed
    scopes.py            the scope grammar                  signing.py          id_tokens
    collection.py        a collection over a folder         listing.py          ls, stat, mkdir, rename
    submit.py            checks submitted documents         filters.py          filter rules, filters of lists
    tasks.py             one task, its counters and states  board.py            the queue, progress, deadlines
    work.py              a transfer, step by step           copying.py          sync levels, bytes, checksums
    landing.py           where a transfer arrives           removing.py         a deletion, step by step
    reach.py             paths beyond the system's limit
    timers.py            timers and their scheduler         schedules.py        when a timer runs
    timer_bodies.py      what a timer runs
    outcomes.py          faults on demand inside tasks      gate_rules.py       faults on demand around requests
    snapshot.py          the state as one document          errors.py           an exception is the response

Shapes are graded where they are made: *recorded* (in the SDK's fixtures), *documented* (docs.globus.org), *observed*
(seen in public reports of the real service) or *assumed*. What is not built answers 501 by name. Time moves by
`World.advance`, which every request begins with: timers fire at the moments they were due, then tasks get on.
"""
